import { type Clock, type Log, type Metrics, noMetrics, silentLog, systemClock } from "../core/mod.ts";
import { type CheckOptions, checkShardTables, type ShardCheck } from "./check-shards.ts";
import type { Engine } from "./engine.ts";
import { GroupCommit } from "./group-commit.ts";
import { BODY_TUNING, freeBytes, LevelEngine } from "./level-engine.ts";
import { MemoryEngine } from "./memory-engine.ts";
import { moveRecords } from "./move-records.ts";
import { openDatabase } from "./open-database.ts";
import { migrate, type Migration } from "./schema.ts";
import { LevelShardStore, type ShardStoreSettings } from "./shard-store.ts";
import { ShardSweeper } from "./shard-sweeper.ts";
import { SHARD_TOTALS, ShardTables } from "./shard-tables.ts";
import { storageError } from "./storage-errors.ts";

export interface OpenShardStoreOptions extends Partial<ShardStoreSettings> {
  /** Whether what is acknowledged has reached the disk itself; true by default, as in `openStore`. */
  readonly sync?: boolean;
  /** Deleted bytes after which the disk is asked to give them back; 64 MiB, a table, by default. */
  readonly compactBytes?: number;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly metrics?: Metrics;
}

/** A shard store with what it takes to end and to check it. */
export interface OpenedShardStore {
  readonly shards: LevelShardStore;
  /** Proves the books; to be called while nothing is written. */
  check(options: CheckOptions): Promise<ShardCheck>;
  /** Waits for writes that have been handed in, and closes the files. Open uploads are suspended by that. */
  close(): Promise<void>;
}

/** All steps to the schema of the shard database that this program writes, in order; it is apart from that of the node's database. */
const MIGRATIONS: readonly Migration[] = [
  // What is small lies behind the bodies.
  { to: 2, run: moveRecords },
];

/** Room for others on the disk, when nobody says otherwise. */
const DEFAULT_MIN_FREE_BYTES = 1 << 30; // 1 GiB

const DEFAULT_COMPACT_BYTES = 64 << 20; // 64 MiB

/**
 * Opens the shard database in the directory `path`, or creates it. Throws as `openStore` does: `storage_locked`, `storage_full`,
 * `storage_failed`.
 */
export async function openShardStore(path: string, options: OpenShardStoreOptions = {}): Promise<OpenedShardStore> {
  const { sync = true, log = silentLog } = options;
  const { db, repaired, release } = await openDatabase(path, log, BODY_TUNING);
  const engine = new LevelEngine(path, db, log, BODY_TUNING);
  try {
    await migrate(engine, { path, migrations: MIGRATIONS });
    const store = makeStore(engine, { ...options, sync, log }, () => freeBytes(path));
    if (repaired) {
      const { problems } = await store.check({ repair: true, readBodies: false });
      log.warn("The shard database was damaged and has been repaired; what could not be read is gone", {
        path,
        problems: problems.length,
      });
    }
    await store.shards.load();
    return { ...store, close: () => store.close().then(release) };
  } catch (error) {
    await engine.close().catch(() => {});
    await release();
    throw storageError(path, error);
  }
}

/** A shard store that lives in memory and is lost with the process. */
export async function openMemoryShardStore(options: OpenShardStoreOptions = {}): Promise<OpenedShardStore> {
  const store = makeStore(
    new MemoryEngine(),
    { sync: false, log: silentLog, ...options },
    () => Promise.resolve(Infinity),
  );
  await store.shards.load();
  return store;
}

function makeStore(
  engine: Engine,
  options: OpenShardStoreOptions & { readonly sync: boolean; readonly log: Log },
  diskFreeBytes: () => Promise<number>,
): OpenedShardStore {
  const { quotaBytes = Number.MAX_SAFE_INTEGER, minFreeBytes = DEFAULT_MIN_FREE_BYTES } = options;
  const tables = new ShardTables(engine);
  const commit = new GroupCommit(engine, { sync: options.sync, forgetZeros: true, part: SHARD_TOTALS });
  const sweeper = new ShardSweeper(tables, commit, {
    log: options.log,
    compactBytes: options.compactBytes ?? DEFAULT_COMPACT_BYTES,
  });
  const shards = new LevelShardStore({
    tables,
    commit,
    sweeper,
    settings: { quotaBytes, minFreeBytes },
    clock: options.clock ?? systemClock,
    metrics: options.metrics ?? noMetrics,
    diskFreeBytes,
  });
  let closing: Promise<void> | undefined;
  return {
    shards,
    async check(check) {
      const found = await checkShardTables(tables, check);
      if (check.repair && found.problems.length > 0) {
        // What is in memory is what was wrong, and some bodies are dead only now.
        await commit.load();
        sweeper.start();
      }
      return found;
    },
    close: () => closing ??= sweeper.stop().then(() => commit.close()).then(() => engine.close()),
  };
}
