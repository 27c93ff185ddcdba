import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Config, dataPaths } from "../config/mod.ts";
import { NodeError } from "../core/mod.ts";
import { systemRandom } from "../codec/mod.ts";
import { createBackup, readBackup } from "../requester/mod.ts";
import { MASTER_KEY_FILE } from "../storage/master-key-file.ts";
import { openStore, type Store } from "../storage/mod.ts";
import { NODE_KEY_FILE } from "../storage/node-key.ts";

/** The files of a data directory that make a node who it is. */
const SECRETS = [NODE_KEY_FILE, MASTER_KEY_FILE];

/** Writes backups of a node that runs. */
export function makeBackups(config: Config, store: Store): (passphrase: string) => AsyncIterable<Uint8Array> {
  return async function* (passphrase) {
    const secrets: Record<string, string> = {};
    for (const name of SECRETS) secrets[name] = await readFile(join(config.node.dataDir, name), "utf8");
    const custody = () => store.payments.entries("custody");
    yield* createBackup({ store: store.files, custody, secrets, passphrase, random: systemRandom });
  };
}

export interface RestoreOptions {
  readonly dataDir: string;
  readonly passphrase: string;
}

/**
 * Makes a data directory from a backup. It must be empty or not be there; when the backup does not open or is cut, nothing is left in it.
 * Returns how many files the node has now. Throws `already_exists` for a directory with something in it, and what reading a backup throws.
 */
export async function restoreBackup(
  source: AsyncIterable<Uint8Array>,
  { dataDir, passphrase }: RestoreOptions,
): Promise<{ readonly files: number }> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  if ((await readdir(dataDir)).length > 0) {
    throw new NodeError("already_exists", `${dataDir} is not empty: restore into an empty directory`, {
      data: { path: dataDir },
    });
  }
  try {
    return await restoreInto(source, { dataDir, passphrase });
  } catch (error) {
    for (const name of await readdir(dataDir)) await rm(join(dataDir, name), { recursive: true, force: true });
    throw error;
  }
}

async function restoreInto(source: AsyncIterable<Uint8Array>, { dataDir, passphrase }: RestoreOptions) {
  const store = await openStore(dataPaths(dataDir).database);
  const found = { files: 0, custody: 0 };
  let expected: { readonly files: number; readonly custody?: number } = { files: -1 };
  try {
    for await (const entry of readBackup(source, passphrase)) {
      if (entry.type === "secret") {
        if (SECRETS.includes(entry.name)) await writeSecret(join(dataDir, entry.name), entry.text);
      } else if (entry.type === "score") {
        await store.files.write([{ type: "score", score: entry.score }], { durable: false });
      } else if (entry.type === "file") {
        const manifest = entry.manifest === undefined
          ? {}
          : { manifest: Uint8Array.from(Buffer.from(entry.manifest, "base64")) };
        await store.files.write([{ type: "save", file: entry.file, ...manifest }], { durable: false });
        found.files++;
      } else if (entry.type === "custody") {
        const { id: key, text } = entry;
        await store.payments.write([{ kind: "custody", key, text }], { durable: false });
        found.custody++;
      } else expected = entry;
    }
    const { files, custody = 0 } = expected;
    if (found.files !== files || found.custody !== custody) {
      throw new NodeError(
        "data_corrupt",
        `The backup says that it has ${files} files and ${custody} custody statements, and has ${found.files} and ${found.custody}`,
      );
    }
    // A durable write flushes those before it too.
    await store.files.write([], { durable: true });
    return { files };
  } finally {
    await store.close();
  }
}

async function writeSecret(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
