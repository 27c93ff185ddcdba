import { type ByteSpan, type Clock, type NewShard, NodeError, type ShardKey, type ShardRecord } from "../core/mod.ts";
import type { WriteOp } from "./engine.ts";
import type { AccountDeltas, GroupCommit } from "./group-commit.ts";
import type { KeyedLock } from "./keyed-lock.ts";
import type { ShardBodies } from "./shard-bodies.ts";
import { uploading } from "./shard-failures.ts";
import type { ShardRoom } from "./shard-room.ts";
import {
  decodeUploadRow,
  encodeRow,
  SHARD_BLOCK_BYTES,
  type ShardRow,
  shardRowKey,
  type UploadRow,
} from "./shard-rows.ts";
import type { ShardSweeper } from "./shard-sweeper.ts";
import { accountsOf, NEXT_SEQ, type ShardTables } from "./shard-tables.ts";
import { OpenUpload, type UploadHost } from "./shard-upload.ts";

export interface ShardUploadsParts {
  readonly tables: ShardTables;
  readonly commit: GroupCommit;
  readonly sweeper: ShardSweeper;
  readonly clock: Clock;
  /** By the keys of rows: what changes a shard or its upload does so in turn. */
  readonly locks: KeyedLock;
  readonly bodies: ShardBodies;
  readonly room: ShardRoom;
}

/**
 * Uploads of shards, open and suspended: each has a row, a number under which its body lies, and room that is set aside until its end makes it a shard or
 * gives the room back.
 */
export class ShardUploads implements UploadHost {
  readonly tables: ShardTables;
  readonly #commit: GroupCommit;
  readonly #sweeper: ShardSweeper;
  readonly #clock: Clock;
  readonly #locks: KeyedLock;
  readonly #bodies: ShardBodies;
  readonly #room: ShardRoom;
  readonly #open = new Set<string>();
  #nextSeq = 1;

  constructor({ tables, commit, sweeper, clock, locks, bodies, room }: ShardUploadsParts) {
    this.tables = tables;
    this.#commit = commit;
    this.#sweeper = sweeper;
    this.#clock = clock;
    this.#locks = locks;
    this.#bodies = bodies;
    this.#room = room;
  }

  /** Sets room aside for those that are suspended, and forgets those that were cut off before their first block. */
  async load(): Promise<void> {
    this.#nextSeq = await this.tables.freeSeq();
    let after: string | undefined;
    for (;;) {
      const rows = await this.tables.uploads.entries({ ...(after !== undefined && { gt: after }), limit: 1000 });
      for (const [key, text] of rows) {
        const { owner, id, seq } = decodeUploadRow(text);
        const stored = await this.#bodies.storedBytes(seq);
        this.#room.set(key, stored);
        if (stored === 0) await this.#dropUpload({ owner, id });
      }
      if (rows.length < 1000) break;
      after = rows.at(-1)![0];
    }
  }

  /** Whether somebody works on the upload with this key of a row. */
  isOpen(key: string): boolean {
    return this.#open.has(key);
  }

  /**
   * Opens a new upload, or one that was suspended. Throws `storage_full`, `already_exists` when the shard is there, and `failed_precondition` while another
   * upload of it is open.
   */
  begin(shard: NewShard): Promise<OpenUpload> {
    const key = shardRowKey(shard);
    return this.#locks.run(key, async () => {
      if (this.#open.has(key)) throw uploading(shard);
      const row = await this.tables.row(shard);
      if (row !== undefined && row.damaged === undefined) {
        throw new NodeError("already_exists", `Shard ${shard.id} is stored already: remove it first`, {
          data: { id: shard.id, root: row.record.root },
        });
      }
      const suspended = await this.tables.upload(shard);
      const stored = suspended === undefined ? 0 : await this.#bodies.storedBytes(suspended.seq);
      if (stored > shard.maxBytes) {
        throw new NodeError(
          "invalid_argument",
          `An upload of shard ${shard.id} with ${stored} bytes waits to go on, more than the ${shard.maxBytes} that are announced now: remove it first`,
        );
      }
      const before = this.#room.of(key);
      this.#room.claim(key, shard.maxBytes);
      this.#open.add(key);
      try {
        await this.#room.assertDisk(shard.maxBytes);
        if (suspended !== undefined) {
          await this.#commit.write([this.#uploadRow(shard, suspended.seq)], { durable: false });
          return new OpenUpload(this, { shard, seq: suspended.seq, blocks: stored / SHARD_BLOCK_BYTES });
        }
        const seq = this.#nextSeq++;
        await this.#commit.write([
          this.#uploadRow(shard, seq),
          this.tables.meta.put(NEXT_SEQ, String(this.#nextSeq)),
        ], { durable: false });
        return new OpenUpload(this, { shard, seq, blocks: 0 });
      } catch (error) {
        this.#open.delete(key);
        this.#room.set(key, before);
        throw error;
      }
    });
  }

  /** Bytes of a suspended upload; 0 when none is. */
  async suspended(key: ShardKey): Promise<number> {
    const upload = await this.tables.upload(key);
    return upload === undefined || this.#open.has(shardRowKey(key)) ? 0 : await this.#bodies.storedBytes(upload.seq);
  }

  /** Removes uploads that nobody has worked on since a time and are not open. Returns how many. */
  async dropBefore(timeMs: number): Promise<number> {
    let dropped = 0;
    let after: string | undefined;
    for (;;) {
      const rows = await this.tables.uploads.entries({ ...(after !== undefined && { gt: after }), limit: 1000 });
      for (const [key, text] of rows) {
        const { startedAt, owner, id } = decodeUploadRow(text);
        if (startedAt >= timeMs || this.#open.has(key)) continue;
        // A damaged shard of the same name stays: only the upload goes.
        if (await this.#dropUpload({ owner, id })) dropped++;
      }
      if (rows.length < 1000) return dropped;
      after = rows.at(-1)![0];
    }
  }

  async append(ops: readonly WriteOp[], sizeBytes: number): Promise<void> {
    if (ops.length === 0) return;
    await this.#room.assertDisk(sizeBytes);
    // Each piece is flushed: the log that holds it may be closed, unflushed, before the batch that ends the upload is.
    await this.#commit.write(ops, { durable: true });
  }

  commit(
    upload: OpenUpload,
    end: { readonly root: string; readonly sizeBytes: number },
    ops: readonly WriteOp[],
  ): Promise<ShardRecord> {
    const { shard, seq } = upload;
    const key = shardRowKey(shard);
    return this.#locks.run(key, async () => {
      const damaged = await this.tables.row(shard);
      const refusedUpTo = damaged?.record.refusedUpTo;
      const record: ShardRecord = {
        id: shard.id,
        owner: shard.owner,
        sizeBytes: end.sizeBytes,
        root: end.root,
        storedAt: this.#clock.now(),
        expiresAt: shard.expiresAt,
        graceMs: shard.graceMs,
        // What was taken back stays so when a damaged shard is put anew.
        ...(refusedUpTo !== undefined && { refusedUpTo }),
      };
      const row: ShardRow = { record, seq };
      const all = [
        ...ops,
        ...(damaged === undefined ? [] : this.tables.drop(damaged)),
        ...this.tables.add(row),
        this.tables.uploads.del(key),
      ];
      await this.#room.assertDisk(0);
      // With the row that names the number: what `begin` wrote of it is not flushed, and a number that is given twice would mix two bodies.
      all.push(this.tables.meta.put(NEXT_SEQ, String(this.#nextSeq)));
      const deltas = damaged === undefined ? accountsOf(row, 1) : sum(accountsOf(row, 1), accountsOf(damaged, -1));
      await this.#commit.write(all, { durable: true, deltas });
      this.#ended(key, 0);
      if (damaged !== undefined) this.#sweeper.start();
      return record;
    });
  }

  async keep(upload: OpenUpload): Promise<void> {
    const key = shardRowKey(upload.shard);
    const stored = await this.#bodies.storedBytes(upload.seq).catch(() => upload.sizeBytes);
    if (!this.#open.has(key)) return;
    this.#ended(key, stored);
    if (stored === 0) {
      // Nothing is there to go on with, and who began it may never ask for it to be freed.
      await this.#dropUpload(upload.shard).catch(() => {});
      return;
    }
    // It waits to go on from now, and not from when it began. Where that cannot be written, it waits less.
    await this.#locks.run(key, async () => {
      const row = await this.tables.upload(upload.shard);
      if (row?.seq !== upload.seq || this.#open.has(key)) return;
      await this.#commit.write([this.#uploadRow(upload.shard, upload.seq)], { durable: false });
    }).catch(() => {});
  }

  async drop(upload: OpenUpload): Promise<void> {
    const key = shardRowKey(upload.shard);
    await this.#locks.run(key, async () => {
      this.#ended(key, this.#room.of(key));
      await this.#dropUploadNow(upload.shard);
    });
  }

  async readUpload(upload: OpenUpload, span: ByteSpan): Promise<Uint8Array> {
    const bytes = await this.#bodies.read(upload.seq, upload.offset, span);
    if (bytes === undefined) {
      throw new NodeError(
        "data_corrupt",
        `The interrupted upload of shard ${upload.shard.id} is damaged: begin it anew`,
      );
    }
    return bytes;
  }

  #dropUpload(key: ShardKey): Promise<boolean> {
    return this.#locks.run(shardRowKey(key), () => this.#dropUploadNow(key));
  }

  async #dropUploadNow(key: ShardKey): Promise<boolean> {
    const name = shardRowKey(key);
    const upload = await this.tables.upload(key);
    if (upload === undefined || this.#open.has(name)) return false;
    const ops = [this.tables.uploads.del(name), this.tables.bury(upload.seq, this.#room.of(name))];
    await this.#commit.write(ops, { durable: false });
    this.#room.set(name, 0);
    this.#sweeper.start();
    return true;
  }

  #ended(key: string, keptBytes: number): void {
    this.#open.delete(key);
    this.#room.set(key, keptBytes);
  }

  /** The row of an upload that somebody works on now. */
  #uploadRow({ owner, id }: ShardKey, seq: number): WriteOp {
    const row: UploadRow = { owner, id, seq, startedAt: this.#clock.now() };
    return this.tables.uploads.put(shardRowKey(row), encodeRow(row));
  }
}

function sum(a: AccountDeltas, b: AccountDeltas): AccountDeltas {
  const total: Record<string, number> = { ...a };
  for (const [name, value] of Object.entries(b)) total[name] = (total[name] ?? 0) + value;
  return total;
}
