import { Buffer } from "node:buffer";
import { type FileRef, NodeError } from "../core/mod.ts";
import type { RestContext } from "./context.ts";

export const MAX_NAME_BYTES = 4096;

const FILE_ID = /^[0-9a-f]{32}$/;

/** Checks a name that is to be given. Throws `invalid_argument`. */
export function checkFileName(name: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes >= 1 && bytes <= MAX_NAME_BYTES && name.isWellFormed()) return name;
  const found = bytes === 0 ? "is empty" : bytes > MAX_NAME_BYTES ? `has ${bytes}` : "is not valid UTF-8";
  throw new NodeError("invalid_argument", `A file's name is 1 to ${MAX_NAME_BYTES} bytes of UTF-8; this one ${found}`, {
    data: { nameBytes: bytes },
  });
}

/**
 * The file that the path names behind `/v1/files/`: an id, or a name whose slashes stand as they are. Read from the request as it came, since
 * URL parsers fold `.` and `..` away; a name with such a part is refused here rather than taken for another.
 */
export function refOfPath(c: RestContext): FileRef {
  const raw = (c.env.incoming.url ?? "").split("?", 1)[0]!.split("/v1/files/").slice(1).join("/v1/files/");
  const text = percentDecoded(raw, "The file's name in the path");
  if (FILE_ID.test(text)) return { id: text };
  const name = checkFileName(text);
  if (FILE_ID.test(name.split("/", 1)[0]!) || name.split("/").some((part) => part === "." || part === "..")) {
    throw new NodeError(
      "invalid_argument",
      'A path cannot hold this name, because a part of it is "." or ".." or it begins as an id does; give it as ?name= ' +
        "to POST /v1/files or GET /v1/file",
    );
  }
  return { name };
}

/** The member `name` of the query, read strictly: other readers take what is not UTF-8 as it stands. */
export function nameOfQuery(c: RestContext): string {
  const query = (c.env.incoming.url ?? "").split("?").slice(1).join("?");
  const raw = query.split("&").find((member) => member.startsWith("name="))?.slice("name=".length) ?? "";
  return checkFileName(percentDecoded(raw.replaceAll("+", "%20"), "The name in the query"));
}

function percentDecoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new NodeError(
      "invalid_argument",
      `${what} is not percent-encoded UTF-8; encode it as encodeURIComponent does`,
      {
        cause,
      },
    );
  }
}
