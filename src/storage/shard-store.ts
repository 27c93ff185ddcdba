import {
  type ByteSpan,
  type Clock,
  type Metrics,
  type NewShard,
  NodeError,
  type RequesterId,
  type ShardId,
  type ShardKey,
  type ShardRecord,
} from "../core/mod.ts";
import { requesterKey, seqKey } from "./codec.ts";
import type { WriteOp } from "./engine.ts";
import type { AccountDeltas, GroupCommit } from "./group-commit.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { ShardBodies } from "./shard-bodies.ts";
import { noShard, quarantined, uploading } from "./shard-failures.ts";
import { ShardRoom } from "./shard-room.ts";
import {
  decodeShardRow,
  decodeUploadRow,
  encodeRow,
  expiryKey,
  SHARD_BLOCK_BYTES,
  type ShardRow,
  shardRowKey,
  type UploadRow,
} from "./shard-rows.ts";
import type { ShardSweeper } from "./shard-sweeper.ts";
import {
  accountsOf,
  ALL_BYTES,
  ALL_SHARDS,
  NEXT_SEQ,
  ownerBytes,
  ownerShards,
  type ShardTables,
  STEADY_TIME,
} from "./shard-tables.ts";
import { OpenUpload, type UploadHost } from "./shard-upload.ts";

export interface ShardStoreSettings {
  /** The most bytes of shards, suspended uploads included. */
  readonly quotaBytes: number;
  /** Room that is left on the disk for others; nothing is taken below it. */
  readonly minFreeBytes: number;
}

export interface ShardStoreParts {
  readonly tables: ShardTables;
  readonly commit: GroupCommit;
  readonly sweeper: ShardSweeper;
  readonly settings: ShardStoreSettings;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Bytes that the disk still takes. */
  readonly diskFreeBytes: () => Promise<number>;
}

/** What the store holds, for people who look after it. */
export interface ShardStoreStats {
  readonly shards: number;
  readonly bytes: number;
  /** Bytes set aside for uploads, open and suspended. */
  readonly uploadBytes: number;
  readonly quotaBytes: number;
}

/**
 * Shards in an engine of their own: bodies under rising keys in blocks of 64 KiB, each with its checksum; rows, the index of leases and
 * the accounts change in the batch that holds a body's last bytes, so they cannot disagree. The quota counts shards and what uploads set
 * aside, before a byte is taken. docs/storage.md tells the layout.
 */
export class LevelShardStore implements UploadHost {
  readonly tables: ShardTables;
  readonly #parts: ShardStoreParts;
  readonly #commit: GroupCommit;
  readonly #locks = new KeyedLock();
  readonly #bodies: ShardBodies;
  readonly #room: ShardRoom;
  readonly #open = new Set<string>();
  #nextSeq = 1;
  readonly #damagedBlocks;

  constructor(parts: ShardStoreParts) {
    this.#parts = parts;
    this.tables = parts.tables;
    this.#commit = parts.commit;
    this.#bodies = new ShardBodies(parts.tables);
    this.#room = new ShardRoom({
      ...parts.settings,
      storedBytes: () => this.#commit.total(ALL_BYTES),
      diskFreeBytes: parts.diskFreeBytes,
    });
    this.#damagedBlocks = parts.metrics.counter(
      "velas_shard_damage_total",
      "Shards put in quarantine since a block did not have its checksum",
    );
  }

  /** Reads what the store holds, and forgets uploads that were cut off before their first block; must run before anything else. */
  async load(): Promise<void> {
    await this.#commit.load();
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
    this.#parts.sweeper.start();
  }

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

  async get(key: ShardKey): Promise<ShardRecord | undefined> {
    const row = await this.tables.row(key);
    if (row?.damaged !== undefined) throw quarantined(row.record);
    return row?.record;
  }

  async suspended(key: ShardKey): Promise<number> {
    const upload = await this.tables.upload(key);
    return upload === undefined || this.#open.has(shardRowKey(key)) ? 0 : await this.#bodies.storedBytes(upload.seq);
  }

  async read(key: ShardKey, span: ByteSpan): Promise<Uint8Array> {
    const row = await this.#existing(key);
    const { sizeBytes } = row.record;
    if (!(span.start >= 0 && span.start < span.end && span.end <= sizeBytes)) {
      throw new NodeError(
        "invalid_argument",
        `There are no bytes ${span.start} to ${span.end} in a shard of ${sizeBytes}`,
      );
    }
    const bytes = await this.#bodies.read(row.seq, sizeBytes, span);
    if (bytes !== undefined) return bytes;
    throw await this.#quarantine(key, row);
  }

  async nodes(
    key: ShardKey,
    positions: readonly { readonly level: number; readonly index: number }[],
  ): Promise<readonly Uint8Array[]> {
    const row = await this.#existing(key);
    const digests = await this.#bodies.nodes(row.seq, positions);
    if (digests !== undefined) return digests;
    throw await this.#quarantine(key, row);
  }

  renew(key: ShardKey, expiresAt: number): Promise<ShardRecord> {
    return this.#locks.run(shardRowKey(key), async () => {
      const row = await this.#existing(key);
      const renewed: ShardRow = { ...row, record: { ...row.record, expiresAt } };
      const ops = [this.tables.expiry.del(expiryKey(row.record)), ...this.tables.add(renewed)];
      await this.#commit.write(ops, { durable: true });
      return renewed.record;
    });
  }

  refuse(key: ShardKey, upTo: number): Promise<void> {
    return this.#locks.run(shardRowKey(key), async () => {
      const row = await this.tables.row(key);
      if (row === undefined) throw noShard(key.id);
      if (upTo <= (row.record.refusedUpTo ?? 0)) return;
      const noted: ShardRow = { ...row, record: { ...row.record, refusedUpTo: upTo } };
      await this.#commit.write([this.tables.rows.put(shardRowKey(key), encodeRow(noted))], { durable: true });
    });
  }

  remove(key: ShardKey): Promise<boolean> {
    const name = shardRowKey(key);
    return this.#locks.run(name, async () => {
      if (this.#open.has(name)) throw uploading(key);
      const [row, upload] = await Promise.all([this.tables.row(key), this.tables.upload(key)]);
      if (row === undefined && upload === undefined) return false;
      const ops: WriteOp[] = row === undefined ? [] : this.tables.drop(row);
      if (upload !== undefined) {
        ops.push(this.tables.uploads.del(name), this.tables.bury(upload.seq, this.#room.of(name)));
      }
      await this.#commit.write(ops, { durable: true, ...(row && { deltas: accountsOf(row, -1) }) });
      this.#room.set(name, 0);
      this.#parts.sweeper.start();
      return true;
    });
  }

  async list(owner: RequesterId, afterId: ShardId, limit: number): Promise<readonly ShardRecord[]> {
    const prefix = `${requesterKey(owner)}/`;
    const rows = await this.tables.rows.entries({ gt: prefix + afterId, lt: `${requesterKey(owner)}0`, limit });
    return rows.map(([, text]) => decodeShardRow(text).record);
  }

  /** Shards of all owners, in the order of owners and ids, behind the given one. */
  async listAll(after: ShardKey | undefined, limit: number): Promise<readonly ShardRecord[]> {
    const rows = await this.tables.rows.entries({ ...(after !== undefined && { gt: shardRowKey(after) }), limit });
    return rows.map(([, text]) => decodeShardRow(text).record);
  }

  async expired(nowMs: number, limit: number): Promise<readonly ShardRecord[]> {
    const keys = await this.tables.expiry.keys({ lt: seqKey(Math.max(0, Math.floor(nowMs)) + 1), limit });
    const rows = await this.tables.rows.getMany(keys.map((key) => key.slice(key.indexOf("/") + 1)));
    return rows.flatMap((text) => text === undefined ? [] : [decodeShardRow(text).record]);
  }

  /** Removes uploads that nobody has worked on since a time and are not open. Returns how many. */
  async dropUploadsBefore(timeMs: number): Promise<number> {
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

  /** The steady clock's time that was kept last. */
  async keptTime(): Promise<number | undefined> {
    const text = await this.tables.meta.get(STEADY_TIME);
    const time = Number(text);
    return text !== undefined && Number.isSafeInteger(time) && time >= 0 ? time : undefined;
  }

  async keepTime(nowMs: number): Promise<void> {
    await this.#commit.write([this.tables.meta.put(STEADY_TIME, String(nowMs))], { durable: false });
  }

  totals(owner?: RequesterId): Promise<{ readonly shards: number; readonly bytes: number }> {
    const name = owner === undefined ? undefined : requesterKey(owner);
    return Promise.resolve({
      shards: this.#commit.total(name === undefined ? ALL_SHARDS : ownerShards(name)),
      bytes: this.#commit.total(name === undefined ? ALL_BYTES : ownerBytes(name)),
    });
  }

  freeBytes(): number {
    return this.#room.freeBytes;
  }

  stats(): ShardStoreStats {
    return {
      shards: this.#commit.total(ALL_SHARDS),
      bytes: this.#commit.total(ALL_BYTES),
      uploadBytes: this.#room.asideBytes,
      quotaBytes: this.#parts.settings.quotaBytes,
    };
  }

  /** Waits until removed bodies are off the disk. */
  async settle(): Promise<void> {
    await this.#parts.sweeper.settle({ compact: true });
  }

  // What uploads ask of their store.

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
        storedAt: this.#parts.clock.now(),
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
      if (damaged !== undefined) this.#parts.sweeper.start();
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
    this.#parts.sweeper.start();
    return true;
  }

  #ended(key: string, keptBytes: number): void {
    this.#open.delete(key);
    this.#room.set(key, keptBytes);
  }

  /** The row of an upload that somebody works on now. */
  #uploadRow({ owner, id }: ShardKey, seq: number): WriteOp {
    const row: UploadRow = { owner, id, seq, startedAt: this.#parts.clock.now() };
    return this.tables.uploads.put(shardRowKey(row), encodeRow(row));
  }

  async #existing(key: ShardKey): Promise<ShardRow> {
    const row = await this.tables.row(key);
    if (row === undefined) throw noShard(key.id);
    if (row.damaged !== undefined) throw quarantined(row.record);
    return row;
  }

  /** Marks a shard as damaged and returns the error that says so. */
  #quarantine(key: ShardKey, found: ShardRow): Promise<NodeError> {
    return this.#locks.run(shardRowKey(key), async () => {
      const row = await this.tables.row(key);
      // It may have been removed, or put anew, since it was found.
      if (row === undefined || row.seq !== found.seq) {
        return new NodeError("not_found", `Shard ${key.id} was removed`, { data: { id: key.id } });
      }
      if (row.damaged === undefined) {
        await this.#commit.write([this.tables.rows.put(shardRowKey(key), encodeRow({ ...row, damaged: true }))], {
          durable: false,
        });
        this.#damagedBlocks.add(1);
      }
      return quarantined(row.record);
    });
  }
}

function sum(a: AccountDeltas, b: AccountDeltas): AccountDeltas {
  const total: Record<string, number> = { ...a };
  for (const [name, value] of Object.entries(b)) total[name] = (total[name] ?? 0) + value;
  return total;
}
