import { randomBytes } from "node:crypto";
import { open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../core/mod.ts";

/** The file in a data directory that opens the files which the node keeps at others. Whoever loses it loses them. */
export const MASTER_KEY_FILE = "master-key";

export interface MasterKeyForm {
  /** Throws when the text is no key file. */
  readonly parse: (text: string) => Uint8Array;
  readonly format: (key: Uint8Array) => string;
}

/**
 * Reads the master key of a data directory, or draws one and writes it, readable to its owner alone and on disk before it is used. Throws
 * `storage_failed` when the file cannot be read or written, or is none: it is never overwritten.
 */
export async function loadOrCreateMasterKey(dataDir: string, { parse, format }: MasterKeyForm): Promise<Uint8Array> {
  const path = join(dataDir, MASTER_KEY_FILE);
  try {
    return parse(await readFile(path, "utf8"));
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== "ENOENT") throw unusable(path, cause);
  }
  const key = new Uint8Array(randomBytes(32));
  const fresh = `${path}.${process.pid}.new`;
  try {
    const file = await open(fresh, "wx", 0o600);
    try {
      await file.writeFile(format(key));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(fresh, path);
    const folder = await open(dataDir, "r");
    await folder.sync().catch(() => {}); // not every system can
    await folder.close();
    return key;
  } catch (cause) {
    await rm(fresh, { force: true });
    throw unusable(path, cause);
  }
}

function unusable(path: string, cause: unknown): NodeError {
  return new NodeError(
    "storage_failed",
    `Cannot use the master key ${path}: ${
      (cause as Error).message
    }. Restore it from a backup, or correct its permissions`,
    { cause, data: { path } },
  );
}
