import { type FileRecord, type FileRef, NodeError, readCapability, type StoredFile } from "../core/mod.ts";
import { openManifest } from "../codec/mod.ts";
import { importedFile } from "./file-import.ts";
import type { FileKit } from "./file-kit.ts";
import { decodeShare, isShare } from "./file-share.ts";
import { manifestOf } from "./manifest-of.ts";
import { openShards } from "./open-file.ts";

/** The manifest of a file, for a copy elsewhere. Throws `failed_precondition` while it uploads. */
export async function exportManifest({ book, store }: FileKit, ref: FileRef): Promise<Uint8Array> {
  const file = await book.find(ref);
  const manifest = await store.manifest(file.id);
  if (manifest !== undefined) return manifest;
  throw new NodeError("failed_precondition", `File ${file.id} is still uploading and has no manifest`, {
    data: { id: file.id },
  });
}

/** Takes in the file that a manifest of this node, or a share of another, describes. Throws `already_exists` for one that is here and whole. */
export async function importManifest(kit: FileKit, bytes: Uint8Array): Promise<FileRecord> {
  const { book } = kit;
  const { imported, manifest } = await readManifest(kit, bytes);
  return await book.withName(imported.name, async () => {
    const known = await book.get(imported.id);
    if (known !== undefined) return await restoreManifest(kit, known, manifest);
    const versions = (await book.versions(imported.name)).map(({ version }) => version);
    // The number of a version is its place under its name here, where another may have it by now.
    const version = versions.includes(imported.version) ? Math.max(...versions) + 1 : imported.version;
    const file: StoredFile = { ...imported, version };
    await book.add(file, { manifest });
    return await book.record(file);
  });
}

/** Gives a file that has lost its manifest one again, with the places that its record knows. Throws `already_exists` when it has not. */
async function restoreManifest(kit: FileKit, known: StoredFile, copy: Uint8Array): Promise<FileRecord> {
  const { book, master, share } = kit;
  const isWhole = await openShards(kit, known).then(() => true, () => false);
  if (isWhole || known.phase !== "kept") {
    throw new NodeError("already_exists", `File ${known.id} is here already`, { data: { id: known.id } });
  }
  const { manifest: { header: headerBytes, shards }, header } = openManifest(
    copy,
    known.sharedBy === undefined ? master : share,
  );
  const roots = shards.map(({ root }) => root);
  const file = await book.update(
    known.id,
    (now) => ({ ...now, dueAt: kit.steady.now() }),
    (now) => ({ manifest: manifestOf(now, { header: headerBytes, roots, keys: header.keys }) }),
  );
  return await book.record(file ?? known);
}

/** What a manifest of this node, or a share of another, describes. */
async function readManifest(
  { master, share, steady }: FileKit,
  bytes: Uint8Array,
): Promise<{ readonly imported: StoredFile; readonly manifest: Uint8Array }> {
  const now = steady.now();
  if (!isShare(bytes)) return { imported: importedFile(bytes, { identity: master, now }), manifest: bytes };
  const { manifest, capability } = await decodeShare(bytes, (inner) => openManifest(inner, share).header);
  const shared = { by: readCapability(capability).issuer, capability };
  return { imported: importedFile(manifest, { identity: share, shared, now }), manifest };
}
