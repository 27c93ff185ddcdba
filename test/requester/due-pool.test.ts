import assert from "node:assert/strict";
import { silentLog, type StoredFile } from "../../src/core/mod.ts";
import { DuePool } from "../../src/requester/due-pool.ts";
import { test } from "../testing.ts";

test("a file is worked on whose turn comes in the moment in which it was looked for room in vain", async () => {
  const waiting = ["a", "b"];
  const done: string[] = [];
  const ends = new Map<string, () => void>();
  const pool = new DuePool({
    due: (limit) => Promise.resolve(waiting.slice(0, limit).map((id) => ({ id }) as StoredFile)),
    work: ({ id }) =>
      new Promise((resolve) =>
        ends.set(id, () => {
          waiting.splice(waiting.indexOf(id), 1);
          done.push(id);
          resolve();
        })
      ),
    failed: () => Promise.resolve(),
    busy: new Set(),
    parallel: 1,
    everyMs: 1_000_000,
    what: "test",
    closing: new AbortController().signal,
    log: silentLog,
  });
  const begun = async (id: string) => {
    while (!ends.has(id)) await new Promise(setImmediate);
  };
  pool.wake();
  await begun("a");
  ends.get("a")!();
  // It is told that there is no room, and hears of the end before it is done with telling.
  pool.wake();
  for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate);
  assert.deepEqual([...ends.keys()], ["a", "b"]);
  ends.get("b")!();
  await pool.settle();
  assert.deepEqual(done, ["a", "b"]);
});
