import { statfs } from "node:fs/promises";
import { Level } from "level";
import { type Log, NodeError } from "../core/mod.ts";
import type { Engine, KeyRange, WriteOp } from "./engine.ts";
import { describe, storageError, storageFull } from "./storage-errors.ts";

const WRITE_BUFFER_BYTES = 16 << 20;
const CACHE_BYTES = 16 << 20;
/**
 * Reopening after a failure writes the log anew as a table, which is as large as the write buffer at most, and must leave this much to work
 * in. With less the database would be closed and not open again, and could not be read either.
 */
const REOPEN_FREE_BYTES = 8 << 20;
const REOPEN_INTERVAL_MS = 1000;

/** Large values are read once, and would push what is small out of the cache. */
const BODY_OPTIONS = { valueEncoding: "view", fillCache: false };

/** How a LevelDB is tuned. */
export interface LevelTuning {
  readonly writeBufferSize: number;
  readonly cacheSize: number;
  readonly maxFileSize?: number;
  readonly compression?: boolean;
}

/** For records: small values, random keys. */
const RECORD_TUNING: LevelTuning = { writeBufferSize: WRITE_BUFFER_BYTES, cacheSize: CACHE_BYTES };

/**
 * For bodies: large values that do not compress, under rising keys. Two write buffers can be full at once, one of them on its way to the disk: of
 * 64 MiB each they took a process 182 MiB, of 16 MiB 105, for an eighth of the speed. The tables that come of them are cut in two: each new one
 * lies before the records, so LevelDB merges it with the table that ends with those, and that one is to be small (docs/decisions/shard-store.md).
 */
export const BODY_TUNING: LevelTuning = {
  writeBufferSize: 16 << 20,
  maxFileSize: 8 << 20,
  cacheSize: 8 << 20,
  compression: false,
};

/** Opens the LevelDB in the directory `path`, or creates it. Throws what `abstract-level` throws. */
export async function openLevel(path: string, tuning: LevelTuning = RECORD_TUNING): Promise<Level<string, string>> {
  const db = new Level<string, string>(path, tuning);
  await db.open();
  return db;
}

/** LevelDB's own repair: keeps what can be read, and moves what cannot into the folder `lost`. The database must be closed. */
export function repairLevel(path: string): Promise<void> {
  // The typings of `level` leave out the static functions that its Node.js implementation has.
  return (Level as unknown as { repair(location: string): Promise<void> }).repair(path);
}

/**
 * An {@link Engine} on LevelDB.
 *
 * After a failed write LevelDB's log writer no longer knows where it stands in its file: what it appends later can be
 * unreadable at the next start, although it was acknowledged. So after any failed write this engine refuses further ones
 * until `reopen` has closed and opened the database again. It tries that at most once a second, and for a full disk only
 * once there is room. Reads go on meanwhile.
 */
export class LevelEngine implements Engine {
  readonly #path: string;
  readonly #log: Log;
  readonly #tuning: LevelTuning;
  #db: Level<string, string>;
  #failure: NodeError | undefined;
  #reopening: Promise<void> | undefined;
  #lastAttemptAt = -Infinity;
  #closed = false;

  constructor(path: string, db: Level<string, string>, log: Log, tuning: LevelTuning = RECORD_TUNING) {
    this.#path = path;
    this.#db = db;
    this.#log = log;
    this.#tuning = tuning;
  }

  get failure(): NodeError | undefined {
    return this.#failure;
  }

  get(key: string): Promise<string | undefined> {
    // In place, 2 µs, rather than through the thread pool, 30 µs: what is read so is small, and mostly in memory or known to
    // be absent from LevelDB's filters.
    return this.#read((db) => db.getSync(key));
  }

  getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    return this.#read((db) => db.getMany(keys as string[]));
  }

  getBytes(key: string): Promise<Uint8Array | undefined> {
    return this.#read(async (db) => {
      const value: Uint8Array | undefined = await db.get<string, Uint8Array>(key, BODY_OPTIONS);
      // LevelDB's memory may be shared or foreign; the caller gets bytes that can be transferred to a worker.
      return value && new Uint8Array(value);
    });
  }

  viewMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    // All of them in one visit to the thread pool.
    return this.#read((db) => db.getMany<string, Uint8Array>(keys as string[], BODY_OPTIONS));
  }

  keys(range: KeyRange): Promise<string[]> {
    return this.#read((db) => db.keys(iteratorOptions(range)).all());
  }

  entries(range: KeyRange): Promise<[string, string][]> {
    return this.#read((db) => db.iterator(iteratorOptions(range)).all());
  }

  async write(ops: readonly WriteOp[], sync: boolean): Promise<void> {
    if (this.#closed) throw closedError(this.#path);
    if (this.#failure !== undefined) throw this.#failure;
    try {
      await this.#db.batch(ops.map(toBatchOp), { sync });
    } catch (error) {
      this.#failure = storageError(this.#path, error);
      this.#log.error("A write to the data directory failed; it will be reopened", {
        path: this.#path,
        error: describe(error),
      });
      throw this.#failure;
    }
  }

  async reopen(): Promise<void> {
    if (this.#failure === undefined && this.#db.status === "open") return;
    this.#reopening ??= this.#tryReopen().finally(() => this.#reopening = undefined);
    await this.#reopening;
  }

  async compact({ gt, lt }: { readonly gt: string; readonly lt: string }): Promise<void> {
    // The typings of `level` leave out what its Node.js implementation has.
    await this.#read((db) =>
      (db as unknown as { compactRange(from: string, to: string): Promise<void> }).compactRange(gt, lt)
    );
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#reopening?.catch(() => {});
    try {
      await this.#db.close();
    } catch (error) {
      throw storageError(this.#path, error);
    }
  }

  async #read<T>(read: (db: Level<string, string>) => T | Promise<T>): Promise<T> {
    if (this.#closed) throw closedError(this.#path);
    if (this.#reopening !== undefined) await this.#reopening.catch(() => {});
    // The database is closed only when an attempt to reopen it failed half-way.
    if (this.#db.status !== "open") await this.reopen();
    try {
      return await read(this.#db);
    } catch (error) {
      throw storageError(this.#path, error);
    }
  }

  async #tryReopen(): Promise<void> {
    const failure = this.#failure ?? closedError(this.#path);
    const now = performance.now();
    if (now - this.#lastAttemptAt < REOPEN_INTERVAL_MS) throw failure;
    this.#lastAttemptAt = now;
    const neededBytes = this.#tuning.writeBufferSize + REOPEN_FREE_BYTES;
    if (failure.code === "storage_full" && await freeBytes(this.#path) < neededBytes) {
      throw storageFull(this.#path, failure.cause);
    }
    try {
      await this.#db.close();
      this.#db = await openLevel(this.#path, this.#tuning);
    } catch (error) {
      this.#failure = storageError(this.#path, error);
      throw this.#failure;
    }
    this.#failure = undefined;
    this.#log.info("The data directory was reopened after a failed write", { path: this.#path });
  }
}

function iteratorOptions({ gt, lt, limit, reverse = false }: KeyRange) {
  return { gt, lt, limit, reverse, highWaterMarkBytes: 1 << 18 };
}

function toBatchOp(op: WriteOp) {
  if (op.type === "del") return op;
  return { ...op, valueEncoding: typeof op.value === "string" ? "utf8" : "view" } as unknown as {
    type: "put";
    key: string;
    value: string;
  };
}

function closedError(path: string): NodeError {
  return new NodeError("storage_failed", `The data directory ${path} is closed since the node is stopping`, {
    data: { path },
  });
}

/** Bytes that the disk of a folder still takes; infinite where the system does not tell. */
export async function freeBytes(path: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch {
    // Where the system does not tell, the attempt itself will.
    return Infinity;
  }
}
