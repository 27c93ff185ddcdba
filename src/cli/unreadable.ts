import { NodeError } from "../core/mod.ts";

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file; check the path",
  EACCES: "this user may not read it; check its permissions",
  EISDIR: "it is a folder; name a file",
};

/** The error of a local file that cannot be read; `what` says what it was to be, such as `input file`. */
export function unreadable(what: string, path: string, cause: unknown): NodeError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  return new NodeError("not_found", `Cannot read the ${what} ${path}: ${REASONS[code] ?? message}`, { cause });
}
