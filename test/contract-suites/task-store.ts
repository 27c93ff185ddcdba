import assert from "node:assert/strict";
import { test } from "node:test";
import type { RequesterId, StoredTask, TaskRange, TaskState } from "../../src/core/mod.ts";
import type { TaskStore } from "../../src/provider/mod.ts";
import type { TaskTotals } from "../../src/storage/mod.ts";

const ALICE: RequesterId = "0x00000000000000000000000000000000000000A1";
const BOB: RequesterId = "0x00000000000000000000000000000000000000b2";

/** A stored task with defaults. */
export function storedTask(
  fields: {
    readonly id?: string;
    readonly requester?: RequesterId;
    readonly state?: TaskState;
    readonly priority?: number;
    readonly seq?: number;
    readonly createdAt?: number;
    readonly expiresAt?: number;
    readonly inputBytes?: number;
    readonly storedOutputBytes?: number;
  } = {},
): StoredTask {
  const { id = "t1", requester = ALICE, state = "queued", priority = 0, seq = 1, createdAt = 1000 } = fields;
  return {
    record: {
      id,
      requester,
      plugin: "demo",
      resolvedPlugin: "demo@1.0.0",
      pluginSha256: "",
      function: "echo",
      contentType: "text/plain",
      limits: { timeoutMs: 1000, memoryBytes: 1 << 20, outputBytes: 1 << 20 },
      priority,
      state,
      createdAt,
      ...(fields.expiresAt !== undefined && { expiresAt: fields.expiresAt }),
      attempts: 0,
      inputSha256: "00",
    },
    digest: "d1",
    seq,
    inputBytes: fields.inputBytes ?? 0,
    ...(fields.storedOutputBytes !== undefined && { storedOutputBytes: fields.storedOutputBytes }),
  };
}

/** The same task, moved on. */
export function moved(
  task: StoredTask,
  state: TaskState,
  more: Partial<StoredTask> & { expiresAt?: number } = {},
): StoredTask {
  const { expiresAt, ...rest } = more;
  return { ...task, ...rest, record: { ...task.record, state, ...(expiresAt !== undefined && { expiresAt }) } };
}

const bytes = (text: string) => new TextEncoder().encode(text);
const soon = { durable: false };

function ids(tasks: readonly StoredTask[]): string[] {
  return tasks.map((task) => task.record.id);
}

function range(fields: Partial<TaskRange> = {}): TaskRange {
  return { requester: ALICE, states: [], limit: 100, after: "", ...fields };
}

/** A store to be tested. */
export interface TaskStoreSubject {
  readonly tasks: TaskStore & { totals(): TaskTotals };
  close(): Promise<void>;
}

/** What holds for every {@link TaskStore}. */
export function taskStoreContract(name: string, open: () => Promise<TaskStoreSubject>): void {
  const it = (sentence: string, body: (tasks: TaskStoreSubject["tasks"]) => Promise<void>) =>
    test(`${name}: ${sentence}`, async () => {
      const subject = await open();
      try {
        await body(subject.tasks);
      } finally {
        await subject.close();
      }
    });

  it("get() gives what was added, and undefined for what was not", async (tasks) => {
    const task = storedTask({ inputBytes: 5 });
    assert.equal(await tasks.get(task.record), undefined);
    await tasks.write([{ type: "add", task, input: bytes("input") }], { durable: true });
    assert.deepEqual(await tasks.get(task.record), task);
    assert.equal(await tasks.get({ requester: BOB, id: "t1" }), undefined);
    assert.equal(await tasks.get({ requester: ALICE, id: "t" }), undefined);
  });

  it("a requester is the same however its address is spelt", async (tasks) => {
    const task = storedTask();
    await tasks.write([{ type: "add", task, input: bytes("") }], soon);
    assert.deepEqual(await tasks.get({ requester: ALICE.toLowerCase() as RequesterId, id: "t1" }), task);
  });

  it("the input goes and the output comes when the task ends", async (tasks) => {
    const task = storedTask({ inputBytes: 5 });
    await tasks.write([{ type: "add", task, input: bytes("input") }], soon);
    assert.deepEqual(await tasks.body(task, "input"), bytes("input"));
    assert.equal(await tasks.body(task, "output"), undefined);
    const end = moved(task, "succeeded", { storedOutputBytes: 6, expiresAt: 5000 });
    await tasks.write([{ type: "end", task: end, output: bytes("output") }], soon);
    assert.deepEqual(await tasks.body(end, "output"), bytes("output"));
    assert.equal(await tasks.body(end, "input"), undefined);
    assert.deepEqual(await tasks.get(task.record), end);
  });

  it("an empty body is stored, a missing one is not", async (tasks) => {
    const task = storedTask();
    await tasks.write([{ type: "add", task, input: bytes("") }], soon);
    assert.deepEqual(await tasks.body(task, "input"), bytes(""));
    const empty = moved(task, "succeeded", { storedOutputBytes: 0, expiresAt: 1 });
    await tasks.write([{ type: "end", task: empty, output: bytes("") }], soon);
    assert.deepEqual(await tasks.body(empty, "output"), bytes(""));
  });

  it("what is written is a copy of the caller's bytes", async (tasks) => {
    const input = bytes("input");
    const task = storedTask({ inputBytes: 5 });
    await tasks.write([{ type: "add", task, input }], soon);
    input.fill(0);
    assert.deepEqual(await tasks.body(task, "input"), bytes("input"));
  });

  it("room() tells what all tasks and those of one requester take, records included", async (tasks) => {
    const mine = storedTask({ id: "a", inputBytes: 5 });
    const other = storedTask({ id: "a", requester: BOB, inputBytes: 7, seq: 2 });
    assert.deepEqual(tasks.room(ALICE), { bytes: 0, ofRequester: 0 });
    await tasks.write([
      { type: "add", task: mine, input: new Uint8Array(5) },
      { type: "add", task: other, input: new Uint8Array(7) },
    ], soon);
    assert.deepEqual(tasks.room(ALICE), { bytes: 2 * 1024 + 12, ofRequester: 1024 + 5 });
    const end = moved(mine, "succeeded", { storedOutputBytes: 9, expiresAt: 1 });
    await tasks.write([{ type: "end", task: end, output: new Uint8Array(9) }], soon);
    assert.deepEqual(tasks.room(ALICE), { bytes: 2 * 1024 + 16, ofRequester: 1024 + 9 });
    assert.deepEqual(tasks.room(BOB), { bytes: 2 * 1024 + 16, ofRequester: 1024 + 7 });
    await tasks.write([{ type: "remove", task: end }, { type: "remove", task: other }], soon);
    assert.deepEqual(tasks.room(BOB), { bytes: 0, ofRequester: 0 });
  });

  it("totals follow every change", async (tasks) => {
    const one = storedTask({ id: "a", inputBytes: 5 });
    const two = storedTask({ id: "b", inputBytes: 7, seq: 2 });
    assert.deepEqual(tasks.totals(), { tasks: 0, inputBytes: 0, outputBytes: 0 });
    await Promise.all([
      tasks.write([{ type: "add", task: one, input: new Uint8Array(5) }], soon),
      tasks.write([{ type: "add", task: two, input: new Uint8Array(7) }], soon),
    ]);
    assert.deepEqual(tasks.totals(), { tasks: 2, inputBytes: 12, outputBytes: 0 });
    await tasks.write([{ type: "update", task: moved(one, "running") }], soon);
    const end = moved(one, "succeeded", { storedOutputBytes: 9, expiresAt: 1 });
    await tasks.write([{ type: "end", task: end, output: new Uint8Array(9) }], soon);
    assert.deepEqual(tasks.totals(), { tasks: 2, inputBytes: 7, outputBytes: 9 });
    await tasks.write([{ type: "remove", task: end }, { type: "remove", task: two }], soon);
    assert.deepEqual(tasks.totals(), { tasks: 0, inputBytes: 0, outputBytes: 0 });
    assert.equal(await tasks.get(one.record), undefined);
    assert.equal(await tasks.body(end, "output"), undefined);
    assert.deepEqual(await tasks.unfinished(undefined, 10), []);
    assert.deepEqual(await tasks.expired(9999, 10), []);
    assert.deepEqual(ids((await tasks.list(range())).tasks), []);
  });

  it("unfinished() goes by priority, then by age, and leaves out what has ended", async (tasks) => {
    const all = [
      storedTask({ id: "low", priority: -100, seq: 1 }),
      storedTask({ id: "old", priority: 0, seq: 2 }),
      storedTask({ id: "new", priority: 0, seq: 2 ** 52 }),
      storedTask({ id: "high", priority: 100, seq: 2 ** 53 - 1 }),
      storedTask({ id: "over", priority: 100, seq: 3 }),
    ];
    for (const task of all) await tasks.write([{ type: "add", task, input: bytes("") }], soon);
    await tasks.write([{ type: "update", task: moved(all[1]!, "running") }], soon);
    await tasks.write([{ type: "end", task: moved(all[4]!, "failed", { expiresAt: 1 }) }], soon);
    assert.deepEqual(ids(await tasks.unfinished(undefined, 10)), ["high", "old", "new", "low"]);
    const first = await tasks.unfinished(undefined, 2);
    assert.deepEqual(ids(first), ["high", "old"]);
    assert.deepEqual(ids(await tasks.unfinished(first[1], 10)), ["new", "low"]);
  });

  it("expired() gives what is due at that very time, the oldest first", async (tasks) => {
    for (const [id, expiresAt] of [["c", 3000], ["a", 1000], ["b", 2000]] as const) {
      const task = storedTask({ id, seq: expiresAt });
      await tasks.write([{ type: "add", task, input: bytes("") }], soon);
      await tasks.write([{ type: "end", task: moved(task, "failed", { expiresAt }) }], soon);
    }
    assert.deepEqual(ids(await tasks.expired(999, 10)), []);
    assert.deepEqual(ids(await tasks.expired(1000, 10)), ["a"]);
    assert.deepEqual(ids(await tasks.expired(2999, 10)), ["a", "b"]);
    assert.deepEqual(ids(await tasks.expired(5000, 1)), ["a"]);
  });

  it("list() keeps requesters apart and gives the newest first", async (tasks) => {
    for (
      const [id, requester, createdAt] of [["b", ALICE, 2], ["a", ALICE, 2], ["c", ALICE, 1], ["x", BOB, 3]] as const
    ) {
      const task = storedTask({ id, requester, createdAt });
      await tasks.write([{ type: "add", task, input: bytes("") }], soon);
    }
    assert.deepEqual(ids((await tasks.list(range())).tasks), ["b", "a", "c"]);
    assert.deepEqual(ids((await tasks.list(range({ requester: BOB }))).tasks), ["x"]);
    assert.deepEqual(ids((await tasks.list(range({ requester: "anonymous" }))).tasks), []);
  });

  it("list() goes on where a page ended, also when that task is gone", async (tasks) => {
    const all = Array.from({ length: 5 }, (_, i) => storedTask({ id: `t${i}`, createdAt: i }));
    for (const task of all) await tasks.write([{ type: "add", task, input: bytes("") }], soon);
    const first = await tasks.list(range({ limit: 2 }));
    assert.deepEqual(ids(first.tasks), ["t4", "t3"]);
    await tasks.write([{ type: "remove", task: all[3]! }], soon);
    const second = await tasks.list(range({ limit: 3, after: first.next }));
    assert.deepEqual(ids(second.tasks), ["t2", "t1", "t0"]);
    assert.equal(second.next, "");
  });

  it("list() filters by state, and looks at a bounded number of records for one page", async (tasks) => {
    const many = Array.from({ length: 5600 }, (_, i) => storedTask({ id: `t${i}`, createdAt: i, seq: i }));
    await tasks.write(many.map((task) => ({ type: "add", task, input: bytes("") })), soon);
    await tasks.write([{ type: "update", task: moved(many[0]!, "running") }], soon);
    const first = await tasks.list(range({ states: ["running"], limit: 5 }));
    assert.deepEqual(ids(first.tasks), []);
    assert.notEqual(first.next, "");
    const second = await tasks.list(range({ states: ["running"], limit: 5, after: first.next }));
    assert.deepEqual(ids(second.tasks), ["t0"]);
    assert.equal(second.next, "");
    const queued = await tasks.list(range({ states: ["queued", "failed"], limit: 3 }));
    assert.deepEqual(ids(queued.tasks), ["t5599", "t5598", "t5597"]);
  });

  it("list() refuses a token that is none", async (tasks) => {
    for (const after of ["x", "000000000001", "000000000001.", "00000000000g.a", "000000000001.a/b"]) {
      await assert.rejects(tasks.list(range({ after })), { code: "invalid_argument" });
    }
  });
}
