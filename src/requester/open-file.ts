import { NodeError, type StoredFile } from "../core/mod.ts";
import { type FileLayout, fileLayout, type Manifest, type OpenedHeader, openManifest } from "../codec/mod.ts";
import type { FileKit } from "./file-kit.ts";

/** A file whose manifest is open. */
export interface OpenedShards {
  readonly file: StoredFile;
  readonly manifest: Manifest;
  readonly header: OpenedHeader;
  readonly layout: FileLayout;
  readonly roots: readonly Uint8Array[];
}

/** Reads and opens a file's manifest. Throws `failed_precondition` while it has none, and what opening a manifest throws. */
export async function openShards(kit: FileKit, file: StoredFile): Promise<OpenedShards> {
  const bytes = await kit.store.manifest(file.id);
  if (bytes === undefined) {
    const problem = file.phase === "uploading"
      ? "is still uploading"
      : "has lost its manifest; import it from a backup";
    throw new NodeError("failed_precondition", `File ${file.id} ${problem}`, { data: { id: file.id } });
  }
  const { manifest, header } = openManifest(bytes, file.sharedBy === undefined ? kit.master : kit.share);
  return {
    file,
    manifest,
    header,
    layout: fileLayout(manifest.sizeBytes, manifest.policy),
    roots: manifest.shards.map(({ root }) => root),
  };
}
