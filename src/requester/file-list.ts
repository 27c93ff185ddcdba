import {
  type FilePage,
  type FileQuery,
  type FileRecord,
  type NamedVersion,
  type NameRange,
  NodeError,
} from "../core/mod.ts";
import type { FileStore } from "./file-ports.ts";
import { recordOf } from "./file-state.ts";

type After = NonNullable<NameRange["after"]>;

/** Names that are read at once. */
const STEP = 256;

/** Lists files by name; with a delimiter, names that hold one behind the prefix are gathered as folders, which are skipped over, not read. */
export async function listFiles(store: FileStore, query: FileQuery): Promise<FilePage> {
  const { prefix, delimiter, allVersions, pageSize } = query;
  if (!(Number.isInteger(pageSize) && pageSize >= 1 && pageSize <= 1000)) {
    throw new NodeError("invalid_argument", `A page has 1 to 1000 files, not ${pageSize}`);
  }
  let after = query.pageToken === "" ? undefined : readToken(query.pageToken);
  const found: { readonly version: NamedVersion; readonly isLatest: boolean }[] = [];
  const folders: string[] = [];
  /** The name whose versions are being read, and which of them is its newest. */
  let current: { readonly name: string; readonly latestId: string } | undefined;
  const full = () => found.length + folders.length >= pageSize;

  reading: for (;;) {
    const names = await store.names({ prefix, ...(after === undefined ? {} : { after }), limit: STEP });
    for (const version of names) {
      const cut = delimiter === "" ? -1 : version.name.indexOf(delimiter, prefix.length);
      const folder = cut < 0 ? undefined : version.name.slice(0, cut + delimiter.length);
      if (folder !== undefined) {
        if (full()) return await page(tokenOf(after));
        folders.push(folder);
        after = { prefix: folder };
        continue reading;
      }
      if (current?.name !== version.name) current = { name: version.name, latestId: await latestOf(version) };
      const isLatest = current.latestId === version.id;
      if (allVersions || isLatest) {
        if (full()) return await page(tokenOf(after));
        found.push({ version, isLatest });
      }
      after = { name: version.name, version: version.version };
      // Older versions are skipped over.
      if (!allVersions && isLatest) {
        after = { name: version.name };
        if (names.some((other) => other.name === version.name && other.version < version.version)) continue reading;
      }
    }
    if (names.length < STEP) return await page("");
  }

  /** The newest version of a name that is not uploading, or the newest when all are. */
  async function latestOf({ name, id, uploading }: NamedVersion): Promise<string> {
    const within = after !== undefined && "version" in after && after.name === name;
    if (!within && !uploading) return id;
    let newest: string | undefined;
    let read: { readonly name: string; readonly version: number } | undefined;
    for (;;) {
      const versions = await store.names({ prefix: name, ...(read === undefined ? {} : { after: read }), limit: STEP });
      for (const other of versions) {
        if (other.name !== name) return newest ?? id;
        if (!other.uploading) return other.id;
        newest ??= other.id;
      }
      if (versions.length < STEP) return newest ?? id;
      read = versions.at(-1)!;
    }
  }

  async function page(nextPageToken: string): Promise<FilePage> {
    const records = await store.getMany(found.map(({ version }) => version.id));
    const files = records.flatMap((file, i): FileRecord[] =>
      file === undefined || file.phase === "removed" ? [] : [recordOf(file, found[i]!.isLatest)]
    );
    return { files, folders, nextPageToken };
  }
}

function tokenOf(after: After | undefined): string {
  return after === undefined ? "" : Buffer.from(JSON.stringify(after)).toString("base64url");
}

function readToken(token: string): After {
  try {
    const value = JSON.parse(Buffer.from(token, "base64url").toString("utf8")) as Record<string, unknown>;
    const { name, version, prefix } = value;
    if (typeof prefix === "string") return { prefix };
    if (typeof name === "string" && version === undefined) return { name };
    if (typeof name === "string" && Number.isSafeInteger(version)) return { name, version: version as number };
  } catch {
    // told below
  }
  throw new NodeError("invalid_argument", "This page token is none that a page before it gave");
}
