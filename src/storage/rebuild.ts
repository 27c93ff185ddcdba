import { isEnd, type StoredTask } from "../core/mod.ts";
import { bodyKey, decodeRequest, decodeTask } from "./codec.ts";
import type { Engine, WriteOp } from "./engine.ts";
import { decodeFileRecord } from "./file-codec.ts";
import type { FileTable } from "./file-table.ts";
import { Sublevel } from "./sublevel.ts";
import type { RequestTable } from "./request-table.ts";
import { accountsOf, type TaskTable } from "./task-table.ts";

const STEP = 500;
/** Where the totals are. */
export const ACCOUNT = "account";
/** The parts of the database that follow from the records, beside the totals. */
export const INDEXES: readonly string[] = [
  "task-time",
  "task-pending",
  "task-expiry",
  "request-time",
  "request-sending",
  "file-name",
  "file-due",
  "file-renewal",
];

/** The tables whose records have indexes. */
export interface RebuiltTables {
  readonly tasks: TaskTable;
  readonly requests: RequestTable;
  readonly files: FileTable;
}

/**
 * Makes indexes and totals anew from the records, which are the truth, and drops inputs and outputs that belong to none. For a
 * store that LevelDB had to repair. Must run before anything else uses the store. Returns how many records were unreadable
 * and dropped.
 */
export async function rebuild(engine: Engine, tables: RebuiltTables): Promise<number> {
  for (const name of [...INDEXES, ACCOUNT]) await clear(engine, new Sublevel(engine, name));
  const totals = new Map<string, number>();
  const count = (name: string, value: number) => void totals.set(name, (totals.get(name) ?? 0) + value);
  let dropped = 0;

  dropped += await forEachRecord(engine, "task", (text) => {
    const task = decodeTask(text);
    for (const [name, value] of Object.entries(accountsOf(task))) count(name, value);
    return tables.tasks.indexEntries(task);
  });
  dropped += await forEachRecord(engine, "request", (text) => tables.requests.indexEntries(decodeRequest(text)));
  dropped += await forEachRecord(engine, "file", (text) => {
    const entries = tables.files.indexEntries(decodeFileRecord(text));
    count("file.count", 1);
    return entries;
  });

  for (const part of ["task-input", "task-output"] as const) {
    const bodies = new Sublevel(engine, part);
    for await (const keys of orphanBodies(engine, part)) {
      await engine.write(keys.map((key) => bodies.del(key)), false);
    }
  }

  const account = new Sublevel(engine, ACCOUNT);
  await engine.write([...totals].map(([name, value]) => account.put(name, String(value))), true);
  return dropped;
}

async function forEachRecord(engine: Engine, name: string, index: (text: string) => WriteOp[]): Promise<number> {
  const records = new Sublevel(engine, name);
  let dropped = 0;
  let after: string | undefined;
  for (;;) {
    const entries = await records.entries({ ...(after !== undefined && { gt: after }), limit: STEP });
    if (entries.length === 0) return dropped;
    const ops: WriteOp[] = [];
    for (const [key, text] of entries) {
      try {
        ops.push(...index(text));
      } catch {
        ops.push(records.del(key));
        dropped++;
      }
    }
    await engine.write(ops, false);
    after = entries.at(-1)![0];
  }
}

/** The keys of inputs or outputs that belong to no task that has one, in pages. */
export async function* orphanBodies(engine: Engine, part: "task-input" | "task-output"): AsyncGenerator<string[]> {
  const owns = part === "task-input"
    ? (task: StoredTask) => !isEnd(task.record.state)
    : (task: StoredTask) => task.storedOutputBytes !== undefined;
  const bodies = new Sublevel(engine, part);
  const records = new Sublevel(engine, "task");
  let after: string | undefined;
  for (;;) {
    const keys = await bodies.keys({ ...(after !== undefined && { gt: after }), limit: STEP });
    if (keys.length === 0) return;
    const owners = await records.getMany(keys.map((key) => key.slice(key.indexOf("/") + 1)));
    yield keys.filter((key, index) => {
      const text = owners[index];
      if (text === undefined) return true;
      const task = readable(text);
      // What belongs to a record that cannot be read is kept with it.
      return task !== undefined && (bodyKey(task) !== key || !owns(task));
    });
    after = keys.at(-1)!;
  }
}

function readable(text: string): StoredTask | undefined {
  try {
    return decodeTask(text);
  } catch {
    return undefined;
  }
}

async function clear(engine: Engine, sublevel: Sublevel): Promise<void> {
  for (;;) {
    const keys = await sublevel.keys({ limit: STEP });
    if (keys.length === 0) return;
    await engine.write(keys.map((key) => sublevel.del(key)), false);
  }
}
