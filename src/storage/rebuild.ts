import { isEnd, type StoredTask } from "../core/mod.ts";
import { bodyKey, decodeRequest, decodeTask } from "./codec.ts";
import type { Engine, WriteOp } from "./engine.ts";
import { decodeFileRecord } from "./file-codec.ts";
import type { FileTable } from "./file-table.ts";
import { Sublevel } from "./sublevel.ts";
import type { RequestTable } from "./request-table.ts";
import { accountsOf, type TaskTable } from "./task-table.ts";

const STEP = 500;
/** What follows from the records. */
const INDEXES = [
  "task-time",
  "task-pending",
  "task-expiry",
  "request-time",
  "request-sending",
  "file-name",
  "file-due",
  "file-renewal",
  "account",
];

/**
 * Makes indexes and totals anew from the records, which are the truth, and drops inputs and outputs that belong to none. For a
 * store that LevelDB had to repair. Must run before anything else uses the store. Returns how many records were unreadable
 * and dropped.
 */
export async function rebuild(
  engine: Engine,
  tables: { readonly tasks: TaskTable; readonly requests: RequestTable; readonly files: FileTable },
): Promise<number> {
  for (const name of INDEXES) await clear(engine, new Sublevel(engine, name));
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

  await dropOrphans(engine, "task-input", (task) => !isEnd(task.record.state));
  await dropOrphans(engine, "task-output", (task) => task.storedOutputBytes !== undefined);

  const account = new Sublevel(engine, "account");
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

async function dropOrphans(engine: Engine, name: string, owns: (task: StoredTask) => boolean): Promise<void> {
  const bodies = new Sublevel(engine, name);
  const records = new Sublevel(engine, "task");
  let after: string | undefined;
  for (;;) {
    const keys = await bodies.keys({ ...(after !== undefined && { gt: after }), limit: STEP });
    if (keys.length === 0) return;
    const owners = await records.getMany(keys.map((key) => key.slice(key.indexOf("/") + 1)));
    const orphans = keys.filter((key, index) => {
      const text = owners[index];
      if (text === undefined) return true;
      const task = decodeTask(text);
      return bodyKey(task) !== key || !owns(task);
    });
    await engine.write(orphans.map((key) => bodies.del(key)), false);
    after = keys.at(-1)!;
  }
}

async function clear(engine: Engine, sublevel: Sublevel): Promise<void> {
  for (;;) {
    const keys = await sublevel.keys({ limit: STEP });
    if (keys.length === 0) return;
    await engine.write(keys.map((key) => sublevel.del(key)), false);
  }
}
