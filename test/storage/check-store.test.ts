import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openStore, type Store } from "../../src/storage/mod.ts";
import { openLevel } from "../../src/storage/level-engine.ts";
import { moved, storedTask } from "../contract-suites/task-store.ts";
import { withFolder } from "./temp-folder.ts";

const WRONG: readonly (readonly [
  what: string,
  ops: readonly { type: "put" | "del"; part: string; key?: string; value?: string }[],
  message: RegExp,
])[] = [
  ["an index without its entry", [{ type: "del", part: "task-pending" }], /^1 entries of indexes are missing$/],
  [
    "an index with a record's entry in the wrong place",
    [{ type: "del", part: "task-expiry" }, { type: "put", part: "task-expiry", key: "0/x" }],
    /^1 entries of indexes are missing$/,
  ],
  [
    "an index with too many entries",
    [{ type: "put", part: "request-time", key: "x" }],
    /request-time has 1 entries that no/,
  ],
  [
    "an input of no task",
    [{ type: "put", part: "task-input", key: "00000000000007/nobody/x" }],
    /^1 of task-input belong/,
  ],
  [
    "an output of no task",
    [{ type: "put", part: "task-output", key: "00000000000007/nobody/x" }],
    /^1 of task-output belong/,
  ],
  [
    "a total that is wrong",
    [{ type: "put", part: "account", key: "task.outputBytes", value: "5" }],
    /says 5, and the records make 4$/,
  ],
  ["a total that is gone", [{ type: "del", part: "account" }], /says 0, and the records make/],
  [
    "a total of nothing",
    [{ type: "put", part: "account", key: "none", value: "1" }],
    /none says 1, and the records make 0$/,
  ],
];

const LOST: readonly (readonly [what: string, part: string, value: string | undefined, message: RegExp])[] = [
  ["an input that is gone", "task-input", undefined, /^1 of task-input are gone$/],
  ["an output that is gone", "task-output", undefined, /^1 of task-output are gone$/],
  ["a record that cannot be read", "task", "{", /^The record .* of a task cannot be read/],
];

/** A store with a task that waits, one that has ended, and one whose input and output are empty. */
async function fill(path: string): Promise<void> {
  const store = await openStore(path);
  const waits = storedTask({ id: "waits", inputBytes: 3 });
  const runs = storedTask({ id: "ends", seq: 2, state: "running" });
  const empty = storedTask({ id: "empty", seq: 3 });
  await store.tasks.write([
    { type: "add", task: waits, input: Buffer.from("abc") },
    { type: "add", task: runs, input: new Uint8Array(0) },
    { type: "add", task: empty, input: new Uint8Array(0) },
    {
      type: "end",
      task: moved(runs, "succeeded", { storedOutputBytes: 4, expiresAt: 5000 }),
      output: Buffer.from("four"),
    },
  ], { durable: true });
  assert.deepEqual(await store.check({ repair: false }), { tasks: 3, requests: 0, files: 0, problems: [] });
  await store.close();
}

/** Opens the store after a change of its keys: each op is of the given key, or of the first one in its part. */
async function changed(path: string, ops: (typeof WRONG)[number][1]): Promise<Store> {
  const db = await openLevel(path);
  for (const { type, part, key, value = "" } of ops) {
    const [first] = await db.keys({ gt: `!${part}!`, lt: `!${part}"`, limit: 1 }).all();
    const full = key === undefined ? first! : `!${part}!${key}`;
    await (type === "put" ? db.put(full, value) : db.del(full));
  }
  await db.close();
  return await openStore(path);
}

for (const [what, ops, message] of WRONG) {
  test(`a check finds ${what}, and mends it`, () =>
    withFolder(async (folder) => {
      const path = join(folder, "db");
      await fill(path);
      const store = await changed(path, ops);
      const { problems } = await store.check({ repair: true });
      assert.equal(problems.length, 1, JSON.stringify(problems));
      assert.match(problems[0]!.message, message);
      assert.ok(problems[0]!.repairable);
      assert.deepEqual((await store.check({ repair: false })).problems, []);
      // The totals in memory are mended too, so that the next write does not bring wrong ones back.
      assert.deepEqual(store.tasks.totals(), { tasks: 3, inputBytes: 3, outputBytes: 4 });
      await store.close();
    }));
}

for (const [what, part, value, message] of LOST) {
  test(`a check finds ${what}, which nothing brings back, and changes nothing`, () =>
    withFolder(async (folder) => {
      const path = join(folder, "db");
      await fill(path);
      const store = await changed(path, [{ type: value === undefined ? "del" : "put", part, ...(value && { value }) }]);
      const first = await store.check({ repair: true });
      assert.ok(first.problems.some((problem) => message.test(problem.message)), JSON.stringify(first.problems));
      assert.ok(first.problems.every(({ repairable }) => !repairable));
      assert.deepEqual(await store.check({ repair: true }), first);
      await store.close();
    }));
}
