import assert from "node:assert/strict";
import {
  fromHex,
  isTaskReceiptSigned,
  type Offer,
  offerDigest,
  RATE_NAMES,
  recoverDigestSigner,
  type Settlement,
  type TaskReceipt,
  wei,
} from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { get, post, taskThat, until } from "./harness.ts";
import { channelOf, ETHER, startPaidSwarm } from "./paid-swarm.ts";

/** A paid provider and a requester with a deposit. */
async function startPaidPair(t: TestScope, payments: Record<string, unknown> = {}) {
  const swarm = await startPaidSwarm(t, {
    // Instructions cost so much that the price of the time, which bounds it, is what all of them come to.
    prices: { megaInstructions: "1000000000000", cpuSecond: "1000000", gibRead: "1000000000", minimum: "1000" },
    requester: { payments },
  });
  return { ...swarm, provider: swarm.providers[0]! };
}

test("anybody reads a provider's offer over HTTP and checks its signature; a node that takes no money has none", async (t) => {
  const { chain, provider, requester } = await startPaidPair(t);
  const answer = await fetch(`${provider.rest}/.well-known/velas-sphere/offer`);
  assert.equal(answer.status, 200);
  const signed = await answer.json() as Settlement & {
    offer: Offer & { rates: Record<string, string> };
    signature: `0x${string}`;
  };
  assert.equal(signed.chainId, chain.chainId);
  assert.equal(signed.channels, chain.channels);
  const { rates } = signed.offer;
  assert.equal(rates["cpuSecond" as never], "1000000");
  const amounts = RATE_NAMES.map((name) => [name, wei(BigInt(rates[name]))]);
  const offer = { ...signed.offer, rates: { ...rates, ...Object.fromEntries(amounts) } };
  assert.ok(offer.expiresAt > Date.now());
  const signer = recoverDigestSigner(offerDigest(signed, offer), fromHex(signed.signature));
  assert.equal(signer, provider.nodeId);
  assert.equal(offer.provider, provider.nodeId);
  assert.equal(offer.costTable, 1, "instructions cost something, so that the offer says what counts them");

  const none = await fetch(`${requester.rest}/.well-known/velas-sphere/offer`);
  assert.equal(none.status, 404);
  assert.equal(none.headers.get("content-type"), "application/problem+json");
  assert.match(await none.text(), /takes no money/);
});

test("synchronous and asynchronous tasks are paid on one channel that opens by itself, and the books are equal", async (t) => {
  const { provider, requester } = await startPaidPair(t);
  for (let i = 0; i < 5; i++) {
    const answer = await post(`${requester.rest}/task`, { target: provider.rpc, id: `s${i}`, input: "hello" });
    assert.equal(answer.text, `{"id":"s${i}","output":"world"}`);
  }
  const before = BigInt((await channelOf(provider)).charged);
  const submitted = await post(`${requester.rest}/v1/tasks`, { target: provider.rpc, id: "a1", input: "hello" });
  assert.equal(submitted.status, 202, submitted.text);
  await taskThat((task) => task.state === "succeeded", { rest: requester.rest, id: "a1" });
  const { receipt } = await get<{ receipt: TaskReceipt }>(`${requester.rest}/v1/tasks/a1`);
  assert.ok(isTaskReceiptSigned(receipt));
  const [spent, earned] = await Promise.all([channelOf(requester), channelOf(provider)]);
  assert.equal(receipt.terms!.channelId, earned.channelId);
  assert.ok(BigInt(receipt.terms!.charge) >= 1000n);
  assert.equal(BigInt(receipt.terms!.charge), BigInt(earned.charged) - before);
  assert.equal(spent.items, 6);
  assert.equal(earned.items, 6);
  assert.equal(spent.charged, earned.charged);
  assert.ok(BigInt(earned.charged) >= 6000n);
  assert.ok(BigInt(earned.paid) >= BigInt(earned.charged), "nothing was worked for that was not paid before");
});

test("kill -9 of either side loses no voucher, and the books are equal when both are back", async (t) => {
  const { provider, requester, providerAgain, requesterAgain } = await startPaidPair(t);
  const first = await post(`${requester.rest}/task`, { target: provider.rpc, id: "k1", input: "hello" });
  assert.equal(first.status, 200, first.text);
  const before = await channelOf(provider);
  await Promise.all([provider.stop("SIGKILL"), requester.stop("SIGKILL")]);
  const back = await providerAgain(0);
  const asking = await requesterAgain();
  assert.deepEqual(await channelOf(back), before);
  const second = await post(`${asking.rest}/task`, { target: back.rpc, id: "k2", input: "hello" });
  assert.equal(second.status, 200, second.text);
  const [spent, earned] = await Promise.all([channelOf(asking), channelOf(back)]);
  assert.equal(earned.items, 2);
  assert.equal(spent.charged, earned.charged);
});

test("nobody spends another's deposit, or works for nothing, by saying another's name", async (t) => {
  const { provider, requester } = await startPaidPair(t);
  const first = await post(`${requester.rest}/task`, { target: provider.rpc, id: "n1", input: "hello" });
  assert.equal(first.status, 200, first.text);
  const before = await channelOf(provider);
  // The owner of the deposit, and the provider, whose own tasks are free.
  for (const name of [requester.nodeId, provider.nodeId]) {
    const answer = await fetch(`http://${provider.rpc}/velas.sphere.v1.TaskService/Run`, {
      method: "POST",
      headers: { "content-type": "application/json", "velas-requester": name },
      body: JSON.stringify({ task: { id: "n2", plugin: "demo", input: btoa("hello") } }),
    });
    const text = await answer.text();
    assert.equal(answer.status, 400, text);
    assert.match(text, /payment_required/i);
    const read = await fetch(`http://${provider.rpc}/velas.sphere.v1.TaskService/Get`, {
      method: "POST",
      headers: { "content-type": "application/json", "velas-requester": name },
      body: JSON.stringify({ id: "n1" }),
    });
    assert.equal(read.status, 404, await read.text());
  }
  assert.deepEqual(await channelOf(provider), before);
});

test("a task over a cap is refused before anything is signed", async (t) => {
  const { provider, requester } = await startPaidPair(t, { capTask: "10" });
  const answer = await post(`${requester.rest}/task`, { target: provider.rpc, id: "c1", input: "hello" });
  assert.equal(answer.status, 402, answer.text);
  assert.match(answer.text, /payments\.capTask/);
  const spent = await channelOf(requester);
  assert.equal(spent.paid, "0");
});

test("the provider claims on the chain what is worth it", async (t) => {
  const { chain, provider, requester } = await startPaidPair(t, { window: String(ETHER / 2n) });
  await post(`${requester.rest}/task`, { target: provider.rpc, id: "w1", input: "hello" });
  await until(async () => {
    const { claimed } = await channelOf(provider);
    return BigInt(claimed) > 0n ? true : undefined;
  });
  assert.ok(chain.url.length > 0);
});
