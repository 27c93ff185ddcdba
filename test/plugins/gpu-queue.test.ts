import assert from "node:assert/strict";
import { noMetrics, type RequesterId } from "../../src/core/mod.ts";
import { GpuQueue, type GpuTurn } from "../../src/plugins/gpu-queue.ts";
import { hasCode } from "../contract-suites/plugin-host.ts";
import { test } from "../testing.ts";

const [ANN, BEN, CAT] = ["0xA", "0xB", "0xC"] as unknown as readonly [RequesterId, RequesterId, RequesterId];

/** A queue with a clock of its own, and the order in which jobs begin. */
function line(maxWaiting = 100) {
  let now = 0;
  const begun: string[] = [];
  const queue = new GpuQueue({ maxWaiting, metrics: noMetrics, now: () => now });
  let current: GpuTurn | undefined;
  const add = (requester: RequesterId, name: string, signal = new AbortController().signal): Promise<void> =>
    queue.enter({ plugin: "p", requester, signal }).then((turn) => {
      begun.push(name);
      current = turn;
    });
  /** Ends the job that has the GPU after some time, and lets the next begin. */
  const end = async (ms: number): Promise<void> => {
    now += ms;
    current!.leave();
    current = undefined;
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { queue, begun, add, end };
}

test("one job at a time has the GPU, and those who had least of it come next", async () => {
  const { queue, begun, add, end } = line();
  await add(ANN, "ann 1");
  void add(ANN, "ann 2");
  void add(ANN, "ann 3");
  void add(BEN, "ben 1");
  void add(BEN, "ben 2");
  assert.deepEqual(queue.lineOf("p"), { running: 1, waiting: 4 });
  assert.deepEqual(queue.lineOf("other"), { running: 0, waiting: 0 });
  await end(100);
  assert.deepEqual(begun, ["ann 1", "ben 1"]);
  await end(10);
  // Ben had 10 ms, and Ann 100.
  await end(20);
  void add(CAT, "cat 1");
  // Who comes later is not owed what the others had before.
  await end(100);
  await end(10);
  await end(1);
  assert.deepEqual(begun, ["ann 1", "ben 1", "ben 2", "ann 2", "cat 1", "ann 3"]);
  assert.deepEqual(queue.lineOf("p"), { running: 0, waiting: 0 });
});

test("a hog of many jobs is one of two, however many it has sent", async () => {
  const { begun, add, end } = line();
  await add(ANN, "ann");
  for (let i = 0; i < 20; i++) void add(ANN, "ann");
  for (let i = 0; i < 5; i++) void add(BEN, "ben");
  for (let i = 0; i < 10; i++) await end(50);
  assert.equal(begun.filter((name) => name === "ben").length, 5);
});

test("a job leaves the line when it is canceled, with the reason, and its turn goes to the next", async () => {
  const { queue, begun, add, end } = line();
  await add(ANN, "first");
  const controller = new AbortController();
  const left = assert.rejects(add(BEN, "left", controller.signal), /no longer/);
  void add(CAT, "next");
  controller.abort(new Error("no longer wanted"));
  await left;
  assert.deepEqual(queue.lineOf("p"), { running: 1, waiting: 1 });
  await end(1);
  assert.deepEqual(begun, ["first", "next"]);
  await assert.rejects(add(BEN, "never", AbortSignal.abort(new Error("gone"))), /gone/);
});

test("no more wait than may, and the refusal names the setting", async () => {
  const { add, end, begun } = line(2);
  await add(ANN, "1");
  void add(ANN, "2");
  void add(BEN, "3");
  await assert.rejects(add(CAT, "4"), hasCode("overloaded", /2 tasks wait .*plugins\.maxGpuWaiting/));
  await end(1);
  void add(CAT, "5");
  for (let i = 0; i < 3; i++) await end(1);
  assert.equal(begun.length, 4);
});
