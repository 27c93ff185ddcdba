import type { StoredFile, StoredShard } from "../core/mod.ts";
import { encodeManifest, type FileKeys } from "../codec/mod.ts";
import { unhex } from "./hex.ts";

export interface ManifestParts {
  readonly header: Uint8Array;
  /** The roots of all shards. */
  readonly roots: readonly Uint8Array[];
  readonly keys: FileKeys;
}

/** The manifest of a file as its record stands now. */
export function manifestOf(file: StoredFile, { header, roots, keys }: ManifestParts): Uint8Array {
  return encodeManifest({
    fileId: unhex(file.id),
    version: file.version,
    createdAtMs: file.createdAt,
    sizeBytes: file.sizeBytes,
    policy: file.policy,
    name: file.name,
    contentType: file.contentType,
    header,
    shards: roots.map((root, index) => ({ root, providers: providersOf(file.shards[index]!) })),
  }, keys.manifestKey);
}

/** How a manifest names a provider: `0xNodeId@host:port`. */
function providersOf({ target, providerId }: StoredShard): string[] {
  if (target === "") return [];
  return [providerId === undefined ? target : `${providerId}@${target}`];
}
