/**
 * The file codec: what turns the bytes of a file into shards that nobody can read, change or fake, and back. Pure: bytes in, bytes out; the
 * requester brings the readers and writers. docs/formats.md specifies every form.
 *
 * Plaintext is cut into cells and sealed (`cell-cipher.ts`) under keys that all come from one random file key (`file-keys.ts`), which the
 * header wraps for its recipients (`header.ts`, `key-wrap.ts`). Sealed cells fill stripes of k blocks (`layout.ts`); parity is added
 * (`reed-solomon.ts`, whose inner loop is the WASM kernel in `kernel/`); each shard is masked under its own key (`shard-mask.ts`); and a Merkle
 * tree over the masked bytes (`merkle-tree.ts`) lets anyone with its root check any part. The manifest (`manifest.ts`) holds the rest.
 * `encodeFile`, `decodeRange` and `rebuildShards` are these parts in a row.
 */
export * from "./decode-range.ts";
export * from "./encode-file.ts";
export { deriveFileKeys, deriveMaskKey, FILE_ID_BYTES, KEY_BYTES } from "./file-keys.ts";
export type { FileKeys } from "./file-keys.ts";
export type { GatherOptions, ShardPiece, ShardReader } from "./gather-shards.ts";
export * from "./header.ts";
export { masterKeyId, systemRandom } from "./key-wrap.ts";
export type { Identity, RandomSource, Recipient, Stanza } from "./key-wrap.ts";
export {
  CELL_BYTES,
  CELL_PLAINTEXT_BYTES,
  fileLayout,
  leavesOfSpan,
  MAX_FILE_BYTES,
  planRange,
  shardSpan,
  TAG_BYTES,
} from "./layout.ts";
export type { FileLayout, RangePlan, Span } from "./layout.ts";
export * from "./manifest.ts";
export * from "./master-key.ts";
export { BLOCK_LEAVES, DIGEST_BYTES, LEAF_BYTES } from "./merkle-hash.ts";
export * from "./merkle-tree.ts";
export * from "./policy.ts";
export { ErasureCoder } from "./reed-solomon.ts";
export * from "./rebuild-shards.ts";
export * from "./sealed-stream.ts";
