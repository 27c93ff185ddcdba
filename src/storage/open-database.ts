import { access, constants, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import type { Level } from "level";
import { type Log, NodeError } from "../core/mod.ts";
import { type LevelTuning, openLevel, repairLevel } from "./level-engine.ts";
import { describe, hasCode, storageError } from "./storage-errors.ts";

/** LevelDB's own lock file is empty; this one beside it tells who holds it. */
const OWNER_FILE = "OWNER";

/** A LevelDB that is open. */
export interface OpenedDatabase {
  readonly db: Level<string, string>;
  /** Whether it was damaged, so that LevelDB left out what it could not read. */
  readonly repaired: boolean;
  /** Takes away the note of who has it; to be called when it is closed. */
  release(): Promise<void>;
}

/**
 * Opens the LevelDB in the directory `path`, or creates it, and notes beside it which process has it. A damaged one is repaired as far as
 * LevelDB can. Throws `storage_locked`, `storage_full` or `storage_failed`.
 */
export async function openDatabase(path: string, log: Log, tuning?: LevelTuning): Promise<OpenedDatabase> {
  const opened = await openOrRepair(path, log, tuning);
  const owner = join(path, OWNER_FILE);
  try {
    await writeFile(owner, `${process.pid}\n`);
  } catch (error) {
    await opened.db.close().catch(() => {});
    throw storageError(path, error);
  }
  return { ...opened, release: () => rm(owner, { force: true }).catch(() => {}) };
}

async function openOrRepair(path: string, log: Log, tuning: LevelTuning | undefined) {
  await makeFolder(path);
  try {
    return { db: await openLevel(path, tuning), repaired: false };
  } catch (error) {
    if (hasCode(error, "LEVEL_LOCKED")) throw await lockedError(path, error);
    if (!isDamage(error)) throw storageError(path, error);
    log.warn("The database is damaged; repairing it", { path, error: describe(error) });
    try {
      await repairLevel(path);
      return { db: await openLevel(path, tuning), repaired: true };
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
