import { randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import process from "node:process";
import { NodeError } from "../core/errors.ts";

/** A file that only its owner may read, and what it is in messages: "node key". */
export interface PrivateFile {
  readonly path: string;
  readonly what: string;
}

const MAX_BYTES = 1 << 16; // 64 KiB
const READABLE_BY_OTHERS = 0o077;

/**
 * The text of a private file, or `undefined` when there is none. Throws `storage_failed` when others may read it, it is far too large, or it cannot
 * be read.
 */
export async function readPrivateFile({ path, what }: PrivateFile): Promise<string | undefined> {
  try {
    const { mode, size } = await stat(path);
    if (process.platform !== "win32" && (mode & READABLE_BY_OTHERS) !== 0) {
      throw new NodeError(
        "storage_failed",
        `The ${what} in ${path} may be read by others (mode ${
          (mode & 0o777).toString(8)
        }): run chmod 600 on it, and if somebody else used this machine, take the key for known`,
        { data: { path } },
      );
    }
    if (size > MAX_BYTES) {
      throw new NodeError("storage_failed", `The ${what} in ${path} is damaged: it has ${size} bytes`, {
        data: { path },
      });
    }
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof NodeError) throw cause;
    if (errorCode(cause) === "ENOENT") return undefined;
    throw failed("read", { path, what }, cause);
  }
}

/**
 * Writes a private file so that it is there whole or not at all, also after a power cut. Returns false when it was there already: it is not
 * touched then. Throws `storage_full` or `storage_failed`.
 */
export async function createPrivateFile(file: PrivateFile, text: string): Promise<boolean> {
  const { path } = file;
  const temporary = temporaryName(path);
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      await writeSynced(temporary, text);
      // The link fails when the name is taken.
      await link(temporary, path);
    } catch (cause) {
      if (errorCode(cause) === "EEXIST") return false;
      if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"].includes(errorCode(cause))) throw cause;
      // A file system without hard links: here a power cut may leave a damaged file, which the next start reports.
      await writeSynced(path, text);
    } finally {
      await rm(temporary, { force: true });
    }
    await syncDirectory(dirname(path));
    return true;
  } catch (cause) {
    if (errorCode(cause) === "EEXIST") return false;
    throw failed("write", file, cause);
  }
}

/** Puts another text in the place of a private file: at every moment the old or the new one is there whole. Throws like {@link createPrivateFile}. */
export async function replacePrivateFile(file: PrivateFile, text: string): Promise<void> {
  const temporary = temporaryName(file.path);
  try {
    await writeSynced(temporary, text);
    await rename(temporary, file.path);
    await syncDirectory(dirname(file.path));
  } catch (cause) {
    await rm(temporary, { force: true });
    throw failed("write", file, cause);
  }
}

function temporaryName(path: string): string {
  return `${path}.${randomBytes(8).toString("hex")}.tmp`;
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return; // directories cannot be opened there
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function errorCode(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? "");
}

function failed(action: "read" | "write", { path, what }: PrivateFile, cause: unknown): NodeError {
  const code = errorCode(cause);
  const cure = code === "EACCES" || code === "EPERM" || code === "EROFS"
    ? "give the node's user the right to, or choose another directory with --data-dir"
    : code === "ENOSPC" || code === "EDQUOT"
    ? "free some space"
    : "choose another directory with --data-dir, or look after the disk";
  return new NodeError(
    code === "ENOSPC" || code === "EDQUOT" ? "storage_full" : "storage_failed",
    `Cannot ${action} the ${what} in ${path} (${code === "" ? "unknown error" : code}): ${cure}`,
    { cause, data: { path } },
  );
}
