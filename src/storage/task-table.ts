import {
  isEnd,
  positionId,
  type RequesterId,
  type StoredTask,
  type TaskChange,
  type TaskKey,
  taskPosition,
  type TaskRange,
  type TaskRangePage,
  type TaskRoom,
  timeKey,
} from "../core/mod.ts";
import { bodyKey, decodeTask, encodeTask, pendingKey, recordKey, recordKeyOf, requesterKey } from "./codec.ts";
import type { Engine, WriteOp } from "./engine.ts";
import type { AccountDeltas, GroupCommit } from "./group-commit.ts";
import { Sublevel } from "./sublevel.ts";

/** The most records that one page of a filtered list looks at. */
const MAX_SCANNED = 5000;
const SCAN_STEP = 500;
/** What a task counts beside its input and output, in bytes: its record and its places in the indexes. */
const RECORD_BYTES = 1024;

/** How much of the store tasks take. */
export interface TaskTotals {
  readonly tasks: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
}

/**
 * Tasks in an {@link Engine}. Records are small and apart from inputs and outputs; indexes lead to them by requester and time,
 * by queue order while they have not ended, and by the time of their dropping once they have.
 */
export class TaskTable {
  readonly #commit: GroupCommit;
  readonly #records: Sublevel;
  readonly #inputs: Sublevel;
  readonly #outputs: Sublevel;
  readonly #byTime: Sublevel;
  readonly #pending: Sublevel;
  readonly #expiry: Sublevel;

  constructor(engine: Engine, commit: GroupCommit) {
    this.#commit = commit;
    this.#records = new Sublevel(engine, "task");
    this.#inputs = new Sublevel(engine, "task-input");
    this.#outputs = new Sublevel(engine, "task-output");
    this.#byTime = new Sublevel(engine, "task-time");
    this.#pending = new Sublevel(engine, "task-pending");
    this.#expiry = new Sublevel(engine, "task-expiry");
  }

  /** The task, or undefined when there is none. */
  async get(key: TaskKey): Promise<StoredTask | undefined> {
    const text = await this.#records.get(recordKey(key));
    return text === undefined ? undefined : decodeTask(text);
  }

  /** The stored input or output of a task, or undefined when none is stored. */
  body(task: StoredTask, part: "input" | "output"): Promise<Uint8Array | undefined> {
    const sizeBytes = part === "input" ? task.inputBytes : task.storedOutputBytes;
    if (sizeBytes === undefined || sizeBytes === 0) {
      return Promise.resolve(sizeBytes === undefined ? undefined : new Uint8Array(0));
    }
    return (part === "input" ? this.#inputs : this.#outputs).getBytes(bodyKey(task));
  }

  /** A requester's tasks, newest first. Throws `invalid_argument` when `range.after` is no position. */
  async list(range: TaskRange): Promise<TaskRangePage> {
    if (range.after !== "") positionId(range.after);
    const prefix = `${requesterKey(range.requester)}/`;
    const tasks: StoredTask[] = [];
    let before = range.after === "" ? prefix + "~" : prefix + range.after;
    for (let scanned = 0; scanned < MAX_SCANNED; scanned += SCAN_STEP) {
      const step = range.states.length === 0 ? Math.min(SCAN_STEP, range.limit - tasks.length + 1) : SCAN_STEP;
      const keys = await this.#byTime.keys({ gt: prefix, lt: before, limit: step, reverse: true });
      const page = await this.#load(keys.map((key) => prefix + positionId(key.slice(prefix.length))));
      for (const [index, task] of page.entries()) {
        if (task === undefined || !matches(task, range)) continue;
        if (tasks.length === range.limit) return { tasks, next: taskPosition(tasks.at(-1)!.record) };
        tasks.push(task);
        before = keys[index]!;
      }
      if (keys.length < step) return { tasks, next: "" };
      before = keys.at(-1)!;
    }
    return { tasks, next: before.slice(prefix.length) };
  }

  /** Tasks that have not ended, in the order of the queue, behind the given one. */
  async unfinished(after: StoredTask | undefined, limit: number): Promise<StoredTask[]> {
    const keys = await this.#pending.keys({ ...(after && { gt: pendingKey(after) }), limit });
    return (await this.#load(keys.map(recordKeyOf))).filter((task) => task !== undefined);
  }

  /** Ended tasks whose time to be dropped has come. */
  async expired(nowMs: number, limit: number): Promise<StoredTask[]> {
    const keys = await this.#expiry.keys({ lt: timeKey(nowMs + 1), limit });
    return (await this.#load(keys.map(recordKeyOf))).filter((task) => task !== undefined);
  }

  /** Applies changes in one batch: all or none. `durable` as in {@link GroupCommit}. */
  write(changes: readonly TaskChange[], options: { readonly durable: boolean }): Promise<void> {
    const ops: WriteOp[] = [];
    const deltas: Record<string, number> = {};
    const move = (accounts: AccountDeltas, sign: 1 | -1) => {
      for (const [name, value] of Object.entries(accounts)) deltas[name] = (deltas[name] ?? 0) + sign * value;
    };
    for (const change of changes) this.#apply(change, ops, move);
    return this.#commit.write(ops, { durable: options.durable, deltas });
  }

  /** What stored tasks take, as of the last write. */
  totals(): TaskTotals {
    return {
      tasks: this.#commit.total("task.count"),
      inputBytes: this.#commit.total("task.inputBytes"),
      outputBytes: this.#commit.total("task.outputBytes"),
    };
  }

  /** What stored tasks take, of all requesters and of one, in bytes, with what is handed in to be written. */
  room(requester: RequesterId): TaskRoom {
    const [tasks = 0, input = 0, output = 0] = ["task.count", "task.inputBytes", "task.outputBytes"].map((name) =>
      this.#commit.expected(name)
    );
    return {
      bytes: tasks * RECORD_BYTES + input + output,
      ofRequester: this.#commit.expected(ownerBytes(requester)),
    };
  }

  /**
   * Reads the tasks behind index keys. One whose record has gone since the index was read is left out.
   */
  async #load(keys: readonly string[]): Promise<(StoredTask | undefined)[]> {
    if (keys.length === 0) return [];
    const texts = await this.#records.getMany(keys);
    return texts.map((text) => text === undefined ? undefined : decodeTask(text));
  }

  #apply(change: TaskChange, ops: WriteOp[], move: (accounts: AccountDeltas, sign: 1 | -1) => void): void {
    const { task } = change;
    switch (change.type) {
      case "add":
        ops.push(...this.indexEntries(task));
        if (task.inputBytes > 0) ops.push(this.#inputs.put(bodyKey(task), change.input));
        move(accountsOf(task), 1);
        break;
      case "update":
        break;
      case "end":
        ops.push(this.#pending.del(pendingKey(task)), ...this.indexEntries(task));
        if (task.inputBytes > 0) ops.push(this.#inputs.del(bodyKey(task)));
        if (change.output !== undefined && change.output.length > 0) {
          ops.push(this.#outputs.put(bodyKey(task), change.output));
        }
        move(unfinishedAccounts(task), -1);
        move(accountsOf(task), 1);
        break;
      case "remove":
        ops.push(this.#records.del(recordKey(task.record)));
        for (const entry of this.indexEntries(task)) ops.push({ type: "del", key: entry.key });
        move(accountsOf(task), -1);
        if (isEnd(task.record.state)) {
          if ((task.storedOutputBytes ?? 0) > 0) ops.push(this.#outputs.del(bodyKey(task)));
        } else if (task.inputBytes > 0) ops.push(this.#inputs.del(bodyKey(task)));
        return;
    }
    ops.push(this.#records.put(recordKey(task.record), encodeTask(task)));
  }

  /** The index entries that a task in its present state has. */
  indexEntries(task: StoredTask): WriteOp[] {
    const byTime = this.#byTime.put(`${requesterKey(task.record.requester)}/${taskPosition(task.record)}`, "");
    if (!isEnd(task.record.state)) return [byTime, this.#pending.put(pendingKey(task), "")];
    // An ended task without a time to drop it stays until somebody removes it.
    if (task.record.expiresAt === undefined) return [byTime];
    return [byTime, this.#expiry.put(`${timeKey(task.record.expiresAt)}/${recordKey(task.record)}`, "")];
  }
}

/** The accounts that a stored task in its present state moves: those of all tasks and that of its requester. */
export function accountsOf(task: StoredTask): AccountDeltas {
  if (!isEnd(task.record.state)) return unfinishedAccounts(task);
  const outputBytes = task.storedOutputBytes ?? 0;
  return {
    "task.count": 1,
    "task.outputBytes": outputBytes,
    [ownerBytes(task.record.requester)]: RECORD_BYTES + outputBytes,
  };
}

function unfinishedAccounts({ record: { requester }, inputBytes }: StoredTask): AccountDeltas {
  return { "task.count": 1, "task.inputBytes": inputBytes, [ownerBytes(requester)]: RECORD_BYTES + inputBytes };
}

/** The account of what one requester's tasks take. */
export function ownerBytes(requester: RequesterId): string {
  return `task.owner/${requesterKey(requester)}`;
}

function matches(task: StoredTask, range: TaskRange): boolean {
  return range.states.length === 0 || range.states.includes(task.record.state);
}
