import { type Log, type NodeError, type PaymentKind, type PeerKind, silentLog } from "../core/mod.ts";
import { checkStore, type StoreCheck } from "./check-store.ts";
import type { Engine } from "./engine.ts";
import { FileTable } from "./file-table.ts";
import { GroupCommit } from "./group-commit.ts";
import { LevelEngine } from "./level-engine.ts";
import { MemoryEngine } from "./memory-engine.ts";
import { MetaTable } from "./meta-table.ts";
import { openDatabase } from "./open-database.ts";
import { rebuild } from "./rebuild.ts";
import { RequestTable } from "./request-table.ts";
import { migrate, type Migration } from "./schema.ts";
import { storageError } from "./storage-errors.ts";
import { TaskTable } from "./task-table.ts";
import { TextTable } from "./text-table.ts";

export interface OpenStoreOptions {
  /**
   * Whether what somebody is told to be stored has reached the disk itself (fsync), so that it survives a power cut and not
   * only the end of the process. True by default: writes that wait together share one fsync, and tasks that nobody can
   * ask for again are not stored at all, so it costs little; and a paid-for result that was acknowledged must not vanish.
   */
  readonly sync?: boolean;
  readonly log?: Log;
  /** For tests of the runner; by default the program's own. */
  readonly migrations?: readonly Migration[];
}

/** The node's database, opened. */
export interface Store {
  readonly tasks: TaskTable;
  readonly requests: RequestTable;
  readonly files: FileTable;
  readonly meta: MetaTable;
  /** The books of payments. */
  readonly payments: TextTable<PaymentKind>;
  /** The peer book. */
  readonly peers: TextTable<PeerKind>;
  /**
   * Proves the books, and with `repair` makes indexes and totals that are wrong anew from the records; to be called while nothing is written.
   */
  check(options: { readonly repair: boolean }): Promise<StoreCheck>;
  /** Why nothing can be written since a write failed; undefined while writing works, as far as the last write knows. */
  failure(): NodeError | undefined;
  /** Tries to make the store fit to write again after a failed write. Throws `storage_full` or `storage_failed` while it cannot. */
  recover(): Promise<void>;
  /** Waits for writes that have been handed in, and closes the files. Using the tables afterwards throws. */
  close(): Promise<void>;
}

/**
 * Opens the LevelDB in the directory `path`, or creates it, and brings it to the newest schema. A damaged database is repaired
 * as far as LevelDB can.
 *
 * Throws `storage_locked` when another process has it, `storage_full`, or `storage_failed` when it cannot be read or written,
 * is newer than this program, or is beyond repair.
 */
export async function openStore(path: string, options: OpenStoreOptions = {}): Promise<Store> {
  const { sync = true, log = silentLog } = options;
  const { db, repaired, release } = await openDatabase(path, log);
  const engine = new LevelEngine(path, db, log);
  try {
    await migrate(engine, { path, ...(options.migrations && { migrations: options.migrations }) });
    const tables = makeTables(engine, sync);
    if (repaired) {
      const dropped = await rebuild(engine, tables);
      log.warn("The database was damaged and has been repaired; what could not be read is gone", { path, dropped });
    }
    await tables.commit.load();
    return asStore(tables, engine, () => engine.close().finally(release));
  } catch (error) {
    await engine.close().catch(() => {});
    await release();
    throw storageError(path, error);
  }
}

/** A store that lives in memory and is lost with the process. */
export function openMemoryStore(): Store {
  const engine = new MemoryEngine();
  return asStore(makeTables(engine, false), engine, () => engine.close());
}

const PAYMENT_PARTS: Readonly<Record<PaymentKind, string>> = {
  earning: "pay-earning",
  spending: "pay-spending",
  total: "pay-total",
  transaction: "pay-transaction",
  quote: "pay-quote",
  custody: "pay-custody",
  audit: "pay-audit",
};

const PEER_PARTS: Readonly<Record<PeerKind, string>> = {
  peer: "peer",
  listed: "peer-listed",
  checkpoint: "peer-checkpoint",
};

function makeTables(engine: Engine, sync: boolean) {
  const commit = new GroupCommit(engine, { sync, forgetZeros: true });
  return {
    commit,
    tasks: new TaskTable(engine, commit),
    requests: new RequestTable(engine, commit),
    files: new FileTable(engine, commit),
    meta: new MetaTable(engine, commit),
    payments: new TextTable<PaymentKind>(engine, commit, PAYMENT_PARTS),
    peers: new TextTable<PeerKind>(engine, commit, PEER_PARTS),
  };
}

function asStore(
  { commit, tasks, requests, files, meta, payments, peers }: ReturnType<typeof makeTables>,
  engine: Engine,
  close: () => Promise<void>,
): Store {
  let closing: Promise<void> | undefined;
  return {
    tasks,
    requests,
    files,
    meta,
    payments,
    peers,
    async check({ repair }) {
      const parts = [...Object.values(PAYMENT_PARTS), ...Object.values(PEER_PARTS)];
      const found = await checkStore({ engine, tables: { tasks, requests, files }, parts, repair });
      // What is in memory is what was wrong.
      if (repair && found.problems.length > 0) await commit.load();
      return found;
    },
    failure: () => engine.failure,
    // A write of nothing: before it the commit reopens the engine and reads the totals anew.
    recover: () => commit.write([], { durable: true }),
    close: () => closing ??= commit.close().then(close),
  };
}
