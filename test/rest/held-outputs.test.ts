import assert from "node:assert/strict";
import { NodeError, type TaskResult } from "../../src/core/mod.ts";
import { HeldOutputs } from "../../src/rest/held-outputs.ts";
import { test } from "../testing.ts";

const result = { output: new Uint8Array(3) } as TaskResult;
const use = (output: TaskResult) => Promise.resolve(output.output.length);
const read = () => Promise.resolve(result);

/** Reads that do not end until they are let. */
function stalled(held: HeldOutputs, place: string, count: number) {
  let letGo = () => {};
  const gate = new Promise<TaskResult>((resolve) => letGo = () => resolve(result));
  const calls = Array.from({ length: count }, () => held.hold(place, { read: () => gate, use }));
  return { letGo, calls };
}

test("a target that stalls keeps no reader of this node or of another target waiting", async () => {
  const held = new HeldOutputs();
  const { letGo, calls } = stalled(held, "far:1", 9);
  assert.equal(await held.hold("", { read, use }), 3);
  assert.equal(await held.hold("near:1", { read, use }), 3);
  let isDone = false;
  const late = held.hold("far:1", { read, use }).then(() => isDone = true);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(isDone, false, "what is at the same target waits for its turn");
  letGo();
  assert.deepEqual(await Promise.all(calls), new Array(9).fill(3));
  await late;
});

test("many targets that stall are refused when they are too many, and this node's outputs are read on", async () => {
  const held = new HeldOutputs();
  const all = Array.from({ length: 4 }, (_, i) => stalled(held, `far:${i}`, 4));
  await assert.rejects(
    held.hold("far:99", { read, use }),
    (error) =>
      error instanceof NodeError && error.code === "overloaded" && /16 outputs at other nodes/.test(error.message),
  );
  assert.equal(await held.hold("", { read, use }), 3);
  for (const { letGo } of all) letGo();
  await Promise.all(all.flatMap(({ calls }) => calls));
  assert.equal(await held.hold("far:99", { read, use }), 3);
});

test("a read that fails gives its turn on", async () => {
  const held = new HeldOutputs();
  const failed = Array.from({ length: 9 }, () => held.hold("", { read: () => Promise.reject(new Error("gone")), use }));
  for (const call of failed) await assert.rejects(call, /gone/);
  assert.equal(await held.hold("", { read, use }), 3);
});
