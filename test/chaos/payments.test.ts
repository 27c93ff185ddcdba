import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { playPaymentChaos } from "./payments.ts";

test("kill -9 of requester and provider at random moments of a paid task, a claim, a close, a top up, an exit and a withdrawal loses nobody anything", async (t) => {
  const { kills, asked, succeeded, charged } = await playPaymentChaos(t, { kills: 7, seed: 5 });
  assert.deepEqual(kills, { sync: 1, async: 1, claim: 1, close: 1, topup: 1, exit: 1, withdraw: 1 });
  assert.ok(succeeded > 0 && succeeded <= charged && charged <= asked);
});
