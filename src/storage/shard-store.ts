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
import type { GroupCommit } from "./group-commit.ts";
import { KeyedLock } from "./keyed-lock.ts";
import { ShardBodies } from "./shard-bodies.ts";
import { noShard, quarantined, uploading } from "./shard-failures.ts";
import { ShardRoom } from "./shard-room.ts";
import { decodeShardRow, encodeRow, expiryKey, type ShardRow, shardRowKey } from "./shard-rows.ts";
import type { ShardSweeper } from "./shard-sweeper.ts";
import {
  accountsOf,
  ALL_BYTES,
  ALL_SHARDS,
  ownerBytes,
  ownerShards,
  type ShardTables,
  STEADY_TIME,
} from "./shard-tables.ts";
import type { OpenUpload } from "./shard-upload.ts";
import { ShardUploads } from "./shard-uploads.ts";

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
export class LevelShardStore {
  readonly tables: ShardTables;
  readonly #parts: ShardStoreParts;
  readonly #commit: GroupCommit;
  readonly #locks = new KeyedLock();
  readonly #bodies: ShardBodies;
  readonly #room: ShardRoom;
  readonly #uploads: ShardUploads;
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
    this.#uploads = new ShardUploads({ ...parts, locks: this.#locks, bodies: this.#bodies, room: this.#room });
    this.#damagedBlocks = parts.metrics.counter(
      "velas_shard_damage_total",
      "Shards put in quarantine since a block did not have its checksum",
    );
  }

  /** Reads what the store holds, and forgets uploads that were cut off before their first block; must run before anything else. */
  async load(): Promise<void> {
    await this.#commit.load();
    await this.#uploads.load();
    this.#parts.sweeper.start();
  }

  begin(shard: NewShard): Promise<OpenUpload> {
    return this.#uploads.begin(shard);
  }

  async get(key: ShardKey): Promise<ShardRecord | undefined> {
    const row = await this.tables.row(key);
    if (row?.damaged !== undefined) throw quarantined(row.record);
    return row?.record;
  }

  suspended(key: ShardKey): Promise<number> {
    return this.#uploads.suspended(key);
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
      if (this.#uploads.isOpen(name)) throw uploading(key);
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
  dropUploadsBefore(timeMs: number): Promise<number> {
    return this.#uploads.dropBefore(timeMs);
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
