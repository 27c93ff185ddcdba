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
  /** The name whose versions are being read, and whether its newest is found. */
  let current: { readonly name: string; latest: boolean } | undefined;
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
      if (current?.name !== version.name) current = { name: version.name, latest: await latestBefore(version) };
      const isLatest = !current.latest && (!version.uploading || await onlyUploads(version));
      if (allVersions || isLatest || (version.uploading && !current.latest)) {
        if (full()) return await page(tokenOf(after));
        found.push({ version, isLatest });
      }
      if (isLatest) current.latest = true;
      after = { name: version.name, version: version.version };
      if (!allVersions && current.latest) {
        after = { name: version.name };
        // Older versions are skipped over.
        if (names.at(-1) !== version) continue reading;
      }
    }
    if (names.length < STEP) return await page("");
  }

  /** Whether a page that goes on within a name comes after its newest version. */
  async function latestBefore({ name, version }: NamedVersion): Promise<boolean> {
    if (after === undefined || "prefix" in after || after.name !== name) return false;
    for (const other of await store.names({ prefix: name, limit: STEP })) {
      if (other.name !== name || other.version <= version) return false;
      if (!other.uploading) return true;
    }
    return false;
  }

  async function onlyUploads({ name, version }: NamedVersion): Promise<boolean> {
    const others = await store.names({ prefix: name, after: { name, version }, limit: STEP });
    return others.every((other) => other.name !== name || other.uploading);
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
