import type { ShardKey } from "../core/mod.ts";
import { requesterKey, seqKey } from "./codec.ts";
import type { Engine, WriteOp } from "./engine.ts";
import type { AccountDeltas } from "./group-commit.ts";
import { decodeShardRow, decodeUploadRow, encodeRow, expiryKey, seqOf, shardRowKey } from "./shard-rows.ts";
import type { ShardRow, UploadRow } from "./shard-rows.ts";
import { Sublevel } from "./sublevel.ts";

/** The sublevel of a shard's row. */
export const SHARD_RECORDS = "shard-record";
/** The sublevel of the accounts. */
export const SHARD_TOTALS = "shard-total";

/**
 * The sublevels of the shard database, and how its rows go together. All that is small sorts behind the bodies: a table of LevelDB that held rows before
 * them and rows behind them would lie across every body that is there, and would be merged with them.
 */
export class ShardTables {
  readonly rows: Sublevel;
  readonly expiry: Sublevel;
  readonly uploads: Sublevel;
  readonly bodies: Sublevel;
  readonly trees: Sublevel;
  /** Bodies whose shard is gone, by their number: their keys are still to be deleted. */
  readonly dead: Sublevel;
  readonly meta: Sublevel;
  readonly engine: Engine;

  constructor(engine: Engine) {
    this.engine = engine;
    this.rows = new Sublevel(engine, SHARD_RECORDS);
    this.expiry = new Sublevel(engine, "shard-expiry");
    this.uploads = new Sublevel(engine, "shard-upload");
    this.bodies = new Sublevel(engine, "shard-body");
    this.trees = new Sublevel(engine, "shard-tree");
    this.dead = new Sublevel(engine, "shard-dead");
    this.meta = new Sublevel(engine, "shard-meta");
  }

  async row(key: ShardKey): Promise<ShardRow | undefined> {
    const text = await this.rows.get(shardRowKey(key));
    return text === undefined ? undefined : decodeShardRow(text);
  }

  async upload(key: ShardKey): Promise<UploadRow | undefined> {
    const text = await this.uploads.get(shardRowKey(key));
    return text === undefined ? undefined : decodeUploadRow(text);
  }

  /**
   * A number that no body has. After a power cut the one that was noted may be behind the bodies, which are flushed earlier than the note.
   */
  async freeSeq(): Promise<number> {
    const noted = Number(await this.meta.get(NEXT_SEQ) ?? 1);
    const levels = [this.bodies, this.trees, this.dead];
    const last = await Promise.all(levels.map(async (level) => (await level.keys({ limit: 1, reverse: true }))[0]));
    return Math.max(noted, ...last.map((key) => key === undefined ? 1 : seqOf(key) + 1));
  }

  /** What adds a shard, with its place in the index. */
  add(row: ShardRow): WriteOp[] {
    return [this.rows.put(shardRowKey(row.record), encodeRow(row)), this.expiry.put(expiryKey(row.record), "")];
  }

  /** What takes a shard away, but for its body, which is now dead. */
  drop(row: ShardRow): WriteOp[] {
    return [
      this.rows.del(shardRowKey(row.record)),
      this.expiry.del(expiryKey(row.record)),
      this.bury(row.seq, row.record.sizeBytes),
    ];
  }

  /** Marks a body as dead. */
  bury(seq: number, sizeBytes: number): WriteOp {
    return this.dead.put(seqKey(seq), String(sizeBytes));
  }
}

/** The accounts that a shard moves: those of all shards and those of its owner's. `sign` is 1 when it comes and -1 when it goes. */
export function accountsOf({ record }: ShardRow, sign: 1 | -1): AccountDeltas {
  const owner = requesterKey(record.owner);
  return {
    [ALL_SHARDS]: sign,
    [ALL_BYTES]: sign * record.sizeBytes,
    [ownerShards(owner)]: sign,
    [ownerBytes(owner)]: sign * record.sizeBytes,
  };
}

/** All parts of the shard database. */
export const SHARD_PARTS: readonly string[] = [
  SHARD_RECORDS,
  "shard-expiry",
  "shard-upload",
  "shard-body",
  "shard-tree",
  "shard-dead",
  "shard-meta",
  SHARD_TOTALS,
  "system",
];

/** Where the number of the next upload is noted. */
export const NEXT_SEQ = "next-seq";
/** Where the steady clock's time is kept, by which leases end. */
export const STEADY_TIME = "steady-time";
/** The account of how many shards there are. */
export const ALL_SHARDS = "shards";
/** The account of the bytes of all shards. */
export const ALL_BYTES = "bytes";

/** The account of an owner's shards. */
export function ownerShards(ownerKey: string): string {
  return `owner/${ownerKey}/shards`;
}

/** The account of an owner's bytes. */
export function ownerBytes(ownerKey: string): string {
  return `owner/${ownerKey}/bytes`;
}
