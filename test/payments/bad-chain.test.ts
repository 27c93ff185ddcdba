/** A chain that drops, replaces and forgets transactions, and endpoints that are slow, wrong or liars. */
import assert from "node:assert/strict";
import { type Hex32, systemClock, type Usage, wei } from "../../src/core/mod.ts";
import type { LocalChain } from "../../src/payments/local-chain.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { until } from "../e2e/harness.ts";
import { test } from "../testing.ts";
import { chainFor, ETHER, keyOf, paidNode, RATES } from "./paid-nodes.ts";
import { startRpcProxy } from "./rpc-proxy.ts";

const signal = new AbortController().signal;
const LIMITS = { timeoutMs: 1000, memoryBytes: 1 << 20, outputBytes: 1000 };
const USAGE: Usage = { wallMicros: 1000, inputBytes: 5, outputBytes: 5, instructions: 100 };
const ORDER = { target: "p:1", limits: LIMITS, inputBytes: 5 };
const [payer, payee] = [keyOf(1), keyOf(2)];
const TERMS = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
const FAST = { bumpMs: 100, pollMs: 50 };

interface Pending {
  readonly hash: Hex32;
  readonly maxFeePerGas: string;
  readonly nonce: string;
}

/** The payer's transactions that wait to be mined. */
async function waiting(chain: LocalChain): Promise<Pending[]> {
  const { pending } = await chain.rpc<{ pending: Record<string, Record<string, Pending>> }>("txpool_content");
  return Object.entries(pending)
    .filter(([account]) => account.toLowerCase() === payer.nodeId.toLowerCase())
    .flatMap(([, byNonce]) => Object.values(byNonce));
}

const someWaiting = (chain: LocalChain, not?: Hex32) =>
  until(async () => (await waiting(chain)).find(({ hash }) => hash !== not));

/** A node that waits for blocks gets them. */
async function mineWhile<T>(chain: LocalChain, work: Promise<T>): Promise<T> {
  let done = false;
  const mining = (async () => {
    while (!done) {
      await chain.rpc("anvil_mine", ["0x1"]);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  try {
    return await work;
  } finally {
    done = true;
    await mining;
  }
}

async function deposited(chain: LocalChain): Promise<bigint> {
  return BigInt(await chain.rpc<string>("eth_getBalance", [chain.channels, "latest"]));
}

test("a transaction that the chain dropped is sent again", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const requester = await paidNode(t, chain, {
    key: payer,
    ...FAST,
    desks: new Map([["p:1", () => provider.earnings]]),
  });
  await chain.rpc("evm_setAutomine", [false]);
  const opening = requester.admin.open("p:1", wei(1000n), { signal });
  const { hash } = await someWaiting(chain);
  await chain.rpc("anvil_dropTransaction", [hash]);
  await someWaiting(chain, hash);
  const view = await mineWhile(chain, opening);
  assert.equal(view.deposit, 1000n);
  assert.equal(await deposited(chain), 1000n, "nothing was paid twice");
});

test("a transaction that is not mined is replaced by itself at higher fees, and done once", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const requester = await paidNode(t, chain, {
    key: payer,
    ...FAST,
    desks: new Map([["p:1", () => provider.earnings]]),
  });
  await chain.rpc("evm_setAutomine", [false]);
  const opening = requester.admin.open("p:1", wei(1000n), { signal });
  const first = await someWaiting(chain);
  const second = await someWaiting(chain, first.hash);
  assert.equal(second.nonce, first.nonce);
  assert.ok(BigInt(second.maxFeePerGas) > BigInt(first.maxFeePerGas));
  await mineWhile(chain, opening);
  assert.equal(await deposited(chain), 1000n);
});

test("a transaction whose place another program of the same key took is given up, and says so", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const requester = await paidNode(t, chain, {
    key: payer,
    pollMs: 50,
    desks: new Map([["p:1", () => provider.earnings]]),
  });
  await chain.rpc("evm_setAutomine", [false]);
  const opening = requester.admin.open("p:1", wei(1000n), { signal });
  opening.catch(() => {});
  const { nonce } = await someWaiting(chain);
  await chain.rpc("anvil_impersonateAccount", [payer.nodeId]);
  const fee = `0x${(10n ** 12n).toString(16)}`;
  await chain.rpc("eth_sendTransaction", [{
    from: payer.nodeId,
    to: keyOf(9).nodeId,
    value: "0x1",
    nonce,
    maxFeePerGas: fee,
    maxPriorityFeePerGas: fee,
  }]);
  await chain.rpc("anvil_mine", ["0x1"]);
  await assert.rejects(opening, { code: "chain_failed", message: /does another program use its key/ });
  await chain.rpc("evm_setAutomine", [true]);
  assert.equal((await requester.admin.open("p:1", wei(7n), { signal })).deposit, 7n, "the next one works");
});

test("a channel that a short reorganisation took out is opened again by the same transaction", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: payee, rates: RATES, confirmations: 2 });
  const requester = await paidNode(t, chain, {
    key: payer,
    ...FAST,
    confirmations: 2,
    desks: new Map([["p:1", () => provider.earnings]]),
  });
  const before = await chain.rpc<string>("evm_snapshot");
  const opening = requester.admin.open("p:1", wei(1000n), { signal });
  await until(async () => await deposited(chain) === 1000n ? true : undefined);
  assert.deepEqual(requester.admin.channels(), [], "it is not believed before it is deep enough");
  assert.equal(await chain.rpc("evm_revert", [before]), true);
  assert.equal(await deposited(chain), 0n);
  const { channelId } = await mineWhile(chain, opening);
  assert.equal(await deposited(chain), 1000n);
  await chain.rpc("anvil_mine", ["0x2"]);
  const { quote } = await provider.earnings.quote(channelId, { requester: payer.nodeId, signal, requestId: "test" });
  assert.equal(quote.quote.channelId, channelId);
});

test("a provider gives no credit on a channel that a reorganisation took away, and goes on when it is back", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  const before = await chain.rpc<string>("evm_snapshot");
  const { channelId } = await requester.admin.open("p:1", wei(1000n), { signal });
  const raw = await chain.rpc<{ transactions: Hex32[] }>("eth_getBlockByNumber", ["latest", false]);
  const transaction = await chain.rpc<string>("eth_getRawTransactionByHash", [raw.transactions[0]]);
  const spending = await requester.spendings.tasks.reserve(ORDER);
  await provider.earnings.tasks.reserve(TERMS).settle(USAGE);
  await spending.commit(USAGE);
  const paid = provider.admin.channels()[0]!.paid;
  assert.ok(paid > 0n);

  await chain.rpc("evm_revert", [before]);
  await provider.earnings.refreshAll();
  assert.throws(() => provider.earnings.tasks.reserve(TERMS), { code: "payment_required", message: /is closed/ });
  await chain.rpc("eth_sendRawTransaction", [transaction]);
  await until(async () => await deposited(chain) === 1000n ? true : undefined);
  await provider.earnings.quote(channelId, { requester: payer.nodeId, signal, requestId: "test" });
  const next = await requester.spendings.tasks.reserve(ORDER);
  await provider.earnings.tasks.reserve(TERMS).settle(USAGE);
  await next.commit(USAGE);
  await provider.admin.claim();
  assert.ok(provider.admin.channels()[0]!.claimed >= paid, "no voucher was lost");
});

test("a transaction is taken up after a restart in its middle, and done once", async (t) => {
  const chain = await chainFor(t);
  const store = openMemoryStore().payments;
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const desks = new Map([["p:1", () => provider.earnings]]);
  const requester = await paidNode(t, chain, { key: payer, ...FAST, store, desks });
  await chain.rpc("evm_setAutomine", [false]);
  const opening = requester.admin.open("p:1", wei(1000n), { signal });
  opening.catch(() => {});
  await someWaiting(chain);
  await requester.close();
  await assert.rejects(opening, { code: "shutting_down" });
  const again = await paidNode(t, chain, { key: payer, ...FAST, store, desks });
  assert.deepEqual(again.admin.channels(), []);
  await mineWhile(chain, until(() => Promise.resolve(again.admin.channels()[0])));
  assert.equal(again.admin.channels()[0]!.deposit, 1000n);
  assert.equal(await deposited(chain), 1000n);
});

test("the end of a channel that is mined after a restart in its middle is in the books", async (t) => {
  const chain = await chainFor(t);
  const store = openMemoryStore().payments;
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const desks = new Map([["p:1", () => provider.earnings]]);
  const requester = await paidNode(t, chain, { key: payer, ...FAST, store, desks });
  const { channelId } = await requester.admin.open("p:1", wei(1000n), { signal });
  await requester.admin.exit(channelId);
  await chain.rpc("evm_increaseTime", [3601]);
  await chain.rpc("anvil_mine", ["0x1"]);
  await chain.rpc("evm_setAutomine", [false]);
  const ending = requester.admin.exit(channelId);
  ending.catch(() => {});
  await someWaiting(chain);
  await requester.close();
  await assert.rejects(ending, { code: "shutting_down" });
  const again = await paidNode(t, chain, { key: payer, ...FAST, store, desks });
  assert.equal(again.admin.channels()[0]!.state, "exiting");
  await mineWhile(chain, until(() => Promise.resolve(again.admin.channels()[0]!.state === "closed" || undefined)));
  assert.equal((await again.admin.summary()).credit, 1000n);
  await assert.rejects(again.admin.exit(channelId), { code: "failed_precondition", message: /has ended already/ });
});

test("an endpoint that is slow, or limits its rate, is passed over for the next", async (t) => {
  const chain = await chainFor(t);
  const proxy = await startRpcProxy(t, chain.url);
  const provider = await paidNode(t, chain, {
    key: payee,
    rates: RATES,
    rpcUrls: [proxy.url, chain.url],
    rpcTimeoutMs: 300,
  });
  assert.ok(provider.chain.healthy());
  proxy.tamper = () => undefined; // never answers
  await provider.chain.poll();
  assert.ok(provider.chain.healthy());
  proxy.tamper = (_call, _ask, answer) => {
    answer.writeHead(429, { "retry-after": "1" }).end("too many requests");
    return undefined;
  };
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  const { channelId } = await requester.admin.open("p:1", wei(1000n), { signal });
  await provider.earnings.quote(channelId, { requester: payer.nodeId, signal, requestId: "test" });
  assert.ok(proxy.calls.length > 0);
});

test("a spare endpoint of another chain is never believed", async (t) => {
  const chain = await chainFor(t);
  const other = await startRpcProxy(t, chain.url);
  const first = await startRpcProxy(t, chain.url);
  other.tamper = (call, ask) => call.method === "eth_chainId" ? Promise.resolve("0x1") : ask();
  const provider = await paidNode(t, chain, { key: payee, rates: RATES, rpcUrls: [first.url, other.url] });
  assert.ok(provider.chain.healthy());
  first.tamper = (_call, _ask, answer) => {
    answer.writeHead(503).end();
    return undefined;
  };
  await provider.chain.poll();
  assert.equal(provider.chain.healthy(), false);
  assert.ok(other.calls.every((method) => method === "eth_chainId"), other.calls.join());
});

test("an endpoint whose head is old, from the future, or falls far back, gets no credit given; what is paid is served on", async (t) => {
  const chain = await chainFor(t);
  // Stands still at a whole second, as blocks have them, so that the bounds are met exactly.
  const at = Math.floor(systemClock.now() / 1000) * 1000;
  const clock = { ...systemClock, now: () => at };
  const proxy = await startRpcProxy(t, chain.url);
  const provider = await paidNode(t, chain, {
    key: payee,
    rates: RATES,
    credit: { base: wei(1000n), max: wei(0n), debtAfterMs: 600_000 },
    clock,
    rpcUrls: [proxy.url],
    maxHeadAgeMs: 60_000,
    pollMs: 3_600_000,
  });
  const requester = await paidNode(t, chain, {
    key: payer,
    window: wei(100n),
    desks: new Map([["p:1", () => provider.earnings]]),
  });
  const { channelId } = await requester.admin.open("p:1", wei(ETHER), { signal });
  const ctx = { requester: payer.nodeId, signal, requestId: "test" };
  await provider.earnings.quote(channelId, ctx);
  const creditNow = async () => (await provider.earnings.account(channelId, ctx)).credit;
  await chain.rpc("anvil_mine", ["0x80"]);
  await provider.chain.poll();
  assert.equal(await creditNow(), 1000n);

  const seen = (change: (block: Record<string, string>) => void) => {
    proxy.tamper = async (call, ask) => {
      const answer = await ask();
      if (call.method === "eth_getBlockByNumber") change(answer as Record<string, string>);
      return answer;
    };
    return provider.chain.poll();
  };
  const hex = (value: number) => `0x${value.toString(16)}`;
  await seen((block) => block["timestamp"] = hex(at / 1000 - 61));
  assert.equal(await creditNow(), 0n, "a head of 61 s ago is older than 60 s");
  const now = () => hex(at / 1000);
  await seen((block) => block["timestamp"] = now());
  assert.equal(await creditNow(), 1000n);
  const ahead = (seconds: number) => (block: Record<string, string>) => block["timestamp"] = hex(at / 1000 + seconds);
  await seen(ahead(60));
  assert.equal(await creditNow(), 1000n, "clocks may differ by 60 s");
  await seen(ahead(61));
  assert.equal(provider.chain.healthy(), false);
  assert.equal(await creditNow(), 0n, "a head of 61 s in the future would never be old");
  await seen((block) => block["timestamp"] = now());
  assert.equal(await creditNow(), 1000n);
  await seen((block) => {
    block["timestamp"] = now();
    block["number"] = hex(Number(block["number"]) - 65);
  });
  assert.equal(await creditNow(), 0n, "the head fell by more than 64 blocks");

  // What a voucher pays is worked for all the same.
  const voucherFor = async () => {
    await requester.spendings.settleUp("p:1");
    return await requester.spendings.tasks.reserve({ ...ORDER, limits: { ...LIMITS, timeoutMs: 2_000_000 } });
  };
  const spending = await voucherFor();
  provider.earnings.tasks.reserve(TERMS).release();
  spending.release();
});
