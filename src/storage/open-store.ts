import { access, constants, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { type Log, NodeError, silentLog } from "../core/mod.ts";
import type { Engine } from "./engine.ts";
import { GroupCommit } from "./group-commit.ts";
import { LevelEngine, openLevel, repairLevel } from "./level-engine.ts";
import { MemoryEngine } from "./memory-engine.ts";
import { MetaTable } from "./meta-table.ts";
import { rebuild } from "./rebuild.ts";
import { RequestTable } from "./request-table.ts";
import { migrate, type Migration } from "./schema.ts";
import { describe, hasCode, storageError } from "./storage-errors.ts";
import { TaskTable } from "./task-table.ts";

/** LevelDB's own lock file is empty; this one beside it tells who holds it. */
const OWNER_FILE = "OWNER";

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
  readonly meta: MetaTable;
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
  const { db, repaired } = await open(path, log);
  const engine = new LevelEngine(path, db, log);
  try {
    await migrate(engine, { path, ...(options.migrations && { migrations: options.migrations }) });
    const tables = makeTables(engine, sync);
    if (repaired) {
      const dropped = await rebuild(engine, tables);
      log.warn("The database was damaged and has been repaired; what could not be read is gone", { path, dropped });
    }
    await tables.commit.load();
    const owner = join(path, OWNER_FILE);
    await writeFile(owner, `${process.pid}\n`);
    return asStore(tables, async () => {
      await rm(owner, { force: true }).catch(() => {});
      await engine.close();
    });
  } catch (error) {
    await engine.close().catch(() => {});
    throw storageError(path, error);
  }
}

/** A store that lives in memory and is lost with the process. */
export function openMemoryStore(): Store {
  const engine = new MemoryEngine();
  return asStore(makeTables(engine, false), () => engine.close());
}

function makeTables(engine: Engine, sync: boolean) {
  const commit = new GroupCommit(engine, { sync });
  return {
    commit,
    tasks: new TaskTable(engine, commit),
    requests: new RequestTable(engine, commit),
    meta: new MetaTable(engine, commit),
  };
}

function asStore({ commit, tasks, requests, meta }: ReturnType<typeof makeTables>, close: () => Promise<void>): Store {
  let closing: Promise<void> | undefined;
  return {
    tasks,
    requests,
    meta,
    close: () => closing ??= commit.close().then(close),
  };
}

async function open(path: string, log: Log) {
  await makeFolder(path);
  try {
    return { db: await openLevel(path), repaired: false };
  } catch (error) {
    if (hasCode(error, "LEVEL_LOCKED")) throw await lockedError(path, error);
    if (!isDamage(error)) throw storageError(path, error);
    log.warn("The database is damaged; repairing it", { path, error: describe(error) });
    try {
      await repairLevel(path);
      return { db: await openLevel(path), repaired: true };
    } catch (cause) {
      throw new NodeError(
        "storage_failed",
        `The database in ${path} is damaged beyond repair: restore it from a backup, or move it away to begin with an empty one`,
        { cause, data: { path } },
      );
    }
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    // On a read-only file system this says only that there is no such folder; its parent tells more.
    let parent = dirname(path);
    while (hasCode(error, "ENOENT") && parent !== dirname(parent)) {
      const why = await access(parent, constants.W_OK).then(() => error, (cause) => cause);
      if (!hasCode(why, "ENOENT")) throw storageError(path, why);
      parent = dirname(parent);
    }
    throw storageError(path, error);
  }
}

/** Whether LevelDB says that its files do not fit together. A missing or emptied file shows as an I/O error. */
function isDamage(error: unknown): boolean {
  return hasCode(error, "LEVEL_CORRUPTION") || /Corruption|CURRENT|MANIFEST|\.ldb|\.sst/.test(describe(error)) &&
      !/No space|Read-only|Permission|Too many open/i.test(describe(error));
}

async function lockedError(path: string, cause: unknown): Promise<NodeError> {
  const pid = await ownerPid(path);
  const holder = pid === undefined
    ? "another process"
    : pid === process.pid
    ? `this process (${pid})`
    : `process ${pid}`;
  return new NodeError(
    "storage_locked",
    `The data directory ${path} is in use by ${holder}: stop it first, or choose another directory (node.dataDir)`,
    { cause, data: pid === undefined ? { path } : { path, pid } },
  );
}

async function ownerPid(path: string): Promise<number | undefined> {
  const text = await readFile(join(path, OWNER_FILE), "utf8").catch(() => "");
  return /^\d+\n$/.test(text) ? Number(text) : undefined;
}
