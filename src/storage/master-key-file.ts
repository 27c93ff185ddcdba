import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type Log, NodeError } from "../core/mod.ts";
import { createPrivateFile, type PrivateFile, readPrivateFile, replacePrivateFile } from "./private-file.ts";
import {
  faultOf,
  fromHex,
  isHex,
  openSecret,
  type ScryptCost,
  type SealedSecret,
  sealSecret,
} from "./sealed-secret.ts";

/** The file in a data directory that opens the files which the node keeps at others. Whoever loses it loses them. */
export const MASTER_KEY_FILE = "master-key";

export interface MasterKeyOptions {
  readonly dataDir: string;
  /** Encrypts the key's file, a new one and one that was there, and opens an encrypted one. */
  readonly passphrase?: string | undefined;
  readonly log: Log;
  /** What a guess at the passphrase costs; 64 MiB and about 0.4 s by default. */
  readonly scryptCost?: ScryptCost;
}

/** Version 1 of an encrypted file. One without encryption is 64 hex digits, white space around them allowed. */
interface EncryptedFile {
  readonly version: 1;
  readonly crypto: SealedSecret;
}

const KEY_BYTES = 32;
const CONTEXT = "velas-sphere master key v1";

/**
 * The master key of a data directory, or a new one: readable to its owner alone, on disk before it is used, and encrypted when there is a
 * passphrase. A key that lies there without encryption is encrypted once there is one.
 *
 * Throws `storage_failed` when the file is damaged, readable by others, or cannot be read or written; `config_invalid` when its passphrase is
 * missing; `permission_denied` when that is wrong.
 */
export async function loadOrCreateMasterKey(options: MasterKeyOptions): Promise<Uint8Array> {
  const file = { path: join(options.dataDir, MASTER_KEY_FILE), what: "master key" };
  const key = await load(file, { ...options, encrypts: true });
  if (key !== undefined) return key;
  const made = new Uint8Array(randomBytes(KEY_BYTES));
  if (await createPrivateFile(file, await textOf(made, options))) return made;
  return (await load(file, { ...options, encrypts: true }))!;
}

/** The master key of a data directory; nothing where there is none. Writes nothing. Throws as {@link loadOrCreateMasterKey} does. */
export function loadMasterKey(options: MasterKeyOptions): Promise<Uint8Array | undefined> {
  const file = { path: join(options.dataDir, MASTER_KEY_FILE), what: "master key" };
  return load(file, { ...options, encrypts: false });
}

async function load(
  file: PrivateFile,
  options: MasterKeyOptions & { readonly encrypts: boolean },
): Promise<Uint8Array | undefined> {
  const text = (await readPrivateFile(file))?.trim();
  if (text === undefined) return undefined;
  if (text.startsWith("{")) return await open(text, file, options);
  const digits = text.toLowerCase();
  if (!isHex(digits, KEY_BYTES)) throw damaged(file, `it has not ${2 * KEY_BYTES} hex digits`);
  const key = fromHex(digits);
  if (options.encrypts && options.passphrase !== undefined) {
    await replacePrivateFile(file, await textOf(key, options));
    options.log.info("The master key is encrypted from now on", { path: file.path });
  }
  return key;
}

async function open(text: string, file: PrivateFile, { passphrase }: MasterKeyOptions): Promise<Uint8Array> {
  const { crypto } = parse(text, file);
  if (passphrase === undefined) {
    throw new NodeError(
      "config_invalid",
      `The master key in ${file.path} is encrypted: give its passphrase in VELAS_SPHERE_NODE_KEY_PASSPHRASE, or the path of a ` +
        "file that holds it in node.keyPassphraseFile",
      { data: { path: file.path } },
    );
  }
  const key = await openSecret(crypto, { passphrase, context: CONTEXT });
  if (key !== undefined) return key;
  throw new NodeError(
    "permission_denied",
    `The passphrase does not open the master key in ${file.path}: it is wrong, or the file was changed`,
    { data: { path: file.path } },
  );
}

function parse(text: string, file: PrivateFile): EncryptedFile {
  let parsed: EncryptedFile;
  try {
    parsed = JSON.parse(text) as EncryptedFile;
  } catch (cause) {
    throw damaged(file, "it is not JSON", cause);
  }
  if (parsed.version !== 1) {
    throw damaged(file, `its version is ${JSON.stringify(parsed.version)}, and this software knows 1`);
  }
  const fault = faultOf(parsed.crypto, KEY_BYTES);
  if (fault !== undefined) throw damaged(file, fault);
  return parsed;
}

async function textOf(key: Uint8Array, { passphrase, scryptCost: cost }: MasterKeyOptions): Promise<string> {
  if (passphrase === undefined) return `${Buffer.from(key).toString("hex")}\n`;
  const file: EncryptedFile = { version: 1, crypto: await sealSecret(key, { passphrase, context: CONTEXT, cost }) };
  return JSON.stringify(file, null, 2) + "\n";
}

function damaged({ path }: PrivateFile, why: string, cause?: unknown): NodeError {
  return new NodeError(
    "storage_failed",
    `The master key in ${path} is damaged: ${why}. Put it back from a backup: without it the node's files at others are lost`,
    { cause, data: { path } },
  );
}
