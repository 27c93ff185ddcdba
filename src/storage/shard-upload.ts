import { type ByteSpan, type NewShard, NodeError, type ShardRecord } from "../core/mod.ts";
import type { WriteOp } from "./engine.ts";
import { blockKey, NODE_BYTES, NODES_PER_ROW, sealBlock, SHARD_BLOCK_BYTES, treeKey } from "./shard-rows.ts";
import type { ShardTables } from "./shard-tables.ts";

/** Bytes that are gathered for one write. */
const WRITE_BYTES = 2 << 20; // 2 MiB

/** What an upload needs of its store. */
export interface UploadHost {
  readonly tables: ShardTables;
  /** Writes a piece of the body, so that it survives a power cut. Throws `storage_full`. */
  append(ops: readonly WriteOp[], sizeBytes: number): Promise<void>;
  /** Makes the shard of an upload: its row, accounts and the last pieces of its body in one batch. */
  commit(
    upload: OpenUpload,
    end: { readonly root: string; readonly sizeBytes: number },
    ops: readonly WriteOp[],
  ): Promise<ShardRecord>;
  /** The upload is over; its whole blocks stay for a while. */
  keep(upload: OpenUpload): Promise<void>;
  /** The upload is over and what it wrote is dead. */
  drop(upload: OpenUpload): Promise<void>;
  /** Reads what an earlier try stored. Throws `data_corrupt`. */
  readUpload(upload: OpenUpload, span: ByteSpan): Promise<Uint8Array>;
}

/**
 * A shard that is being written: whole blocks go to the database in pieces of about 2 MiB, one piece under way while the next is gathered.
 * Until the end only whole blocks are stored, so after a crash their number says how far it came.
 */
export class OpenUpload {
  readonly shard: NewShard;
  readonly seq: number;
  readonly offset: number;
  readonly #host: UploadHost;
  readonly #block = new Uint8Array(SHARD_BLOCK_BYTES);
  #blockBytes = 0;
  #blocks: number;
  #ops: WriteOp[] = [];
  #opsBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  /** Nodes of each level that are not in a whole row yet, with the number of their row. */
  readonly #nodes = new Map<number, { row: number; readonly digests: Uint8Array; count: number }>();
  #ended = false;

  constructor(host: UploadHost, upload: { readonly shard: NewShard; readonly seq: number; readonly blocks: number }) {
    this.#host = host;
    this.shard = upload.shard;
    this.seq = upload.seq;
    this.#blocks = upload.blocks;
    this.offset = upload.blocks * SHARD_BLOCK_BYTES;
  }

  /** Bytes that have come, those of an earlier try included. */
  get sizeBytes(): number {
    return this.#blocks * SHARD_BLOCK_BYTES + this.#blockBytes;
  }

  /** Bytes that an earlier try stored, up to {@link offset}. */
  read(span: ByteSpan): Promise<Uint8Array> {
    return this.#host.readUpload(this, span);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#assertOpen();
    const { maxBytes, id } = this.shard;
    if (this.sizeBytes + bytes.length > maxBytes) {
      throw new NodeError(
        "invalid_argument",
        `Shard ${id} has more than the ${maxBytes} bytes that were announced: announce what will come`,
        { data: { id, maxBytes } },
      );
    }
    for (let at = 0; at < bytes.length;) {
      const some = Math.min(SHARD_BLOCK_BYTES - this.#blockBytes, bytes.length - at);
      if (some === SHARD_BLOCK_BYTES) {
        this.#push(bytes.subarray(at, at + some));
      } else {
        this.#block.set(bytes.subarray(at, at + some), this.#blockBytes);
        this.#blockBytes += some;
        if (this.#blockBytes === SHARD_BLOCK_BYTES) {
          this.#blockBytes = 0;
          this.#push(this.#block);
        }
      }
      at += some;
      if (this.#opsBytes >= WRITE_BYTES) await this.#flush();
    }
  }

  keepNode(level: number, index: number, digest: Uint8Array): void {
    const row = Math.floor(index / NODES_PER_ROW);
    let open = this.#nodes.get(level);
    if (open === undefined) {
      open = { row, digests: new Uint8Array(NODES_PER_ROW * NODE_BYTES), count: 0 };
      this.#nodes.set(level, open);
    } else if (open.row !== row) {
      this.#ops.push(this.#treeRow(level, open));
      open.row = row;
      open.count = 0;
    }
    open.digests.set(digest, (index % NODES_PER_ROW) * NODE_BYTES);
    open.count = (index % NODES_PER_ROW) + 1;
  }

  async finish(root: string): Promise<ShardRecord> {
    this.#assertOpen();
    this.#ended = true;
    const { sizeBytes } = this;
    try {
      await this.#writing;
      const ops = this.#ops;
      if (this.#blockBytes > 0) {
        const block = sealBlock(this.#block.subarray(0, this.#blockBytes));
        ops.push(this.#host.tables.bodies.put(blockKey(this.seq, this.#blocks), block));
      }
      for (const [level, open] of this.#nodes) ops.push(this.#treeRow(level, open));
      return await this.#host.commit(this, { root, sizeBytes }, ops);
    } catch (error) {
      await this.#host.keep(this).catch(() => {});
      throw error;
    }
  }

  async suspend(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    try {
      await this.#writing;
      // The rows of its tree are made anew when it goes on.
      await this.#host.append(this.#ops, this.#opsBytes);
    } finally {
      await this.#host.keep(this);
    }
  }

  async abort(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#writing.catch(() => {});
    await this.#host.drop(this);
  }

  #assertOpen(): void {
    if (this.#ended) throw new NodeError("failed_precondition", `The upload of shard ${this.shard.id} has ended`);
  }

  #push(block: Uint8Array): void {
    const sealed = sealBlock(block);
    this.#ops.push(this.#host.tables.bodies.put(blockKey(this.seq, this.#blocks++), sealed));
    this.#opsBytes += sealed.length;
  }

  /** Hands the gathered blocks over, once those before are written. */
  async #flush(): Promise<void> {
    const ops = this.#ops;
    const sizeBytes = this.#opsBytes;
    this.#ops = [];
    this.#opsBytes = 0;
    await this.#writing;
    this.#writing = this.#host.append(ops, sizeBytes);
    // Met at the next await of it.
    this.#writing.catch(() => {});
  }

  #treeRow(
    level: number,
    open: { readonly row: number; readonly digests: Uint8Array; readonly count: number },
  ): WriteOp {
    return this.#host.tables.trees.put(
      treeKey(this.seq, level, open.row),
      open.digests.slice(0, open.count * NODE_BYTES),
    );
  }
}
