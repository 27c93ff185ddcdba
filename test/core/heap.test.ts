import assert from "node:assert/strict";
import { ConnectionGarbage } from "../../src/core/heap.ts";
import { test } from "../testing.ts";

const MIB = 2 ** 20;

/** Garbage whose collection leaves 30 MiB. */
function start() {
  const state = { nowMs: 0, oldBytes: 30 * MIB, collected: 0 };
  const garbage = new ConnectionGarbage({
    collect: () => {
      state.collected++;
      state.oldBytes = 30 * MIB;
    },
    oldBytes: () => state.oldBytes,
    now: () => state.nowMs,
  });
  const accept = (connections: number, bytesEach = 10_000) => {
    for (let i = 0; i < connections; i++) {
      state.oldBytes += bytesEach;
      garbage.accepted();
    }
  };
  return { state, accept };
}

test("what connections leave behind is collected with the thousandth, and each thousand after it", () => {
  const { state, accept } = start();
  accept(999);
  assert.equal(state.collected, 0);
  accept(1);
  assert.equal(state.collected, 1);
  state.nowMs = 1000;
  accept(999);
  assert.equal(state.collected, 1);
  accept(1);
  assert.equal(state.collected, 2);
});

test("connections that leave little behind are not collected", () => {
  const { state, accept } = start();
  accept(1000);
  state.nowMs = 1000;
  accept(1000, 4000);
  assert.equal(state.collected, 1);
  state.nowMs = 2000;
  accept(1000, 4000);
  assert.equal(state.collected, 2, "together they are worth it");
});

test("what was collected without being asked for is no growth", () => {
  const { state, accept } = start();
  accept(1000);
  state.oldBytes = 10 * MIB;
  state.nowMs = 1000;
  accept(1000, 0);
  assert.equal(state.collected, 1);
  state.nowMs = 2000;
  accept(1000);
  assert.equal(state.collected, 2);
});

test("collections are a second apart", () => {
  const { state, accept } = start();
  accept(1000);
  state.nowMs = 999;
  accept(5000);
  assert.equal(state.collected, 1);
  state.nowMs = 1000;
  accept(1);
  assert.equal(state.collected, 2);
});
