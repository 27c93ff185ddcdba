import assert from "node:assert/strict";
import { request } from "node:http";
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
import { wasm } from "../plugins/host-fixture.ts";
import { channelOf, equalBooks, ETHER, startPaidSwarm } from "./paid-swarm.ts";

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

/** A body whose pieces are sent one by one. */
function streamed(pieces: () => AsyncGenerator<Uint8Array>): RequestInit {
  const source = pieces();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await source.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void source.return(undefined),
  });
  return { method: "POST", body, duplex: "half" } as RequestInit;
}

/**
 * Streams an input that never ends, and breaks off once some of the answer is there. With a socket of its own: a fetch that is aborted says on Node that
 * its body is complete.
 */
function leaveInTheMiddle(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request(url, { method: "POST" });
    const writing = setInterval(() => call.write(new Uint8Array(16 << 10)), 5);
    let status = 0;
    call.on("response", (answer) => {
      status = answer.statusCode ?? 0;
      answer.on("error", () => {});
      answer.once("data", () => call.destroy());
    });
    call.on("error", () => {});
    call.on("close", () => {
      clearInterval(writing);
      if (status === 200) resolve();
      else reject(new Error(`The task answered with ${status} instead of its output`));
    });
  });
}

test("a streamed task is paid, one that its reader leaves is charged on neither side, and the next one works", async (t) => {
  const { provider, requester } = await startPaidPair(t);
  const run = (path: string, init: RequestInit) =>
    fetch(`${requester.rest}/v1/run/${path}?target=${provider.rpc}`, init);
  const whole = await run(
    "demo/echo",
    streamed(async function* () {
      for (const word of ["paid ", "in ", "pieces"]) yield await Promise.resolve(new TextEncoder().encode(word));
    }),
  );
  assert.equal(await whole.text(), "paid in pieces");
  assert.equal(whole.status, 200);
  const [first] = await equalBooks(requester, [provider]);
  assert.equal(first!.items, 1);
  assert.ok(BigInt(first!.charged) >= 1000n);
  assert.ok(BigInt(first!.paid) >= BigInt(first!.charged), "paid ahead");
  assert.equal((await channelOf(requester)).items, 1);

  const headers = { "content-type": "application/wasm" };
  const plugin = { method: "POST", headers, body: wasm("testing/stream") };
  const installed = await fetch(`${provider.rest}/v1/plugins`, plugin);
  assert.equal(installed.status, 201, await installed.text());
  await leaveInTheMiddle(`${requester.rest}/v1/run/stream/echo?target=${provider.rpc}`);
  const last = await post(`${requester.rest}/task`, { target: provider.rpc, id: "s2", input: "hello" });
  assert.equal(last.status, 200, last.text);
  const [after] = await equalBooks(requester, [provider]);
  assert.ok(BigInt(after!.paid) >= BigInt(after!.charged));
  assert.equal(after!.items, 2, "what gave no whole result is not charged");
  assert.equal((await channelOf(requester)).items, 2);
});

test("a payer ends its channel after the delay and not before, and withdraws what is left of its deposit", async (t) => {
  const { chain, provider, requester } = await startPaidPair(t);
  const task = await post(`${requester.rest}/task`, { target: provider.rpc, id: "x1", input: "hello" });
  assert.equal(task.status, 200, task.text);
  const { channelId } = await channelOf(requester);
  const exit = () => post(`${requester.rest}/v1/payments/channels/${channelId}/exit`, {});
  const withdraw = (body: object = {}) => post(`${requester.rest}/v1/payments/withdraw`, body);
  const credit = async () => BigInt((await get<{ credit: string }>(`${requester.rest}/v1/payments`)).credit);
  const none = await withdraw();
  assert.equal(none.status, 409, none.text);
  assert.match(none.text, /nothing to withdraw/);

  const announced = await exit();
  assert.equal(announced.status, 200, announced.text);
  assert.equal((await channelOf(requester)).state, "exiting");
  // The provider sees the announcement, and claims.
  const { paid } = await until(async () => {
    const earned = await channelOf(provider);
    return earned.state === "exiting" && earned.claimed === earned.paid ? earned : undefined;
  });
  const early = await exit();
  assert.equal(early.status, 409, early.text);
  assert.match(early.text, /can be ended from .* on/);
  await chain.rpc("evm_increaseTime", [86_400 - 60]);
  await chain.rpc("anvil_mine", ["0x1"]);
  assert.equal((await exit()).status, 409, "a minute before its time");
  assert.equal(await credit(), 0n);
  await chain.rpc("evm_increaseTime", [61]);
  await chain.rpc("anvil_mine", ["0x1"]);
  const ended = await exit();
  assert.equal(ended.status, 200, ended.text);
  assert.equal((await channelOf(requester)).state, "closed");
  const left = ETHER - BigInt(paid);
  assert.equal(await credit(), left, "the deposit less what the provider claimed");
  const again = await exit();
  assert.equal(again.status, 409, again.text);
  assert.match(again.text, /has ended already/);

  const over = await withdraw({ amount: String(left + 1n) });
  assert.ok(over.status >= 400, over.text);
  assert.equal(await credit(), left);
  const to = `0x${"77".repeat(20)}`;
  const part = await withdraw({ amount: "5", to });
  assert.equal(part.status, 200, part.text);
  assert.equal(await credit(), left - 5n);
  const rest = await withdraw({ to });
  assert.equal(rest.status, 200, rest.text);
  assert.equal(await credit(), 0n);
  assert.equal(BigInt(await chain.rpc<string>("eth_getBalance", [to, "latest"])), left);
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
