import assert from "node:assert/strict";
import {
  type CallContext,
  gpuNeeded,
  type PaymentDesk,
  toHex,
  type Usage,
  voucherDigest,
  wei,
} from "../../src/core/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { test } from "../testing.ts";
import { chainFor, ETHER, keyOf, paidNode, RATES } from "./paid-nodes.ts";
import { startRpcProxy } from "./rpc-proxy.ts";

const signal = new AbortController().signal;
const LIMITS = { timeoutMs: 1000, memoryBytes: 1 << 20, outputBytes: 1000 };
const USAGE: Usage = { wallMicros: 1000, inputBytes: 5, outputBytes: 5, instructions: 100 };

function call(requester: CallContext["requester"]): CallContext {
  return { requester, signal, requestId: "test" };
}

test("a stranger pays before it is worked for; provider and requester keep equal books; the chain pays the provider", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });

  const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
  assert.throws(() => provider.earnings.tasks.reserve(terms), { code: "payment_required" });
  const order = { target: "p:1", limits: LIMITS, inputBytes: 5 };
  await assert.rejects(async () => await requester.spendings.tasks.reserve(order), {
    code: "payment_required",
    message: /payments open/,
  });

  const view = await requester.admin.open("p:1", wei(ETHER), { signal });
  assert.equal(view.deposit, ETHER);
  for (let i = 0; i < 20; i++) {
    const spending = await requester.spendings.tasks.reserve(order);
    const earning = provider.earnings.tasks.reserve(terms);
    await earning.settle(USAGE);
    await spending.commit(USAGE);
  }
  await requester.spendings.settleUp("p:1");
  const [spent] = requester.admin.channels();
  const [earned] = provider.admin.channels();
  assert.equal(spent!.charged, 200n);
  assert.equal(earned!.charged, 200n);
  assert.equal(spent!.receipt!.receipt.charged, 200n);
  assert.deepEqual(earned!.receipt, spent!.receipt, "both keep the receipt that the provider signed last");
  assert.ok(earned!.paid >= 200n && earned!.paid === spent!.paid);

  const mined = await provider.admin.claim();
  assert.ok(mined!.gasUsed > 0n);
  assert.equal(provider.admin.channels()[0]!.claimed, earned!.paid);
  assert.equal(await provider.admin.claim(), undefined, "there is nothing more to claim");
  await provider.admin.withdraw(RATES.token, {});
  await provider.admin.close(view.channelId);
  assert.equal(provider.admin.channels()[0]!.state, "closed");
  assert.throws(() => provider.earnings.tasks.reserve(terms), { code: "payment_required" });
});

test("a deposit beyond what the account has is refused with what it takes, what there is, and where to send more", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: keyOf(2), rates: RATES });
  const requester = await paidNode(t, chain, { key: keyOf(1), desks: new Map([["p:1", () => provider.earnings]]) });
  const { balance } = await requester.admin.summary();
  for (const amount of [balance, balance + ETHER]) {
    await assert.rejects(requester.admin.open("p:1", wei(amount), { signal }), {
      code: "chain_failed",
      message: `The transaction (open) takes ${amount} wei and its gas, and the account ${keyOf(1).nodeId} has ` +
        `${balance} wei: send coins to it, or take less`,
    });
  }
  assert.deepEqual(requester.admin.channels(), []);
});

test("vouchers that are forged, replayed, lower, for another channel or chain, or above the deposit pay nothing", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee, thief] = [keyOf(1), keyOf(2), keyOf(3)];
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  const { channelId } = await requester.admin.open("p:1", wei(1000n), { signal });
  const ctx = call(payer.nodeId);
  await provider.earnings.quote(channelId, ctx);
  const at = { chainId: chain.chainId, channels: chain.channels };
  const pay = (cumulative: bigint, options: { key?: typeof payer; place?: typeof at } = {}) => {
    const voucher = { channelId, cumulative: wei(cumulative) };
    const signature = (options.key ?? payer).signDigest(voucherDigest(options.place ?? at, voucher));
    return provider.earnings.pay(voucher, signature, ctx);
  };

  await assert.rejects(pay(10n, { key: thief }), { code: "invalid_argument" });
  await assert.rejects(pay(10n, { place: { ...at, chainId: 1 } }), { code: "invalid_argument" });
  await assert.rejects(pay(10n, { place: { ...at, channels: chain.registry } }), { code: "invalid_argument" });
  await assert.rejects(pay(1001n), { code: "invalid_argument", message: /deposit/ });
  assert.equal((await pay(500n)).receipt.paid, 500n);
  assert.equal((await pay(500n)).receipt.paid, 500n, "a replay changes nothing");
  assert.equal((await pay(499n)).receipt.paid, 500n, "a lower one changes nothing");
  const other = `${channelId.slice(0, -1)}f` as typeof channelId;
  const signature = payer.signDigest(voucherDigest(at, { channelId, cumulative: wei(600n) }));
  await assert.rejects(provider.earnings.pay({ channelId: other, cumulative: wei(600n) }, signature, ctx), {
    code: "not_found",
  });
  for (const bad of [signature.subarray(1), new Uint8Array(65), new Uint8Array(65).fill(27)]) {
    await assert.rejects(provider.earnings.pay({ channelId, cumulative: wei(600n) }, bad, ctx), {
      code: "invalid_argument",
    });
  }
  assert.equal((await pay(1000n)).receipt.paid, 1000n);
  await requester.admin.topUp(channelId, wei(1n));
  assert.equal((await pay(1001n)).receipt.paid, 1001n, "after a top-up the same voucher is good");
});

test("what is unclaimed is claimed by itself once it is over 20 times the gas of a claim, and not a wei before", async (t) => {
  const chain = await chainFor(t);
  const proxy = await startRpcProxy(t, chain.url);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const gasPrice = 3_000_000_007n;
  proxy.tamper = (call, ask) => call.method === "eth_gasPrice" ? Promise.resolve(`0x${gasPrice.toString(16)}`) : ask();
  const provider = await paidNode(t, chain, { key: payee, rates: RATES, rpcUrls: [proxy.url] });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  const { channelId } = await requester.admin.open("p:1", wei(ETHER), { signal });
  const ctx = call(payer.nodeId);
  await provider.earnings.quote(channelId, ctx);
  const claimedAfter = async (cumulative: bigint) => {
    const voucher = { channelId, cumulative: wei(cumulative) };
    const signature = payer.signDigest(voucherDigest({ chainId: chain.chainId, channels: chain.channels }, voucher));
    await provider.earnings.pay(voucher, signature, ctx);
    await provider.claimDue();
    return provider.admin.channels()[0]!.claimed;
  };
  const worth = 20n * 45_000n * gasPrice;
  assert.equal(await claimedAfter(worth), 0n);
  assert.equal(await claimedAfter(worth + 1n), worth + 1n);
  // From then on it is what came since that counts.
  assert.equal(await claimedAfter(2n * worth + 1n), worth + 1n);
  assert.equal(await claimedAfter(2n * worth + 2n), 2n * worth + 2n);
});

test("one claim takes what all payers owe in one transaction", async (t) => {
  const chain = await chainFor(t);
  const payee = keyOf(2);
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const payers = [keyOf(1), keyOf(3)];
  for (const [place, key] of payers.entries()) {
    const requester = await paidNode(t, chain, {
      key,
      window: wei(100n * BigInt(place + 1)),
      desks: new Map([["p:1", () => provider.earnings]]),
    });
    await requester.admin.open("p:1", wei(ETHER), { signal });
    const spending = await requester.spendings.tasks.reserve({ target: "p:1", limits: LIMITS, inputBytes: 5 });
    await provider.earnings.tasks.reserve({ requester: key.nodeId, limits: LIMITS, inputBytes: 5 }).settle(USAGE);
    await spending.commit(USAGE);
  }
  const sent = async () => BigInt(await chain.rpc<string>("eth_getTransactionCount", [payee.nodeId, "latest"]));
  const before = await sent();
  const mined = await provider.admin.claim();
  assert.equal(await sent(), before + 1n);
  const channels = provider.admin.channels();
  const claimed = payers.map(({ nodeId }) => channels.find(({ peer }) => peer === nodeId)!.claimed);
  assert.deepEqual(claimed, [110n, 210n], "each voucher is over a task of 10 wei and its window");
  assert.equal((await provider.admin.summary()).credit, 320n);
  const { logs } = await chain.rpc<{ logs: unknown[] }>("eth_getTransactionReceipt", [mined!.hash]);
  assert.equal(logs.length, 2, "the one transaction claimed on both channels");
});

test("a voucher pays for a window of tasks, so that a hundred tasks need two of them", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const { earnings } = provider;
  const sums: bigint[] = [];
  const desk: PaymentDesk = {
    offer: (at) => earnings.offer(at),
    quote: (id, ctx) => earnings.quote(id, ctx),
    account: (id, ctx) => earnings.account(id, ctx),
    pay: (voucher, signature, ctx) => {
      sums.push(voucher.cumulative);
      return earnings.pay(voucher, signature, ctx);
    },
  };
  const requester = await paidNode(t, chain, {
    key: payer,
    window: wei(500n),
    desks: new Map([["p:1", () => desk]]),
  });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  for (let i = 0; i < 100; i++) {
    const spending = await requester.spendings.tasks.reserve({ target: "p:1", limits: LIMITS, inputBytes: 5 });
    await earnings.tasks.reserve({ requester: payer.nodeId, limits: LIMITS, inputBytes: 5 }).settle(USAGE);
    await spending.commit(USAGE);
  }
  assert.deepEqual(sums, [510n, 1020n], "each pays for the task at hand and 500 wei ahead: 51 tasks");
  assert.equal(provider.admin.channels()[0]!.charged, 1000n);
});

test("a payer that announces its exit is not worked for any more, and what it owes is claimed", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  const { channelId } = await requester.admin.open("p:1", wei(1000n), { signal });
  const order = { target: "p:1", limits: LIMITS, inputBytes: 5 };
  const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
  const spending = await requester.spendings.tasks.reserve(order);
  const running = provider.earnings.tasks.reserve(terms);

  await requester.admin.exit(channelId);
  await provider.claimDue();
  await running.settle(USAGE);
  await spending.commit(USAGE);
  assert.throws(() => provider.earnings.tasks.reserve(terms), { code: "payment_required", message: /ending/ });
  const [earned] = provider.admin.channels();
  assert.equal(earned!.state, "exiting");
  assert.ok(earned!.claimed >= earned!.charged, "the task that ran while the payer left is paid");
  await assert.rejects(requester.admin.exit(channelId), { code: "failed_precondition", message: /from .* on/ });
});

test("the newest receipt outlives its provider's process, and books from before receipts were kept open without one", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const store = openMemoryStore().payments;
  const provider = await paidNode(t, chain, { key: payee, rates: RATES, store });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  const { channelId } = await requester.admin.open("p:1", wei(ETHER), { signal });
  const spending = await requester.spendings.tasks.reserve({ target: "p:1", limits: LIMITS, inputBytes: 5 });
  await provider.earnings.tasks.reserve({ requester: payer.nodeId, limits: LIMITS, inputBytes: 5 }).settle(USAGE);
  await spending.commit(USAGE);
  await requester.spendings.settleUp("p:1");
  const kept = requester.admin.channels()[0]!.receipt!;
  await provider.close();
  const again = await paidNode(t, chain, { key: payee, rates: RATES, store });
  assert.deepEqual(again.admin.channels()[0]!.receipt, kept);

  const [[key, text]] = (await store.entries("earning")) as [[string, string]];
  const { receipt: _, ...older } = JSON.parse(text);
  const left = openMemoryStore().payments;
  await left.write([{ kind: "earning", key, text: JSON.stringify(older) }], { durable: true });
  const upgraded = await paidNode(t, chain, { key: payee, rates: RATES, store: left });
  const [channel] = upgraded.admin.channels();
  assert.equal(channel!.receipt, undefined);
  assert.equal(channel!.charged, 10n);
  const { receipt, signature } = await upgraded.earnings.account(channelId);
  assert.equal(receipt.sequence, kept.receipt.sequence + 1, "receipts are counted on");
  assert.deepEqual(upgraded.admin.channels()[0]!.receipt, { receipt, signature: toHex(signature) });
});

test("a node refuses a chain with another number, and an address without a contract", async (t) => {
  const chain = await chainFor(t);
  await assert.rejects(paidNode(t, chain, { key: keyOf(1), chainId: 5 }), {
    code: "config_invalid",
    message: /chain 31337/,
  });
  await assert.rejects(paidNode(t, chain, { key: keyOf(1), channels: keyOf(9).nodeId }), {
    code: "config_invalid",
    message: /no contract/,
  });
});

test("where a GPU has its price, a task that names a module by its SHA-256 needs no money for it on either side", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const rates = { ...RATES, gpuSecond: wei(ETHER) };
  const provider = await paidNode(t, chain, { key: payee, rates });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  await requester.admin.open("p:1", wei(1000n), { signal });
  const order = { target: "p:1", limits: LIMITS, inputBytes: 5 };
  const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
  const plugin = "ab".repeat(32);
  const spending = await requester.spendings.tasks.reserve({ ...order, plugin });
  const earning = provider.earnings.tasks.reserve({ ...terms, plugin });
  await earning.settle({ ...USAGE, gpuMicros: 1000 });
  await spending.commit({ ...USAGE, gpuMicros: 1000 });
  await requester.spendings.settleUp("p:1");
  assert.equal(provider.admin.channels()[0]!.charged, 10n);
  assert.equal(requester.admin.channels()[0]!.charged, 10n);
  assert.throws(() => provider.earnings.tasks.reserve({ ...terms, plugin: "demo" }), { code: "payment_required" });
});

test("a plugin is taken to work on no GPU, and paid for without one, until its provider says that it does", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const rates = { ...RATES, gpuSecond: wei(1_000_000n) };
  const provider = await paidNode(t, chain, { key: payee, rates, offerMs: 24 * 3_600_000 });
  const clock = { at: Date.now(), now: () => clock.at };
  const requester = await paidNode(t, chain, { key: payer, clock, desks: new Map([["p:1", () => provider.earnings]]) });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  const order = { target: "p:1", limits: LIMITS, inputBytes: 5 };
  const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
  const asked = { ...LIMITS, noGpu: true };

  const cheap = await requester.spendings.tasks.reserve({ ...order, plugin: "demo" });
  assert.equal(cheap.noGpu, true);
  await provider.earnings.tasks.reserve({ ...terms, limits: asked, plugin: "demo" }).settle(USAGE);
  await cheap.commit(USAGE);
  await requester.spendings.settleUp("p:1");
  assert.ok(requester.admin.channels()[0]!.paid < 20n, "nothing was paid ahead for a GPU");

  const refused = await requester.spendings.tasks.reserve({ ...order, plugin: "ml" });
  assert.equal(refused.noGpu, true);
  refused.release(gpuNeeded("ml@1.0.0"));
  const dear = await requester.spendings.tasks.reserve({ ...order, plugin: "ml" });
  assert.equal(dear.noGpu, undefined);
  const onGpu = { ...USAGE, gpuMicros: 1000 };
  await provider.earnings.tasks.reserve({ ...terms, plugin: "ml" }).settle(onGpu);
  await dear.commit(onGpu);
  await requester.spendings.settleUp("p:1");
  assert.equal(provider.admin.channels()[0]!.charged, 1010n);
  assert.equal(requester.admin.channels()[0]!.charged, 1010n);

  // Its word is believed for an hour, and what a caller says of a GPU at once.
  const reserved = async (more: object) => (await requester.spendings.tasks.reserve({ ...order, ...more })).noGpu;
  clock.at += 3_600_000 - 1;
  assert.equal(await reserved({ plugin: "ml" }), undefined);
  clock.at += 1;
  assert.equal(await reserved({ plugin: "ml" }), true);
  assert.equal(await reserved({ plugin: "demo", limits: { ...LIMITS, noGpu: false } }), undefined);
});

test("nothing is said of GPUs to providers whose GPU costs nothing", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: keyOf(2), rates: RATES });
  const requester = await paidNode(t, chain, {
    key: keyOf(1),
    desks: new Map([["p:1", () => provider.earnings]]),
  });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  const order = { target: "p:1", plugin: "demo", limits: LIMITS, inputBytes: 5 };
  assert.equal((await requester.spendings.tasks.reserve(order)).noGpu, undefined);
});

test("an endpoint that is down is passed over for the next; with none, nothing new is credited and what is paid is served", async (t) => {
  const chain = await chainFor(t);
  const [payer, payee] = [keyOf(1), keyOf(2)];
  const provider = await paidNode(t, chain, {
    key: payee,
    rates: RATES,
    credit: { base: wei(100n), max: wei(0n), debtAfterMs: 600_000 },
    rpcUrls: ["http://127.0.0.1:1", chain.url],
  });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  await requester.admin.open("p:1", wei(1000n), { signal });
  const terms = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
  const spending = await requester.spendings.tasks.reserve({ target: "p:1", limits: LIMITS, inputBytes: 5 });
  await spending.commit(USAGE);
  provider.earnings.tasks.reserve(terms).release();
  provider.earnings.tasks.reserve({ ...terms, limits: { ...LIMITS, timeoutMs: 95_000 } }).release();

  await chain.close();
  const healthy = () => provider.chain.healthy();
  for (let i = 0; i < 200 && healthy(); i++) {
    await provider.chain.poll();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(healthy(), false);
  await requester.spendings.tasks.reserve({ target: "p:1", limits: LIMITS, inputBytes: 5 });
  assert.throws(() => provider.earnings.tasks.reserve({ ...terms, limits: { ...LIMITS, timeoutMs: 95_000 } }), {
    code: "payment_required",
  });
});
