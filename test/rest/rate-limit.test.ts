import assert from "node:assert/strict";
import { RateLimiter } from "../../src/core/mod.ts";
import { createMetrics } from "../../src/rest/mod.ts";
import { NOW, postJson, serve } from "./harness.ts";
import { test } from "../testing.ts";

const TOKEN = "correct-horse-battery-staple";
const bearing = { authorization: `Bearer ${TOKEN}` };

function limited(perSecond: number) {
  const metrics = createMetrics({ processMetrics: false });
  const refused = metrics.counter("velas_rate_limited_total", "", ["listener", "by"]);
  const refusals = { add: (amount = 1, labels = {}) => refused.add(amount, { listener: "rest", ...labels }) };
  const limiter = new RateLimiter({ perSecond, burst: 2, setting: "rest.requestsPerSecond", refusals });
  const clock = { nowMs: NOW, now: () => clock.nowMs };
  return { limiter, clock, metrics };
}

test("an address that asks too often gets 429 with Retry-After, and is served again after that", async (t) => {
  const { limiter, clock, metrics } = limited(0.4);
  const { url } = await serve(t, { limiter, clock, metrics });
  const get = () => fetch(`${url}/info`);
  for (let i = 0; i < 2; i++) await (await get()).body?.cancel();
  const refused = await get();
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "3");
  const problem = await refused.json();
  assert.equal(problem.code, "overloaded");
  assert.equal(problem.retryAfterMs, 2500);
  assert.match(problem.detail, /this address.*rest\.requestsPerSecond/);
  assert.equal((await fetch(`${url}/healthz`)).status, 200, "a supervisor is never refused");
  clock.nowMs += 2500;
  assert.equal((await get()).status, 200);
  assert.equal(metrics.read("velas_rate_limited_total", { listener: "rest", by: "address" }), 1);
});

test("the short way of POST /task counts like the long one", async (t) => {
  for (const fastPath of [true, false]) {
    const { limiter, clock } = limited(1);
    const { url } = await serve(t, { limiter, clock, fastPath });
    const run = () => postJson(`${url}/task`, { id: "1", input: "hello" });
    const statuses = [];
    for (let i = 0; i < 4; i++) {
      const answer = await run();
      statuses.push(answer.status);
      await answer.body?.cancel();
    }
    assert.deepEqual(statuses, [200, 200, 429, 429], `${fastPath}`);
  }
});

test("the token has its own count; those who guess it use up their address's", async (t) => {
  const { limiter, clock } = limited(1);
  const { url } = await serve(t, { limiter, clock, token: TOKEN });
  const statusOf = async (headers: Record<string, string>) => {
    const answer = await fetch(`${url}/info`, { headers });
    await answer.body?.cancel();
    return answer.status;
  };
  const wrong = { authorization: "Bearer wrong-wrong-wrong-wrong" };
  assert.deepEqual([await statusOf(wrong), await statusOf({}), await statusOf(wrong)], [401, 401, 429]);
  assert.deepEqual([await statusOf(bearing), await statusOf(bearing), await statusOf(bearing)], [200, 200, 429]);
});

test("without a rate nobody is refused", async (t) => {
  const { limiter, clock } = limited(0);
  const { url } = await serve(t, { limiter, clock });
  for (let i = 0; i < 20; i++) assert.equal((await fetch(`${url}/healthz`)).status, 200);
  assert.equal(limiter.callers, 0);
});
