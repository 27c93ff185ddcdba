import { NodeError } from "../core/mod.ts";

const FULL = /No space left|ENOSPC|quota exceeded|EDQUOT/i;
const READ_ONLY = /Read-only file system|EROFS/i;
const FORBIDDEN = /Permission denied|EACCES|EPERM|not permitted/i;
const TOO_MANY_FILES = /Too many open files|EMFILE|ENFILE/i;

/** All that an error of LevelDB or of the file system says, its causes included. */
export function describe(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at instanceof Error && parts.length < 5; at = at.cause) {
    const { code } = at as { code?: unknown };
    parts.push(typeof code === "string" && !at.message.includes(code) ? `${code}: ${at.message}` : at.message);
  }
  return parts.join("; ");
}

/** Whether the error, or a cause of it, carries this code. */
export function hasCode(error: unknown, code: string): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ((at as { code?: unknown }).code === code) return true;
  }
  return false;
}

/** Turns a failure of the data directory at `path` into a NodeError that says what to do about it. */
export function storageError(path: string, error: unknown): NodeError {
  if (error instanceof NodeError) return error;
  const text = describe(error);
  const options = { cause: error, data: { path } };
  if (FULL.test(text)) return storageFull(path, error);
  if (READ_ONLY.test(text)) {
    return new NodeError(
      "storage_failed",
      `The data directory ${path} is on a read-only file system: mount it writable or choose another directory (node.dataDir)`,
      options,
    );
  }
  if (FORBIDDEN.test(text)) {
    return new NodeError(
      "storage_failed",
      `The data directory ${path} may not be written by this user: change its owner or choose another directory (node.dataDir)`,
      options,
    );
  }
  if (TOO_MANY_FILES.test(text)) {
    return new NodeError(
      "storage_failed",
      `The data directory ${path} cannot be used since the process has too many open files: raise its limit (ulimit -n)`,
      { ...options, retryable: true },
    );
  }
  return new NodeError(
    "storage_failed",
    `The data directory ${path} cannot be read or written: check the disk; the log has the details`,
    options,
  );
}

/** The error of a disk without room. */
export function storageFull(path: string, cause?: unknown): NodeError {
  return new NodeError(
    "storage_full",
    `The disk of the data directory ${path} is full: free some space or choose another directory (node.dataDir)`,
    { cause, data: { path }, retryAfterMs: 5000 },
  );
}
