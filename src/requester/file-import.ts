import { isNodeId, type NodeId, type StoredFile, type StoredShard } from "../core/mod.ts";
import { type Identity, type ManifestShard, openManifest } from "../codec/mod.ts";
import { hex } from "./hex.ts";

export interface ImportOptions {
  /** Opens the manifest. */
  readonly identity: Identity;
  /** Set for a file that somebody else shared. */
  readonly shared?: { readonly by: NodeId; readonly capability: string };
  readonly now: number;
}

/** The file that a manifest describes. Throws what opening it throws. Its leases are not known: the first look after it renews them. */
export function importedFile(bytes: Uint8Array, { identity, shared, now }: ImportOptions): StoredFile {
  const { manifest } = openManifest(bytes, identity);
  return {
    id: hex(manifest.fileId),
    name: manifest.name,
    version: manifest.version,
    contentType: manifest.contentType || "application/octet-stream",
    sizeBytes: manifest.sizeBytes,
    // A manifest holds the digests of sealed bytes only.
    sha256: "",
    policy: manifest.policy,
    createdAt: manifest.createdAtMs,
    touchedAt: now,
    warnings: [],
    phase: "kept",
    shards: manifest.shards.map(placeOf),
    leftovers: [],
    dueAt: now,
    ...(shared && { sharedBy: shared.by, capability: shared.capability }),
  };
}

/** Where a manifest says that a shard is: `0xNodeId@host:port`, or only the address. */
function placeOf({ providers: [first = ""] }: ManifestShard): StoredShard {
  const [id = "", target] = first.split("@");
  if (target === undefined) return { target: first, state: first === "" ? "lost" : "stored" };
  return { target, ...(isNodeId(id) ? { providerId: id } : {}), state: "stored" };
}
