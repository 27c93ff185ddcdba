import assert from "node:assert/strict";
import { test } from "node:test";
import { playMarket, playSession } from "./market.ts";

test("in a market with cheaters, lost messages and kill -9 at hundreds of random steps nobody honest loses more than agreed", async () => {
  const losses = await playMarket(400, 1);
  const all = [...losses.values()];
  const kills = all.reduce((sum, one) => sum + one.kills, 0);
  assert.ok(kills >= 300, `${kills} kills`);
  assert.ok(all.reduce((sum, one) => sum + one.lostMessages, 0) > 100);
  const honest = losses.get("honest requester, honest provider")!;
  assert.ok(honest.earned > 0n);
  assert.equal(honest.unpaid, 0n);
  assert.ok(losses.get("sponge requester, honest provider")!.unpaid > 0n, "credit is what cheaters can take");
});

test("work whose answer was lost counts within the caps: vouchers for it and for what came after passed one once", async () => {
  const { earned } = await playSession(95993);
  assert.equal(earned, 500n, "as much as the cap, and no more");
});
