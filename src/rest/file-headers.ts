import type { FileRecord } from "../core/mod.ts";
import type { Validators } from "./http-range.ts";
import { mediaTypeOf } from "./media-types.ts";
import { FOREIGN_CONTENT_HEADERS } from "./stream.ts";

/** Media types that a browser may show in place: none of them runs anything. */
const SHOWN = /^(?:(?:image|audio|video)\/(?!svg)[\w.+-]+|text\/plain|application\/pdf|application\/json)(?:;|$)/i;

/** What caches and interrupted downloads compare: the digest of the content, or while there is none the id of the version. */
export function validatorsOf({ id, sha256, createdAt }: FileRecord): Validators {
  return { etag: `"${sha256 || id}"`, modifiedAt: createdAt };
}

/** The headers of a file's content but for its length. A media type is its owner's word: nothing may guess another or run it as a page of the node. */
export function contentHeaders(
  record: FileRecord,
  { download, immutable }: { readonly download: boolean; readonly immutable: boolean },
): Record<string, string> {
  const { etag, modifiedAt } = validatorsOf(record);
  const contentType = record.contentType || "application/octet-stream";
  const shown = !download && SHOWN.test(contentType);
  return {
    "Content-Type": contentType,
    "Content-Disposition": contentDisposition(shown ? "inline" : "attachment", record.name),
    "Accept-Ranges": "bytes",
    ETag: etag,
    "Last-Modified": new Date(modifiedAt).toUTCString(),
    // A version never changes; what a name stands for does.
    "Cache-Control": immutable ? "private, max-age=31536000, immutable" : "private, no-cache",
    "X-Velas-File-Id": record.id,
    "X-Velas-File-Version": String(record.version),
    ...(record.sha256 === ""
      ? {}
      : { "Repr-Digest": `sha-256=:${Buffer.from(record.sha256, "hex").toString("base64")}:` }),
    ...FOREIGN_CONTENT_HEADERS,
  };
}

/**
 * A Content-Disposition (RFC 6266) with the name's last part: plain for clients that know no better, and by RFC 8187 in full. Characters that
 * could make a name look like another (controls, changes of direction) or lead out of a folder become "_".
 */
export function contentDisposition(type: "inline" | "attachment", name: string): string {
  const last = name.split("/").findLast((part) => part !== "") ?? "";
  // deno-lint-ignore no-control-regex
  const safe = last.replaceAll(/[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\\/:]/g, "_").slice(
    0,
    255,
  );
  const shown = safe === "" || /^\.+$/.test(safe) ? "file" : safe.toWellFormed();
  const plain = shown.replaceAll(/[^\x20-\x7e]|["%]/gu, "_");
  const extended = plain === shown ? "" : `; filename*=UTF-8''${encodeExtended(shown)}`;
  return `${type}; filename="${plain}"${extended}`;
}

/** Percent-encoding as RFC 8187 §3.2.1 wants it: more than `encodeURIComponent` leaves alone. */
function encodeExtended(text: string): string {
  return encodeURIComponent(text).replaceAll(/['()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** What curl says of a body by itself, which is no word about a file. */
const NO_TYPE = new Set(["", "application/x-www-form-urlencoded"]);

/** The media type of an upload: the client's word, else what the name's ending tells. */
export function uploadContentType(header: string | undefined, name: string): string {
  const given = (header ?? "").trim();
  return NO_TYPE.has(given.toLowerCase()) ? mediaTypeOf(name) : given.slice(0, 255);
}
