/** Channels in tokens, on a real chain. */
import assert from "node:assert/strict";
import { type Usage, wei } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { chainFor, ETHER, keyOf, paidNode, RATES } from "./paid-nodes.ts";
import { deployToken } from "./tokens.ts";

const signal = new AbortController().signal;
const LIMITS = { timeoutMs: 1000, memoryBytes: 1 << 20, outputBytes: 1000 };
const USAGE: Usage = { wallMicros: 1000, inputBytes: 5, outputBytes: 5, instructions: 100 };
const ORDER = { target: "p:1", limits: LIMITS, inputBytes: 5 };

for (const name of ["Token", "NoAnswerToken"] as const) {
  test(`${name}: approved, deposited, paid, topped up, claimed at the set amount, and withdrawn to the last unit`, async (t) => {
    const chain = await chainFor(t);
    const token = await deployToken(chain, name);
    const [payer, payee] = [keyOf(1), keyOf(2)];
    const rates = { ...RATES, token: token.address };
    const provider = await paidNode(t, chain, { key: payee, rates, claimAt: wei(100n) });
    const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
    await token.mint(payer.nodeId, 1000n);
    // Some tokens refuse to change an allowance that is not zero.
    await token.approve(payer.nodeId, chain.channels, 3n);

    await assert.rejects(requester.admin.open("p:1", wei(1001n), { signal }), { code: "chain_failed" });
    const { channelId, token: paidIn } = await requester.admin.open("p:1", wei(60n), { signal });
    assert.equal(paidIn, token.address);
    assert.equal(await token.balanceOf(chain.channels), 60n);
    const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
    const task = async () => {
      const spending = await requester.spendings.tasks.reserve(ORDER);
      await provider.earnings.tasks.reserve(terms).settle(USAGE);
      await spending.commit(USAGE);
    };
    for (let i = 0; i < 6; i++) await task();
    await assert.rejects(task(), { code: "payment_required", message: /top it up/ });
    await provider.claimDue();
    assert.equal(
      provider.admin.channels()[0]!.claimed,
      0n,
      "60 are less than what is worth a claim (payments.claimAt)",
    );
    await requester.admin.topUp(channelId, wei(940n));
    for (let i = 0; i < 6; i++) await task();
    await provider.claimDue();
    assert.equal(provider.admin.channels()[0]!.claimed, 121n, "a tenth of the last task was paid ahead");

    await provider.admin.withdraw(token.address, { amount: wei(100n) });
    await provider.admin.withdraw(token.address, { to: keyOf(7).nodeId });
    assert.equal(await token.balanceOf(payee.nodeId), 100n);
    assert.equal(await token.balanceOf(keyOf(7).nodeId), 21n);
    await provider.admin.close(channelId);
    await requester.admin.withdraw(token.address, {});
    assert.equal(await token.balanceOf(payer.nodeId), 879n);
    assert.equal(await token.balanceOf(chain.channels), 0n);
  });
}

test("a token that keeps a part of each transfer is refused, and nothing is lost", async (t) => {
  const chain = await chainFor(t);
  const token = await deployToken(chain, "FeeToken");
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, { key: payee, rates: { ...RATES, token: token.address } });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  await token.mint(payer.nodeId, 1000n);
  await assert.rejects(requester.admin.open("p:1", wei(1000n), { signal }), { code: "chain_failed" });
  assert.equal(await token.balanceOf(payer.nodeId), 1000n);
  assert.deepEqual(requester.admin.channels(), []);
});

test("a provider takes no channel in another token than its prices are in", async (t) => {
  const chain = await chainFor(t);
  const token = await deployToken(chain, "Token");
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, { key: payee, rates: { ...RATES, token: token.address } });
  const coins = await paidNode(t, chain, { key: keyOf(3), rates: RATES });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => coins.earnings]]) });
  const { channelId } = await requester.admin.open("p:1", wei(ETHER), { signal });
  const ctx = { requester: payer.nodeId, signal, requestId: "test" };
  await assert.rejects(provider.earnings.quote(channelId, ctx), {
    code: "failed_precondition",
    message: /pays another node/,
  });
  // A channel to the right node, in coins.
  const direct = await paidNode(t, chain, { key: keyOf(4) });
  await direct.calls.open({
    payee: payee.nodeId,
    token: RATES.token,
    amount: wei(1000n),
    exitDelay: 3600,
  }, { kind: "test" });
  const counter = BigInt(channelId) & 0xffffffffffffffffffffffffn;
  const next = `${payee.nodeId.toLowerCase()}${(counter + 1n).toString(16).padStart(24, "0")}` as typeof channelId;
  await assert.rejects(provider.earnings.quote(next, ctx), {
    code: "failed_precondition",
    message: /pays in the chain's coin/,
  });
});
