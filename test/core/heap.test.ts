import assert from "node:assert/strict";
import { ConnectionGarbage } from "../../src/core/heap.ts";
import { test } from "../testing.ts";

const MIB = 2 ** 20;

/** Garbage whose collection takes 50 ms and leaves 30 MiB. */
function start() {
  const state = { nowMs: 0, oldBytes: 30 * MIB, collected: 0 };
  const garbage = new ConnectionGarbage({
    collect: () => {
      state.collected++;
      state.nowMs += 50;
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

test("what connections leave behind is collected with the three-hundredth, and each three hundred after it", () => {
  const { state, accept } = start();
  accept(299, 20_000);
  assert.equal(state.collected, 0);
  accept(1);
  assert.equal(state.collected, 1);
  state.nowMs += 500;
  accept(299, 20_000);
  assert.equal(state.collected, 1);
  accept(1);
  assert.equal(state.collected, 2);
});

test("connections that leave little behind are not collected", () => {
  const { state, accept } = start();
  accept(300, 20_000);
  state.nowMs += 500;
  accept(300, 6000);
  assert.equal(state.collected, 1);
  accept(300, 6000);
  assert.equal(state.collected, 2, "together they are worth it");
});

test("what was collected without being asked for is no growth", () => {
  const { state, accept } = start();
  accept(300, 20_000);
  state.oldBytes = 10 * MIB;
  state.nowMs += 500;
  accept(300, 0);
  assert.equal(state.collected, 1);
  accept(300, 20_000);
  assert.equal(state.collected, 2);
});

test("a collection is followed by ten times as long without one", () => {
  const { state, accept } = start();
  accept(300, 20_000);
  state.nowMs += 499;
  accept(5000);
  assert.equal(state.collected, 1);
  state.nowMs += 1;
  accept(1);
  assert.equal(state.collected, 2);
});
