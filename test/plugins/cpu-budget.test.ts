import assert from "node:assert/strict";
import { pluginCall, text } from "../contract-suites/plugin-host.ts";
import { CpuBudget } from "../../src/plugins/cpu-budget.ts";
import { test } from "../testing.ts";
import { openHost } from "./host-fixture.ts";

test("a budget gives a second's share at once, then as time goes, and is paid back what was taken too much", () => {
  let nowMs = 0;
  const budget = new CpuBudget({ percent: 50, now: () => nowMs });
  assert.equal(budget.isSpent, false);
  budget.charge(499);
  assert.equal(budget.isSpent, false);
  budget.charge(1);
  assert.equal(budget.isSpent, true);
  nowMs += 1;
  assert.equal(budget.isSpent, false);
  budget.charge(1000.5);
  nowMs += 1999;
  assert.equal(budget.isSpent, true);
  nowMs += 2;
  assert.equal(budget.isSpent, false);
  // A long pause saves up a second's share only.
  nowMs += 1_000_000;
  assert.equal(budget.isSpent, false);
  budget.charge(500);
  assert.equal(budget.isSpent, true);
});

test("without a percentage nothing is ever spent, and of several cores all count", () => {
  let nowMs = 0;
  const free = new CpuBudget({ percent: 0, now: () => nowMs });
  free.charge(1e9);
  assert.equal(free.isSpent, false);
  const two = new CpuBudget({ percent: 200, now: () => nowMs });
  two.charge(2000);
  assert.equal(two.isSpent, true);
  nowMs += 1;
  two.charge(1);
  assert.equal(two.isSpent, false);
});

test("calls beyond the share wait for it, and all of them run", async (t) => {
  const host = await openHost(t, { modules: ["demo/demo"], workers: 2, cpuPercent: 20 });
  const startedAt = performance.now();
  const outcomes = await Promise.all(
    Array.from({ length: 12 }, () => host.execute(pluginCall("primes", "1000000", { plugin: "demo" }))),
  );
  const elapsedMs = performance.now() - startedAt;
  for (const { output } of outcomes) assert.equal(text(output), "78498");
  const times = outcomes.map(({ usage }) => usage.wallMicros / 1000);
  const tookMs = times.reduce((sum, ms) => sum + ms, 0);
  // The first two begin together, the last ones are paid for by nobody, and half of the share is given at once.
  const leastMs = (tookMs - 3 * Math.max(...times)) / 0.2 - 1000;
  assert.ok(elapsedMs > leastMs * 0.8, `${elapsedMs} ms for ${tookMs} ms of work`);
});
