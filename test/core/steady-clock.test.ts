import assert from "node:assert/strict";
import { SteadyClock } from "../../src/core/mod.ts";
import { test } from "../testing.ts";

const HOUR = 3_600_000;

function fixture(startMs?: number) {
  const time = { wall: 1000 * HOUR, felt: 0 };
  const pass = (ms: number) => {
    time.wall += ms;
    time.felt += ms;
  };
  const steady = new SteadyClock({
    clock: { now: () => time.wall },
    monotonicMs: () => time.felt,
    ...(startMs !== undefined && { startMs }),
  });
  return { time, pass, steady };
}

test("a steady clock shows the wall clock's time while that does not jump", () => {
  const { pass, steady, time } = fixture();
  for (let i = 0; i < 10; i++) {
    assert.equal(steady.now(), time.wall);
    pass(HOUR / 7 | 0);
  }
});

test("a steady clock follows a jump forwards by running a quarter faster, and comes back", () => {
  const { pass, steady, time } = fixture();
  const before = steady.now();
  time.wall += 8766 * HOUR;
  assert.equal(steady.now(), before);
  pass(4 * HOUR);
  assert.equal(steady.now(), before + 5 * HOUR);
  time.wall -= 8766 * HOUR;
  pass(4 * HOUR);
  assert.equal(steady.now(), before + 8 * HOUR);
  assert.equal(steady.now(), time.wall);
});

test("a steady clock never goes back: after a jump backwards it runs a quarter slower until it is met", () => {
  const { pass, steady, time } = fixture();
  const before = steady.now();
  time.wall -= 100 * HOUR;
  assert.equal(steady.now(), before);
  pass(4 * HOUR);
  assert.equal(steady.now(), before + 3 * HOUR);
  pass(396 * HOUR);
  assert.equal(steady.now(), time.wall);
});

test("a steady clock runs on from where an earlier run left it", () => {
  const { pass, steady, time } = fixture(990 * HOUR);
  assert.equal(steady.now(), 990 * HOUR);
  pass(20 * HOUR);
  assert.equal(steady.now(), 1015 * HOUR);
  pass(20 * HOUR);
  assert.equal(steady.now(), time.wall);
});
