import { Buffer } from "node:buffer";
import type { ByteSpan } from "../core/mod.ts";
import {
  blockCount,
  blockKey,
  blockOf,
  bodyRange,
  NODE_BYTES,
  NODES_PER_ROW,
  openBlock,
  SHARD_BLOCK_BYTES,
  treeKey,
} from "./shard-rows.ts";
import type { ShardTables } from "./shard-tables.ts";

/** Reads bodies and trees, which lie under the number of their upload. */
export class ShardBodies {
  readonly #tables: ShardTables;

  constructor(tables: ShardTables) {
    this.#tables = tables;
  }

  /** Bytes of a body of `sizeBytes`; undefined when a block that holds them is damaged. */
  async read(seq: number, sizeBytes: number, span: ByteSpan): Promise<Uint8Array | undefined> {
    const first = Math.floor(span.start / SHARD_BLOCK_BYTES);
    const end = blockCount(span.end);
    // Not filled with zeros: it is written over from end to end, or given to nobody.
    const bytes = Buffer.allocUnsafeSlow(span.end - span.start);
    const keys = Array.from({ length: end - first }, (_, i) => blockKey(seq, first + i));
    for (const [i, sealed] of (await this.#tables.bodies.viewMany(keys)).entries()) {
      const blockAt = (first + i) * SHARD_BLOCK_BYTES;
      const opened = openBlock(sealed, Math.min(SHARD_BLOCK_BYTES, sizeBytes - blockAt));
      if (opened === undefined) return undefined;
      const from = Math.max(0, span.start - blockAt);
      bytes.set(opened.subarray(from, span.end - blockAt), blockAt + from - span.start);
    }
    return new Uint8Array(bytes.buffer);
  }

  /** Digests of a tree at some positions; undefined when one of them is damaged. */
  async nodes(
    seq: number,
    positions: readonly { readonly level: number; readonly index: number }[],
  ): Promise<readonly Uint8Array[] | undefined> {
    const keys = positions.map(({ level, index }) => treeKey(seq, level, Math.floor(index / NODES_PER_ROW)));
    // Neighbours are mostly in one row.
    const wanted = [...new Set(keys)];
    const rows = await this.#tables.trees.viewMany(wanted);
    const digests = positions.map(({ index }, i) => {
      const at = (index % NODES_PER_ROW) * NODE_BYTES;
      return rows[wanted.indexOf(keys[i]!)]?.slice(at, at + NODE_BYTES);
    });
    return digests.every((digest) => digest?.length === NODE_BYTES) ? digests as Uint8Array[] : undefined;
  }

  /** Bytes of the whole blocks that are stored of an upload. */
  async storedBytes(seq: number): Promise<number> {
    const [last] = await this.#tables.bodies.keys({ ...bodyRange(seq), limit: 1, reverse: true });
    return last === undefined ? 0 : (blockOf(last) + 1) * SHARD_BLOCK_BYTES;
  }
}
