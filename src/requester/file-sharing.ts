import { type FileRef, NodeError, type NodeKey, signCapability, type StoredFile, type Unshared } from "../core/mod.ts";
import { addRecipient } from "../codec/mod.ts";
import type { FileKit } from "./file-kit.ts";
import { encodeShare } from "./file-share.ts";
import { unhex } from "./hex.ts";
import { manifestOf } from "./manifest-of.ts";
import { openShards } from "./open-file.ts";
import { refuseShares } from "./refuse-shares.ts";
import { shardIdOf } from "./shard-ids.ts";

/** How long others may read a file that was shared with them, in milliseconds. */
const SHARE_MS = 90 * 24 * 3_600_000;
/** How often they may read it whole, and the least that they may read, from each provider. */
const SHARE_READS = 100;
const MIN_SHARE_BYTES = 1 << 30; // 1 GiB

/** Lets other nodes read files, and takes that back. */
export class FileSharing {
  readonly #kit: FileKit;
  readonly #key: NodeKey | undefined;

  /** Without a key, which signs what others are allowed, nothing can be shared. */
  constructor(kit: FileKit, key: NodeKey | undefined) {
    this.#kit = kit;
    this.#key = key;
  }

  /** What lets a node, named by its X25519 key in hex, read a file. Throws `permission_denied` for a file of another. */
  async share(ref: FileRef, recipient: string): Promise<Uint8Array> {
    const { book, clock } = this.#kit;
    const file = await book.find(ref);
    const key = this.#keyFor(file, "share it");
    const { manifest, header, layout, roots } = await openShards(this.#kit, file);
    const shared = addRecipient(manifest.header, {
      fileKey: header.fileKey,
      recipient: { type: "x25519", publicKey: unhex(recipient) },
    });
    // Later than what was taken back, also after the clock was put back.
    const expiresAt = Math.max(clock.now() + SHARE_MS, (file.refusedUpTo ?? 0) + 1);
    const capability = signCapability(key, {
      audience: "",
      shards: roots.map((_, index) => shardIdOf(header, index)),
      actions: ["read", "audit"],
      expiresAt,
      maxBytes: Math.max(SHARE_READS * layout.shardBytes, MIN_SHARE_BYTES),
    });
    const parts = { header: shared, roots, keys: header.keys };
    return await encodeShare({ manifest: manifestOf(file, parts), capability }, header);
  }

  /** Takes all shares of a file back; providers that cannot be reached now are told later. Throws `permission_denied`, `failed_precondition`. */
  async unshare(ref: FileRef, signal: AbortSignal): Promise<Unshared> {
    const { book, clock } = this.#kit;
    const file = await book.find(ref);
    this.#keyFor(file, "take its shares back");
    if (file.phase === "uploading") {
      throw new NodeError("failed_precondition", `File ${file.id} is still uploading and has no shares`, {
        data: { id: file.id },
      });
    }
    // No share that was made so far ends later. Noted first, so that providers are told even when this node stops on the way.
    await book.update(file.id, (now) => ({
      ...now,
      refusedUpTo: Math.max(clock.now() + SHARE_MS, now.refusedUpTo ?? 0),
    }));
    return await refuseShares(this.#kit, file.id, signal);
  }

  #keyFor({ id, sharedBy }: StoredFile, what: string): NodeKey {
    if (this.#key !== undefined && sharedBy === undefined) return this.#key;
    throw new NodeError("permission_denied", `Only the owner of file ${id} can ${what}`, { data: { id } });
  }
}
