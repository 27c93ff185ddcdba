import assert from "node:assert/strict";
import { ConnectionGarbage, QuietTime } from "../../src/core/heap.ts";
import { test } from "../testing.ts";

const MIB = 2 ** 20;

/** Garbage whose collection takes 50 ms, or as long as it says, and leaves 30 MiB. */
function start() {
  const state = { nowMs: 0, tookMs: 50, oldBytes: 30 * MIB, collected: 0, prepared: 0 };
  const garbage = new ConnectionGarbage({
    prepare: () => {
      state.prepared++;
      state.nowMs += 1000;
    },
    collect: () => {
      state.collected++;
      state.nowMs += state.tookMs;
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

test("what connections leave behind is collected once there were three hundred", () => {
  const { state, accept } = start();
  accept(300, 20_000);
  assert.equal(state.collected, 0);
  accept(1);
  assert.equal(state.collected, 1);
  state.nowMs += 250;
  accept(300, 20_000);
  assert.equal(state.collected, 1);
  accept(1);
  assert.equal(state.collected, 2);
});

test("connections that leave little behind are collected when the old generation has grown by a ninth", () => {
  const { state, accept } = start();
  const perLook = 25 * 6000;
  accept(1, 0);
  for (let look = 0; look < 40 && state.collected < 1; look++) {
    const grown = state.oldBytes - 30 * MIB;
    accept(25, 6000);
    assert.equal(state.collected > 0, grown + perLook >= 30 * MIB / 9);
  }
});

test("a small heap must have grown by 3 MiB", () => {
  const { state, accept } = start();
  state.oldBytes = 9 * MIB;
  accept(1, 0);
  accept(300, 0);
  state.oldBytes = 12 * MIB - 1;
  accept(25, 0);
  assert.equal(state.collected, 0);
  state.oldBytes = 12 * MIB;
  accept(25, 0);
  assert.equal(state.collected, 1);
});

test("what was collected without being asked for is no growth", () => {
  const { state, accept } = start();
  accept(301, 20_000);
  state.oldBytes = 10 * MIB;
  state.nowMs += 250;
  accept(301, 0);
  assert.equal(state.collected, 1);
  accept(300, 20_000);
  assert.equal(state.collected, 2);
});

test("a collection is followed by five times as long without one", () => {
  const { state, accept } = start();
  accept(301, 20_000);
  state.nowMs += 249;
  accept(5001);
  assert.equal(state.collected, 1);
  state.nowMs += 1;
  accept(25);
  assert.equal(state.collected, 2);
});

test("what is done before the first collection is done once, and does not count as its time", () => {
  const { state, accept } = start();
  accept(300, 20_000);
  assert.deepEqual([state.prepared, state.collected], [0, 0]);
  accept(1);
  assert.deepEqual([state.prepared, state.collected], [1, 1]);
  state.nowMs += 250;
  accept(301, 20_000);
  assert.deepEqual([state.prepared, state.collected], [1, 2]);
});

test("a single slow collection does not put off the next", () => {
  const { state, accept } = start();
  accept(301, 20_000);
  state.nowMs += 250;
  state.tookMs = 500;
  accept(301, 20_000);
  assert.equal(state.collected, 2);
  state.nowMs += 250;
  accept(301, 20_000);
  assert.equal(state.collected, 3, "the first took 50 ms");
  state.nowMs += 2499;
  accept(301, 20_000);
  assert.equal(state.collected, 3, "two in a row took 500");
  state.nowMs += 1;
  accept(25);
  assert.equal(state.collected, 4);
});

/** A quiet time whose timers run when the clock is set on. */
function quietTime() {
  const state = { nowMs: 1000, givenBack: 0, timers: [] as { readonly work: () => void; readonly at: number }[] };
  const quiet = new QuietTime({
    giveBack: () => void state.givenBack++,
    now: () => state.nowMs,
    setTimer: (work, afterMs) => void state.timers.push({ work, at: state.nowMs + afterMs }),
  });
  const accept = (connections: number) => {
    for (let i = 0; i < connections; i++) quiet.accepted();
  };
  const pass = (ms: number) => {
    state.nowMs += ms;
    const due = state.timers.filter(({ at }) => at <= state.nowMs);
    state.timers = state.timers.filter(({ at }) => at > state.nowMs);
    for (const { work } of due) work();
  };
  return { state, accept, pass };
}

test("memory is given back three seconds after the last of many connections, once", () => {
  const { state, accept, pass } = quietTime();
  accept(1000);
  pass(2000);
  accept(1);
  pass(2999);
  assert.equal(state.givenBack, 0);
  pass(1);
  assert.equal(state.givenBack, 1);
  pass(100_000);
  assert.equal(state.givenBack, 1);
  accept(300);
  pass(3000);
  assert.equal(state.givenBack, 2);
});

test("a few connections give nothing back, until they are many together", () => {
  const { state, accept, pass } = quietTime();
  accept(299);
  pass(100_000);
  assert.equal(state.givenBack, 0);
  assert.equal(state.timers.length, 0);
  accept(1);
  pass(3000);
  assert.equal(state.givenBack, 1);
});
