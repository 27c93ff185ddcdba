import assert from "node:assert/strict";
import { callerAddress, RateLimiter } from "../../src/core/mod.ts";
import { test } from "../testing.ts";

const passed = (limiter: RateLimiter, caller: string, nowMs: number, times: number) => {
  let count = 0;
  for (let i = 0; i < times; i++) if (limiter.refusal("peer", caller, nowMs) === undefined) count++;
  return count;
};

test("a caller has its burst at once, then its rate", () => {
  const limiter = new RateLimiter({ perSecond: 10, burst: 5, setting: "x.y" });
  assert.equal(passed(limiter, "a", 1000, 9), 5);
  assert.equal(passed(limiter, "a", 1099, 9), 0);
  assert.equal(passed(limiter, "a", 1100, 9), 1);
  assert.equal(passed(limiter, "a", 1400, 9), 3);
  assert.equal(passed(limiter, "a", 60_000, 9), 5);
  assert.equal(passed(limiter, "b", 60_000, 9), 5, "another caller has its own");
});

test("a refusal says how long to wait, and a call after that passes", () => {
  const limiter = new RateLimiter({ perSecond: 4, burst: 1, setting: "rpc.callsPerSecond" });
  assert.equal(passed(limiter, "a", 0, 1), 1);
  const error = limiter.refusal("peer", "a", 100)!;
  assert.equal(error.code, "overloaded");
  assert.match(error.message, /4 calls a second.*this requester.*rpc\.callsPerSecond/);
  assert.equal(error.retryAfterMs, 150);
  assert(error.retryable);
  assert.equal(limiter.refusal("peer", "a", 249)?.retryAfterMs, 1);
  assert.equal(limiter.refusal("peer", "a", 250), undefined);
});

test("refused calls cost the caller nothing more", () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 1, setting: "" });
  assert.equal(passed(limiter, "a", 0, 1000), 1);
  assert.equal(passed(limiter, "a", 1000, 1000), 1);
});

test("a clock that is set back, and a rate that is raised, lock nobody out", () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 2, setting: "" });
  assert.equal(passed(limiter, "a", 1e9, 5), 2);
  assert.equal(passed(limiter, "a", 1e6, 5), 2);
  limiter.configure({ perSecond: 1000, burst: 2 });
  assert.equal(passed(limiter, "a", 1e6, 5), 2);
  limiter.configure({ perSecond: 0, burst: 0 });
  assert(!limiter.active);
  assert.equal(passed(limiter, "a", 1e6, 100), 100);
});

test("however many callers there are, a busy one is not forgotten and the memory is bounded", () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 1, setting: "", maxCallers: 1000 });
  assert.equal(passed(limiter, "busy", 0, 1), 1);
  for (let i = 0; i < 100_000; i++) {
    limiter.refusal("address", `10.${i}`, 0);
    if (i % 500 === 0) assert.equal(passed(limiter, "busy", 0, 1), 0, `${i}`);
  }
  assert(limiter.callers <= 2000, `${limiter.callers}`);
});

test("sorts of callers do not meet", () => {
  const limiter = new RateLimiter({ perSecond: 1, burst: 1, setting: "" });
  assert.equal(limiter.refusal("token", "", 0), undefined);
  assert.equal(limiter.refusal("address", "", 0), undefined);
  assert.notEqual(limiter.refusal("token", "", 0), undefined);
});

test("of an IPv6 address the network counts, and IPv4 is IPv4 however it comes", () => {
  assert.equal(callerAddress("2001:db8:1:2:3:4:5:6"), callerAddress("2001:db8:1:2:ffff::1"));
  assert.notEqual(callerAddress("2001:db8:1:2::1"), callerAddress("2001:db8:1:3::1"));
  assert.equal(callerAddress("2001:db8::1"), "2001:db8:0:0");
  assert.equal(callerAddress("::1"), "0:0:0:0");
  assert.equal(callerAddress("::ffff:10.0.0.1"), callerAddress("10.0.0.1"));
  assert.equal(callerAddress(undefined), "");
});
