import { type NamedVersion, NodeError, type ProviderScore, type StoredFile } from "../core/mod.ts";

/** The format of stored files; `test/vectors/storage-files.json` pins it. */
const FORMAT = 1;

/** A file's record as stored: JSON with the format's number first. */
export function encodeFileRecord(file: StoredFile): string {
  return JSON.stringify({ v: FORMAT, ...file });
}

/** Reads what {@link encodeFileRecord} wrote. Throws `storage_failed` when it is damaged or of another format. */
export function decodeFileRecord(text: string): StoredFile {
  const file = decode(text, "file") as StoredFile;
  if (typeof file.id !== "string" || typeof file.name !== "string" || !Array.isArray(file.shards)) {
    throw damaged("file");
  }
  return file;
}

export function encodeScore(score: ProviderScore): string {
  return JSON.stringify({ v: FORMAT, ...score });
}

export function decodeScore(text: string): ProviderScore {
  return decode(text, "score of a provider") as ProviderScore;
}

function decode(text: string, kind: string): unknown {
  let value: { v?: unknown };
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(kind, cause);
  }
  if (value?.v !== FORMAT) {
    throw new NodeError(
      "storage_failed",
      `A stored ${kind} has the format ${
        JSON.stringify(value?.v)
      }, and this program reads ${FORMAT}: use the version that wrote it`,
    );
  }
  delete value.v;
  return value;
}

function damaged(kind: string, cause?: unknown): NodeError {
  return new NodeError("storage_failed", `A stored ${kind} is damaged: run "velas-sphere doctor"`, { cause });
}

const MAX_VERSION = 0xffff_ffff;
// A name may hold any character; NUL is written as two, so that what ends a name sorts before all that may go on.
const END_OF_NAME = "\0\u0001";

/** A name, or the beginning of one, as keys spell it: in the same order, and without the mark that ends one. */
export function nameKey(name: string): string {
  return name.replaceAll("\0", "\0\u0002");
}

/** The key of a version in the index of names: by name, newest first. */
export function versionKey({ name, version }: { readonly name: string; readonly version: number }): string {
  return `${nameKey(name)}${END_OF_NAME}${(MAX_VERSION - version).toString(16).padStart(8, "0")}`;
}

/** Behind the keys of all versions of a name. */
export function afterVersionsKey(name: string): string {
  return `${nameKey(name)}${END_OF_NAME}~`;
}

/** The value of a version in the index of names. */
export function versionValue(file: StoredFile): string {
  return file.phase === "uploading" ? `${file.id}+` : file.id;
}

/** Reads an entry of the index of names. */
export function readVersion([key, value]: readonly [string, string]): NamedVersion {
  const end = key.lastIndexOf(END_OF_NAME);
  return {
    name: key.slice(0, end).replaceAll("\0\u0002", "\0"),
    version: MAX_VERSION - parseInt(key.slice(end + END_OF_NAME.length), 16),
    id: value.slice(0, 32),
    uploading: value.endsWith("+"),
  };
}

/** The key of a piece's digest: in the order of pieces. */
export function pieceKey(fileId: string, index: number): string {
  return `${fileId}/${index.toString(16).padStart(8, "0")}`;
}
