import { hkdfSync } from "node:crypto";
import type { ShardId } from "../core/mod.ts";

const SHARD_ID_BYTES = 16;

/**
 * The id of a file's shard at its provider: 16 bytes of HKDF-SHA-256(file key, file id, `velas-sphere/1 shard id i`), i in decimal, as hex.
 * Who keeps shards of one file cannot tell that they belong together, and whoever has the file's key can find them again.
 */
export function shardIdOf(keys: { readonly fileKey: Uint8Array; readonly fileId: Uint8Array }, shard: number): ShardId {
  const id = hkdfSync("sha256", keys.fileKey, keys.fileId, `velas-sphere/1 shard id ${shard}`, SHARD_ID_BYTES);
  return Buffer.from(id).toString("hex");
}
