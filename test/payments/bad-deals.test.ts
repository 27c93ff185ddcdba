/** Quotes that are altered or old, providers that charge too much, payers that leave: with real desks and a real chain. */
import assert from "node:assert/strict";
import {
  type Clock,
  NodeError,
  type Offer,
  offerDigest,
  type PaymentDesk,
  QUOTE_GRACE_MS,
  quoteDigest,
  type Receipt,
  receiptDigest,
  type Settlement,
  type SignedOffer,
  type SignedQuote,
  systemClock,
  type Usage,
  wei,
} from "../../src/core/mod.ts";
import type { Payments } from "../../src/payments/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { test } from "../testing.ts";
import { chainFor, ETHER, keyOf, paidNode, RATES } from "./paid-nodes.ts";

const signal = new AbortController().signal;
const LIMITS = { timeoutMs: 1000, memoryBytes: 1 << 20, outputBytes: 1000 };
const USAGE: Usage = { wallMicros: 1000, inputBytes: 5, outputBytes: 5, instructions: 100 };
const ORDER = { target: "p:1", limits: LIMITS, inputBytes: 5 };
const [payer, payee, thief] = [keyOf(1), keyOf(2), keyOf(3)];
const TERMS = { requester: payer.nodeId, limits: LIMITS, inputBytes: 5 };
const METERED = { ...RATES, megaInstructions: wei(1n) };
const CTX = { requester: payer.nodeId, signal, requestId: "test" };

function movedClock(): Clock & { move(ms: number): void } {
  let ahead = 0;
  return { ...systemClock, now: () => systemClock.now() + ahead, move: (ms) => void (ahead += ms) };
}

/** A desk that says something else than the provider's own. */
function deskOf(provider: () => Payments, changes: Partial<PaymentDesk>): PaymentDesk {
  const { earnings } = provider();
  return {
    offer: () => earnings.offer(),
    quote: (id, ctx) => earnings.quote(id, ctx),
    pay: (voucher, signature, ctx) => earnings.pay(voucher, signature, ctx),
    account: (id, ctx) => earnings.account(id, ctx),
    ...changes,
  };
}

async function oneTask(requester: Payments, provider: Payments): Promise<void> {
  const spending = await requester.spendings.tasks.reserve(ORDER);
  await provider.earnings.tasks.reserve(TERMS).settle(USAGE);
  await spending.commit(USAGE);
}

test("a quote that was altered, is another's, of another channel or requester, or is over, is refused before anything is signed", async (t) => {
  const chain = await chainFor(t);
  const at = { chainId: chain.chainId, channels: chain.channels };
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const cases: readonly (readonly [what: RegExp, change: (given: SignedQuote) => SignedQuote])[] = [
    [/not signed by/, (given) => ({ ...given, quote: { ...given.quote, rates: { ...RATES, minimum: wei(11n) } } })],
    [/not signed by/, (given) => ({ ...given, signature: thief.signDigest(quoteDigest(at, given.quote)) })],
    [/not signed by/, (given) => resigned({ ...given.quote, provider: thief.nodeId }, thief)],
    [/another channel/, ({ quote }) => resigned({ ...quote, channelId: `0x${"11".repeat(32)}` }, payee)],
    [/another requester/, ({ quote }) => resigned({ ...quote, requester: thief.nodeId }, payee)],
    [/another token/, ({ quote }) => resigned({ ...quote, rates: { ...RATES, token: thief.nodeId } }, payee)],
    [/expired/, ({ quote }) => resigned({ ...quote, expiresAt: Date.now() - 1 }, payee)],
  ];
  function resigned(quote: SignedQuote["quote"], key: typeof payee): SignedQuote {
    return { settlement: at, quote, signature: key.signDigest(quoteDigest(at, quote)) };
  }
  let change = cases[0]![1];
  const desk = deskOf(() => provider, {
    quote: async (id, ctx) => {
      const { quote, account } = await provider.earnings.quote(id, ctx);
      return { quote: change(quote), account };
    },
  });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => desk]]) });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  for (const [what, altered] of cases) {
    change = altered;
    await assert.rejects(async () => await requester.spendings.tasks.reserve(ORDER), {
      code: "target_misbehaved",
      message: what,
    });
    assert.equal(requester.admin.channels()[0]!.paid, 0n);
  }
  change = (given) => given;
  await oneTask(requester, provider);
});

test("an offer that was altered, is forged, is over, or is for another chain or contract opens no channel", async (t) => {
  const chain = await chainFor(t);
  const at = { chainId: chain.chainId, channels: chain.channels };
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const forged = { code: "target_misbehaved", message: /offer of p:1 is refused: its signature is wrong/ };
  const expired = { code: "target_misbehaved", message: /offer of p:1 is refused: it has expired/ };
  const elsewhere = { code: "failed_precondition", message: /p:1 is paid in .* and this node pays in/ };
  const cases: readonly (readonly [error: object, change: (given: SignedOffer) => SignedOffer])[] = [
    [forged, (given) => ({ ...given, offer: { ...given.offer, rates: { ...RATES, minimum: wei(11n) } } })],
    [forged, (given) => ({ ...given, offer: { ...given.offer, provider: thief.nodeId } })],
    [forged, (given) => ({ ...given, offer: { ...given.offer, expiresAt: given.offer.expiresAt + 1 } })],
    [forged, (given) => ({ ...given, signature: thief.signDigest(offerDigest(at, given.offer)) })],
    [forged, (given) => ({ ...given, signature: new Uint8Array(65) })],
    [forged, (given) => ({ ...given, signature: given.signature.subarray(1) })],
    // Signed for another chain or contract, and shown as if for this one.
    [forged, ({ offer }) => ({ ...signedAt({ ...at, chainId: 1 }, offer), settlement: at })],
    [forged, ({ offer }) => ({ ...signedAt({ ...at, channels: chain.registry }, offer), settlement: at })],
    [elsewhere, ({ offer }) => signedAt({ ...at, chainId: 1 }, offer)],
    [elsewhere, ({ offer }) => signedAt({ ...at, channels: chain.registry }, offer)],
    [expired, ({ offer }) => signedAt(at, { ...offer, expiresAt: Date.now() - 1 })],
  ];
  function signedAt(settlement: Settlement, offer: Offer): SignedOffer {
    return { settlement, offer, signature: payee.signDigest(offerDigest(settlement, offer)) };
  }
  let change = cases[0]![1];
  const desk = deskOf(() => provider, { offer: async () => change(await provider.earnings.offer()) });
  // Channels open by themselves: one that was opened on a bad offer would show.
  const requester = await paidNode(t, chain, {
    key: payer,
    deposit: wei(1000n),
    desks: new Map([["p:1", () => desk]]),
  });
  for (const [error, altered] of cases) {
    change = altered;
    await assert.rejects(async () => await requester.spendings.tasks.reserve(ORDER), error);
    await assert.rejects(requester.admin.open("p:1", wei(1000n), { signal }), error);
    assert.deepEqual(requester.admin.channels(), []);
  }
  assert.equal(
    await chain.rpc("eth_getTransactionCount", [payer.nodeId, "latest"]),
    "0x0",
    "nothing went to the chain",
  );
  change = (given) => given;
  await oneTask(requester, provider);
});

test("nodes that count instructions by different cost tables refuse each other, and each names both versions", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: payee, rates: METERED, costTable: 2 });
  const desks = new Map([["p:1", () => provider.earnings]]);
  const older = await paidNode(t, chain, { key: payer, desks });
  const what = { code: "failed_precondition", data: { providerCostTable: 2, requesterCostTable: 1 } };
  await assert.rejects(older.admin.open("p:1", wei(ETHER), { signal }), {
    ...what,
    message: /p:1 counts instructions by version 2 of the cost table, and the requester by version 1: update the req/,
  });
  await older.calls.open({ payee: payee.nodeId, token: RATES.token, amount: wei(ETHER), exitDelay: 3600 }, {
    kind: "open",
    target: "p:1",
    payee: payee.nodeId,
    token: RATES.token,
  });
  const { channelId } = older.admin.channels()[0]!;
  await assert.rejects(provider.earnings.quote(channelId, CTX, { costTable: 1 }), {
    ...what,
    message: new RegExp(`^${payee.nodeId} counts instructions by version 2`),
  });
  await assert.rejects(async () => await older.spendings.tasks.reserve(ORDER), what);
  // A provider that does not look at what the requester says is refused by the requester.
  const careless = deskOf(() => provider, { quote: (id, ctx) => provider.earnings.quote(id, ctx) });
  desks.set("p:1", () => careless as typeof provider.earnings);
  await assert.rejects(async () => await older.spendings.tasks.reserve(ORDER), what);
  assert.equal(older.admin.channels()[0]!.paid, 0n);
});

test("a node that comes to count by another cost table takes no task by its old quote, and gives another one", async (t) => {
  const chain = await chainFor(t);
  const stores = [openMemoryStore().payments, openMemoryStore().payments] as const;
  let provider = await paidNode(t, chain, { key: payee, rates: METERED, store: stores[0] });
  const desks = new Map([["p:1", () => provider.earnings]]);
  const requester = await paidNode(t, chain, { key: payer, store: stores[1], desks });
  const { channelId } = await requester.admin.open("p:1", wei(ETHER), { signal });
  await oneTask(requester, provider);
  assert.equal((await provider.earnings.quote(channelId, CTX)).quote.quote.costTable, 1);
  await Promise.all([requester.close(), provider.close()]);

  provider = await paidNode(t, chain, { key: payee, rates: METERED, store: stores[0], costTable: 2 });
  assert.throws(() => provider.earnings.tasks.reserve(TERMS), {
    code: "payment_required",
    message: /quote counts instructions by version 1 of the cost table, and this node by version 2/,
  });
  const updated = await paidNode(t, chain, { key: payer, store: stores[1], desks, costTable: 2 });
  await oneTask(updated, provider);
  assert.equal((await provider.earnings.quote(channelId, CTX)).quote.quote.costTable, 2);
});

test("an offer and a quote of a node that names no cost table are good to one that counts by the first", async (t) => {
  const chain = await chainFor(t);
  const at = { chainId: chain.chainId, channels: chain.channels };
  const provider = await paidNode(t, chain, { key: payee, rates: METERED });
  const desk = deskOf(() => provider, {
    offer: async () => {
      const { offer: { costTable: _, ...offer } } = await provider.earnings.offer();
      return { settlement: at, offer, signature: payee.signDigest(offerDigest(at, offer)) };
    },
    quote: async (id, ctx) => {
      const { quote: { quote: { costTable: _, ...quote } }, account } = await provider.earnings.quote(id, ctx);
      return { quote: { settlement: at, quote, signature: payee.signDigest(quoteDigest(at, quote)) }, account };
    },
  });
  const desks = new Map([["p:1", () => desk]]);
  const requester = await paidNode(t, chain, { key: payer, desks });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  await oneTask(requester, provider);
  const newer = await paidNode(t, chain, { key: thief, desks, costTable: 2 });
  await assert.rejects(newer.admin.open("p:1", wei(ETHER), { signal }), {
    code: "failed_precondition",
    message: /by version 1 of the cost table, and the requester by version 2: update the provider/,
  });
});

test("after a quote is over nothing is worked for by it, and another one is asked for", async (t) => {
  const chain = await chainFor(t);
  const clock = movedClock();
  const provider = await paidNode(t, chain, { key: payee, rates: RATES, clock, offerMs: 60_000, pollMs: 50 });
  const desks = new Map([["p:1", () => provider.earnings]]);
  const requester = await paidNode(t, chain, { key: payer, clock, pollMs: 50, window: wei(100n), desks });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  await oneTask(requester, provider);
  const [spending, late] = [await requester.spendings.tasks.reserve(ORDER), provider.earnings.tasks.reserve(TERMS)];
  clock.move(60_000 + QUOTE_GRACE_MS / 2);
  provider.earnings.tasks.reserve(TERMS).release(); // may have been on its way
  clock.move(QUOTE_GRACE_MS / 2);
  assert.throws(() => provider.earnings.tasks.reserve(TERMS), { code: "payment_required", message: /expired/ });
  await late.settle(USAGE); // began before: its price was locked
  await spending.commit(USAGE);
  await requester.spendings.settleUp("p:1");
  await oneTask(requester, provider);
  assert.equal(provider.admin.channels()[0]!.items, 3);
});

test("a provider that charges past the quote is paid no more, also after a restart, and cannot claim what was not signed", async (t) => {
  const chain = await chainFor(t);
  const at = { chainId: chain.chainId, channels: chain.channels };
  const store = openMemoryStore().payments;
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  let extra = 0n;
  const greedy = (receipt: Receipt) => {
    const more = { ...receipt, charged: wei(receipt.charged + extra) };
    return { receipt: more, signature: payee.signDigest(receiptDigest(at, more)), credit: wei(0n), reserved: wei(0n) };
  };
  const desk = deskOf(() => provider, {
    pay: async (...args) => greedy((await provider.earnings.pay(...args)).receipt),
    account: async (id, ctx) => greedy((await provider.earnings.account(id, ctx)).receipt),
  });
  const desks = new Map([["p:1", () => desk]]);
  const requester = await paidNode(t, chain, { key: payer, store, desks });
  const { channelId } = await requester.admin.open("p:1", wei(ETHER), { signal });
  await oneTask(requester, provider);
  const { paid } = requester.admin.channels()[0]!;

  extra = 1n;
  await requester.spendings.settleUp("p:1");
  const [view] = requester.admin.channels();
  assert.equal(view!.state, "disputed");
  assert.equal(view!.charged, 10n, "its own reckoning stays");
  assert.equal(view!.receipt!.receipt.charged, 11n, "the signed receipt is kept: it proves the charge");
  const again = await paidNode(t, chain, { key: payer, store, desks, deposit: wei(1000n) });
  for (const each of [requester, again]) {
    await assert.rejects(async () => await each.spendings.tasks.reserve(ORDER), {
      code: "failed_precondition",
      message: /payments exit/,
    });
    assert.equal(each.admin.channels()[0]!.paid, paid, "nothing more was signed");
  }
  await again.admin.exit(channelId);
  await assert.rejects(async () => await again.spendings.tasks.reserve(ORDER), { message: /payments exit/ });
  assert.equal(again.admin.channels().length, 1, "no other channel is opened to it");
  await provider.admin.close(channelId);
  assert.ok(provider.admin.channels()[0]!.claimed <= paid);
  assert.equal(provider.admin.channels()[0]!.state, "closed");
});

test("a provider that offers credit without end cannot charge it after its requester was restarted", async (t) => {
  const chain = await chainFor(t);
  const at = { chainId: chain.chainId, channels: chain.channels };
  const store = openMemoryStore().payments;
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  let extra = 0n;
  const generous = (receipt: Receipt) => {
    const more = { ...receipt, charged: wei(receipt.charged + extra) };
    const signature = payee.signDigest(receiptDigest(at, more));
    return { receipt: more, signature, credit: wei(ETHER), reserved: wei(0n) };
  };
  const desk = deskOf(() => provider, {
    pay: async (...args) => generous((await provider.earnings.pay(...args)).receipt),
    account: async (id, ctx) => generous((await provider.earnings.account(id, ctx)).receipt),
    quote: async (id, ctx) => {
      const { quote, account } = await provider.earnings.quote(id, ctx);
      return { quote, account: generous(account.receipt) };
    },
  });
  const desks = new Map([["p:1", () => desk]]);
  const requester = await paidNode(t, chain, { key: payer, store, desks });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  const spending = await requester.spendings.tasks.reserve(ORDER);
  await spending.commit(USAGE);
  await requester.close();
  extra = 1000n; // what was set aside is 10, and two more tasks were promised
  const again = await paidNode(t, chain, { key: payer, store, desks });
  await assert.rejects(async () => await again.spendings.tasks.reserve(ORDER), { message: /charged more/ });
  assert.ok(again.admin.channels()[0]!.paid <= 30n);
});

test("a charge that a lost answer explains is taken over, within what was set aside", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  const spending = await requester.spendings.tasks.reserve(ORDER);
  await provider.earnings.tasks.reserve(TERMS).settle(USAGE);
  spending.release(new NodeError("target_unreachable", "The answer was lost"));
  await oneTask(requester, provider);
  await requester.spendings.settleUp("p:1");
  const [spent, earned] = [requester.admin.channels()[0]!, provider.admin.channels()[0]!];
  assert.deepEqual([spent.charged, spent.state], [20n, "open"]);
  assert.equal(earned.charged, 20n);
});

test("work that was given up and that the provider ends and charges later is no fraud", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const requester = await paidNode(t, chain, { key: payer, desks: new Map([["p:1", () => provider.earnings]]) });
  await requester.admin.open("p:1", wei(ETHER), { signal });
  const spending = await requester.spendings.tasks.reserve(ORDER);
  const slow = provider.earnings.tasks.reserve(TERMS);
  spending.release(new NodeError("canceled", "The reader needs it no more"));
  await oneTask(requester, provider); // compares books, in which that work is not charged yet
  await slow.settle(USAGE);
  await oneTask(requester, provider);
  await requester.spendings.settleUp("p:1");
  assert.deepEqual(requester.admin.channels().map(({ charged, state }) => [charged, state]), [[30n, "open"]]);
  assert.equal(provider.admin.channels()[0]!.charged, 30n);
});

test("a payer that ends its channel gets back what no voucher paid; the provider has what it claimed within the delay", async (t) => {
  const chain = await chainFor(t);
  const clock = movedClock();
  const provider = await paidNode(t, chain, { key: payee, rates: RATES });
  const desks = new Map([["p:1", () => provider.earnings]]);
  const requester = await paidNode(t, chain, { key: payer, clock, desks });
  const { channelId } = await requester.admin.open("p:1", wei(1000n), { signal });
  await oneTask(requester, provider);
  const { paid } = provider.admin.channels()[0]!;
  await requester.admin.exit(channelId);
  await chain.rpc("evm_increaseTime", [3601]);
  clock.move(3_602_000);
  // Both in one block: the claim of the provider, which was away, and the end. Either order leaves the escrow right.
  await chain.rpc("evm_setAutomine", [false]);
  const [ending, claiming] = [requester.admin.exit(channelId), provider.claimDue()];
  let done = false;
  const settled = Promise.allSettled([ending, claiming]).finally(() => done = true);
  while (!done) {
    await chain.rpc("anvil_mine", ["0x1"]);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await settled;
  await chain.rpc("evm_setAutomine", [true]);
  assert.equal(requester.admin.channels()[0]!.state, "closed");
  const refund = (await requester.admin.summary()).credit;
  const earned = (await provider.admin.summary()).credit;
  assert.ok(refund + earned === 1000n && (earned === paid || earned === 0n), `${refund} and ${earned}`);
  await provider.earnings.refreshAll();
  assert.equal(provider.admin.channels()[0]!.state, "closed");
  await provider.claimDue();
  await requester.admin.withdraw(RATES.token, {});
  await assert.rejects(requester.admin.exit(channelId), { code: "failed_precondition", message: /has ended already/ });
});

test("a channel whose exit is announced, or whose delay is too short to claim in, is not taken", async (t) => {
  const chain = await chainFor(t);
  const provider = await paidNode(t, chain, { key: payee, rates: RATES, exitDelay: 7200 });
  const desks = new Map([["p:1", () => provider.earnings]]);
  const requester = await paidNode(t, chain, { key: payer, exitDelay: 7199, desks });
  const short = await requester.admin.open("p:1", wei(1000n), { signal });
  await assert.rejects(provider.earnings.quote(short.channelId, CTX), {
    code: "failed_precondition",
    message: /7199 s, and 7200 s is the least/,
  });
  const patient = await paidNode(t, chain, { key: thief, exitDelay: 7200, desks });
  const leaving = await patient.admin.open("p:1", wei(1000n), { signal });
  await patient.admin.exit(leaving.channelId);
  await assert.rejects(provider.earnings.quote(leaving.channelId, CTX), {
    code: "failed_precondition",
    message: /announced its end/,
  });
});
