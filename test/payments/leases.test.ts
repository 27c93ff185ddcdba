/** Leases of shards that are paid for: signed by the provider, checked by the requester, at the prices of a quote. Real chain, real desks. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  type Clock,
  type KeptQuote,
  LEASE_REFUSED,
  MAX_SKEW_MS,
  NodeError,
  type NodeKey,
  noMetrics,
  type PutShardOrder,
  type Quote,
  QUOTE_EXPIRED,
  QUOTE_GRACE_MS,
  quoteDigest,
  receiptText,
  recoverDigestSigner,
  type Settlement,
  type ShardLease,
  shardLeaseDigest,
  type ShardReceipt,
  type ShardRecord,
  silentLog,
  systemClock,
  toHex,
  wei,
} from "../../src/core/mod.ts";
import { fromText, toText } from "../../src/payments/books.ts";
import { type Caps, storagePrice } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { PaidShards, withNewQuote } from "../../src/requester/paid-shards.ts";
import { openMemoryShardStore, openMemoryStore } from "../../src/storage/mod.ts";
import { test, type TestScope } from "../testing.ts";
import { chainFor, ETHER, keyOf, paidNode, RATES } from "./paid-nodes.ts";

const signal = new AbortController().signal;
const [payer, payee, thief] = [keyOf(1), keyOf(2), keyOf(3)];
const HOUR = 3_600_000;
const ID = "0f8a3c5d9b2e47618c0d4e7fa1b2c3d4";
const SIZE = 4096;
const ORDER = { id: ID, maxBytes: SIZE, leaseMs: 24 * HOUR };
const PRICES = { ...RATES, gibHour: wei(10n ** 9n), gibWritten: wei(10n ** 9n) };
const CTX = { requester: payer.nodeId, signal, requestId: "test" };

function movedClock(): Clock & { move(ms: number): void } {
  let ahead = 0;
  return { now: () => systemClock.now() + ahead, move: (ms) => void (ahead += ms) };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/**
 * A requester and a provider with a channel between them, and what lies between their answers: `before` runs on the way there, and `alter` changes what
 * the provider says.
 */
async function pair(t: TestScope, { free = false, caps }: { readonly free?: boolean; readonly caps?: Caps } = {}) {
  const chain = await chainFor(t);
  const at: Settlement = { chainId: chain.chainId, channels: chain.channels };
  const clock = movedClock();
  const books = openMemoryStore().payments;
  const provider = await paidNode(t, chain, { key: payee, clock, ...(!free && { rates: PRICES }) });
  const requester = await paidNode(t, chain, {
    key: payer,
    clock,
    store: books,
    window: wei(ETHER / 10n),
    ...(caps !== undefined && { caps }),
    desks: new Map([["p:1", () => provider.earnings]]),
  });
  if (!free) await requester.admin.open("p:1", wei(ETHER), { signal });
  const { shards: store, close } = await openMemoryShardStore({ clock });
  t.after(close);
  const limits = { maxShardBytes: 1 << 30, maxLeaseMs: 1000 * HOUR, graceMs: HOUR, uploadTtlMs: HOUR };
  const served = createShardProvider({
    store,
    key: payee,
    ledger: provider.earnings.storage,
    limits,
    clock,
    steady: clock,
    log: silentLog,
    metrics: noMetrics,
  });
  t.after(() => served.close());
  const between = {
    before: async (): Promise<void> => {},
    alter: (receipt: ShardReceipt): ShardReceipt => receipt,
    /** Whether the provider is of a version that knows of no names of quotes in orders. */
    isOld: false,
  };
  const shards = new PaidShards({
    target: "p:1",
    provider: payee.nodeId,
    ledger: requester.spendings.storage,
    shards: new Proxy(served, {
      get: (target, method: keyof typeof served) => async (...args: unknown[]) => {
        await between.before();
        const sent = between.isOld ? unnamed(method, args) : args;
        const answer = await (target[method] as (...all: unknown[]) => Promise<unknown>)(...sent);
        return method === "put" || method === "renew" ? between.alter(answer as ShardReceipt) : answer;
      },
    }),
  });
  const quotes = () => requester.admin.quotes();
  const spent = () => requester.admin.channels()[0]!.charged;
  const earned = () => provider.admin.channels()[0]!.charged;
  return { at, books, clock, provider, requester, served, shards, between, quotes, spent, earned };
}

function unnamed(method: string, args: readonly unknown[]): readonly unknown[] {
  if (method === "renew") return args.slice(0, 3);
  if (method !== "put") return args;
  const [source, { quote: _, ...order }, ctx] = args as [unknown, PutShardOrder, unknown];
  return [source, order, ctx];
}

function signedBy(key: NodeKey, at: Settlement, record: ShardRecord, terms: Pick<ShardLease, "quote" | "startsAt">) {
  return { ...terms, signature: key.signDigest(shardLeaseDigest(at, record, terms)) };
}

test("who is paid to keep a shard signs a lease by the quote that was agreed, and the requester keeps both", async (t) => {
  const { at, books, shards, quotes, spent, earned } = await pair(t);
  const bytes = randomBytes(SIZE);
  const { lease, record } = await shards.put(once(bytes), ORDER, CTX);
  assert.ok(lease !== undefined);
  assert.equal(recoverDigestSigner(shardLeaseDigest(at, record, lease), lease.signature), payee.nodeId);
  assert.ok(record.expiresAt - lease.startsAt >= ORDER.leaseMs);

  const [kept] = await quotes() as [KeptQuote];
  assert.equal(kept.digest, lease.quote);
  assert.equal(toHex(quoteDigest(at, kept.quote)), lease.quote);
  assert.equal(recoverDigestSigner(quoteDigest(at, kept.quote), kept.signature), payee.nodeId);
  assert.deepEqual([kept.settlement, kept.quote.requester], [at, payer.nodeId]);
  assert.ok(kept.keepUntil >= record.expiresAt);

  const { digest: _, ...stored } = kept;
  const { v: form, ...members } = fromText<Record<string, unknown>>((await books.entries("quote"))[0]![1]);
  assert.equal(form, 1);
  assert.equal(
    toText(members),
    toText({
      settlement: stored.settlement,
      quote: stored.quote,
      signature: stored.signature,
      keepUntil: stored.keepUntil,
    }),
  );

  const price = storagePrice(PRICES, { action: "put", bytes: SIZE, durationMs: ORDER.leaseMs });
  assert.deepEqual([spent(), earned()], [price, price]);
  // A renewal that adds nothing has a lease too, and costs nothing.
  const again = await shards.renew(ID, HOUR, CTX);
  assert.equal(again.record.expiresAt, record.expiresAt);
  assert.equal(recoverDigestSigner(shardLeaseDigest(at, record, again.lease!), again.lease!.signature), payee.nodeId);
  assert.equal(earned(), price);
  assert.equal((await quotes()).length, 1);
});

test("a quote that leases name is stored in the form of the vector", async (t) => {
  const chain = await chainFor(t);
  const { keptQuote } = JSON.parse(readFileSync(new URL("../vectors/payments.json", import.meta.url), "utf8"));
  const { v, ...stored } = fromText<KeptQuote & { v: number }>(keptQuote);
  assert.equal(v, 1);
  const digest = toHex(quoteDigest(stored.settlement, stored.quote));
  const store = openMemoryStore().payments;
  await store.write([{ kind: "quote", key: digest, text: keptQuote }], { durable: true });
  const node = await paidNode(t, chain, { key: payer, store });
  assert.deepEqual(await node.admin.quotes(), [{ ...stored, digest }]);
  assert.equal(recoverDigestSigner(quoteDigest(stored.settlement, stored.quote), stored.signature), payee.nodeId);
});

test("a lease that is forged, of another channel, shard, root or time, too short, or missing is refused", async (t) => {
  const { at, clock, provider, shards, between } = await pair(t);
  const resigned = (receipt: ShardReceipt, change: Partial<ShardRecord>): ShardReceipt => {
    const record = { ...receipt.record, ...change };
    return {
      ...receipt,
      record,
      signature: payee.sign(receiptText(payee.nodeId, record)),
      lease: signedBy(payee, at, record, receipt.lease!),
    };
  };
  const with_ = (receipt: ShardReceipt, change: Partial<ShardLease>, key = payee): ShardReceipt => ({
    ...receipt,
    lease: signedBy(key, at, receipt.record, { ...receipt.lease!, ...change }),
  });
  const cases: readonly (readonly [why: RegExp, alter: (receipt: ShardReceipt) => ShardReceipt])[] = [
    [/is paid and signed none/, ({ lease: _, ...rest }) => rest],
    [/not signed by/, (receipt) => with_(receipt, {}, thief)],
    [/not signed by/, (receipt) => ({ ...receipt, lease: { ...receipt.lease!, signature: new Uint8Array(65) } })],
    [/not signed by/, (receipt) => ({ ...receipt, lease: { ...receipt.lease!, signature: new Uint8Array(3) } })],
    // Signed for another chain, and for another root, and shown as if for this one.
    [/not signed by/, (receipt) => ({
      ...receipt,
      lease: signedBy(payee, { ...at, chainId: 1 }, receipt.record, receipt.lease!),
    })],
    [/not signed by/, (receipt) => ({
      ...receipt,
      lease: signedBy(payee, at, { ...receipt.record, root: "ab".repeat(32) }, receipt.lease!),
    })],
    [/not signed by/, (receipt) => ({
      ...receipt,
      lease: signedBy(payee, at, { ...receipt.record, sizeBytes: 1024 }, receipt.lease!),
    })],
    [/is not the one that was agreed/, (receipt) => with_(receipt, { quote: `0x${"11".repeat(32)}` })],
    [/is not the one that was agreed/, (receipt) => with_(receipt, { quote: elsewhere() })],
    [/is for shard/, (receipt) => resigned(receipt, { id: "a".repeat(32) })],
    [
      /it lasts \d+ ms, and 86400000 ms were asked for/,
      (receipt) => resigned(receipt, { expiresAt: receipt.lease!.startsAt + ORDER.leaseMs - 1 }),
    ],
    [/it begins at/, (receipt) => with_(receipt, { startsAt: clock.now() - MAX_SKEW_MS - 1000 })],
    [/it begins at/, (receipt) => with_(receipt, { startsAt: clock.now() + MAX_SKEW_MS + 60_000 })],
    [/it begins at/, (receipt) => with_(receipt, { startsAt: Number.MAX_SAFE_INTEGER })],
  ];
  /** The same prices from the same provider, on a channel of somebody else's. */
  function elsewhere() {
    const quote: Quote = { ...agreed, channelId: `0x${"22".repeat(32)}` };
    return toHex(quoteDigest(at, quote));
  }
  const bytes = randomBytes(SIZE);
  await shards.put(once(bytes), ORDER, CTX);
  const channelId = provider.admin.channels()[0]!.channelId;
  const agreed = (await provider.earnings.quote(channelId, CTX)).quote.quote;
  const put = () => shards.put(once(bytes), { ...ORDER }, CTX);
  const renew = () => shards.renew(ID, ORDER.leaseMs, CTX);
  for (const work of [put, renew]) {
    for (const [why, alter] of cases) {
      between.alter = alter;
      await assert.rejects(work, (error: unknown) => {
        assert.ok(error instanceof NodeError, String(error));
        assert.equal(error.code, "target_misbehaved", `${error.message}\n${alter}`);
        assert.equal(error.data?.["reason"], LEASE_REFUSED);
        assert.match(error.message, /^The lease of shard 0f8a\w+ at p:1 is refused: /);
        assert.match(error.message, why);
        return true;
      });
    }
  }
  between.alter = (receipt) => receipt;
  await renew();
});

test("a lease is paid by the prices of its quote whatever the provider wants since, and renewed by them until the quote is over", async (t) => {
  const { at, clock, provider, requester, shards, quotes, spent, earned } = await pair(t);
  const first = await shards.put(once(randomBytes(SIZE)), ORDER, CTX);
  const paid = spent();
  const dearer = { ...PRICES, gibHour: wei(PRICES.gibHour * 1000n), minimum: wei(1000n) };
  provider.earnings.reprice({ rates: dearer, offerMs: HOUR });
  clock.move(HOUR / 2);
  const second = await shards.renew(ID, ORDER.leaseMs, CTX);
  assert.equal(second.lease!.quote, first.lease!.quote, "by the same quote");
  const added = storagePrice(PRICES, {
    action: "renew",
    bytes: SIZE,
    durationMs: second.record.expiresAt - first.record.expiresAt,
  });
  assert.equal(spent(), paid + added, "at the old prices");
  assert.equal(earned(), spent());

  // When the quote is over, the next lease is by another one, that the requester has asked for.
  clock.move(HOUR);
  const third = await shards.renew(ID, ORDER.leaseMs, CTX);
  assert.notEqual(third.lease!.quote, first.lease!.quote);
  const later = storagePrice(dearer, {
    action: "renew",
    bytes: SIZE,
    durationMs: third.record.expiresAt - second.record.expiresAt,
  });
  assert.equal(spent(), paid + added + later);
  assert.equal(earned(), spent());
  const kept = await quotes();
  assert.deepEqual(kept.map(({ digest }) => digest).sort(), [first.lease!.quote, third.lease!.quote].sort());
  for (const { digest, quote } of kept) assert.equal(toHex(quoteDigest(at, quote)), digest);
  assert.equal(requester.admin.channels()[0]!.state, "open");
});

test("a put that a new quote overtook at an older provider is paid by the quote that its lease names, and both books agree", async (t) => {
  const { clock, provider, requester, shards, between, quotes, spent, earned } = await pair(t);
  between.isOld = true;
  const first = await shards.put(once(randomBytes(SIZE)), ORDER, CTX);
  const cheaper = { ...PRICES, gibHour: wei(PRICES.gibHour / 2n), minimum: wei(5n) };
  provider.earnings.reprice({ rates: cheaper, offerMs: HOUR });
  const [paid, other] = [spent(), "b".repeat(32)];
  // While it is on its way, other work finds that the quote is over, and asks for another one.
  between.before = async () => {
    between.before = async () => {};
    clock.move(HOUR);
    const order = { target: "p:1", action: "get", bytes: 1024, durationMs: 0 } as const;
    (await requester.spendings.storage.reserve(order)).release();
  };
  const { lease } = await shards.put(once(randomBytes(SIZE)), { ...ORDER, id: other }, CTX);
  assert.notEqual(lease!.quote, first.lease!.quote);
  assert.equal(spent(), paid + storagePrice(cheaper, { action: "put", bytes: SIZE, durationMs: ORDER.leaseMs }));
  assert.equal(earned(), spent());
  assert.deepEqual((await quotes()).map(({ digest }) => digest).sort(), [first.lease!.quote, lease!.quote].sort());
  // One that is neither what was agreed nor what came since does not do.
  between.alter = (receipt) => ({ ...receipt, lease: first.lease! });
  await assert.rejects(shards.renew(other, 2 * ORDER.leaseMs, CTX), { code: "target_misbehaved" });
});

const DEARER = { ...PRICES, gibHour: wei(PRICES.gibHour * 1000n), minimum: wei(1000n) };

/** Has the requester get another quote, at other prices, while an order by the one before is on its way: less than a second before that ends. */
async function overtake({ clock, provider, requester }: Awaited<ReturnType<typeof pair>>, rates = DEARER) {
  provider.earnings.reprice({ rates, offerMs: HOUR });
  const [channel] = provider.admin.channels();
  const { quote } = (await provider.earnings.quote(channel!.channelId, CTX)).quote;
  clock.move(quote.expiresAt - clock.now() - 500);
  const order = { target: "p:1", action: "get", bytes: 1024, durationMs: 0 } as const;
  (await requester.spendings.storage.reserve(order)).release();
}

test("a put or renewal is charged by the quote that it names, although a dearer one came while it was on its way", async (t) => {
  const deal = await pair(t);
  const { requester, shards, between, spent, earned } = deal;
  const bytes = randomBytes(SIZE);
  between.before = async () => {
    between.before = async () => {};
    await overtake(deal);
  };
  const put = await shards.put(once(bytes), ORDER, CTX);
  const price = storagePrice(PRICES, { action: "put", bytes: SIZE, durationMs: ORDER.leaseMs });
  assert.deepEqual([spent(), earned()], [price, price], "by the quote that it was reserved by");

  // The same for a renewal, which asks the provider for the record first.
  deal.provider.earnings.reprice({ rates: PRICES, offerMs: HOUR });
  deal.clock.move(HOUR);
  (await requester.spendings.storage.reserve({ target: "p:1", action: "get", bytes: 1024, durationMs: 0 })).release();
  let calls = 0;
  between.before = async () => {
    if (++calls === 2) await overtake(deal);
  };
  const renewed = await shards.renew(ID, ORDER.leaseMs, CTX);
  const added = renewed.record.expiresAt - put.record.expiresAt;
  const more = storagePrice(PRICES, { action: "renew", bytes: SIZE, durationMs: added });
  assert.deepEqual([spent(), earned()], [price + more, price + more]);
  assert.notEqual(renewed.lease!.quote, put.lease!.quote);
  await requester.spendings.settleUp("p:1");
  assert.equal(requester.admin.channels()[0]!.state, "open", "nobody is taken for a cheat");
});

test("an order by a quote that is over is refused before a byte is taken, and done by another that the requester asks for", async (t) => {
  const deal = await pair(t);
  const { clock, provider, shards, served, between, quotes, spent, earned } = deal;
  const bytes = randomBytes(SIZE);
  provider.earnings.reprice({ rates: PRICES, offerMs: HOUR });
  const late = (ms: number) => async () => {
    between.before = async () => {};
    const [channel] = provider.admin.channels();
    const { quote } = (await provider.earnings.quote(channel!.channelId, CTX)).quote;
    clock.move(quote.expiresAt - clock.now() + ms);
  };
  // To the last moment of the grace by the old one, and not after it.
  between.before = late(QUOTE_GRACE_MS - 1000);
  const first = await shards.put(once(bytes), ORDER, CTX);
  const [kept] = await quotes();
  assert.equal(kept!.digest, first.lease!.quote);
  const [paid, other] = [spent(), "c".repeat(32)];
  provider.earnings.reprice({ rates: DEARER, offerMs: HOUR });
  let taken = 0;
  async function* counted() {
    taken++;
    yield bytes;
  }
  // Another quote is needed by now: the first to ask for one gets one at the new prices.
  between.before = late(QUOTE_GRACE_MS);
  await assert.rejects(shards.put(counted(), { ...ORDER, id: other }, CTX), (error: unknown) => {
    assert.ok(error instanceof NodeError);
    assert.deepEqual([error.code, error.data["reason"], error.retryable], ["payment_required", QUOTE_EXPIRED, true]);
    return true;
  });
  assert.equal(taken, 0, "no byte was taken");
  await assert.rejects(served.stat(other, CTX), { code: "not_found" });
  assert.deepEqual([spent(), earned()], [paid, paid], "and nothing charged");

  provider.earnings.reprice({ rates: PRICES, offerMs: HOUR });
  between.before = late(QUOTE_GRACE_MS);
  const second = await withNewQuote(() => shards.put(once(bytes), { ...ORDER, id: other }, CTX));
  assert.notEqual(second.lease!.quote, first.lease!.quote);
  assert.equal(spent(), earned());
  // A quote that was never given is refused likewise, also for a shard that is here.
  const quote = `0x${"77".repeat(32)}` as const;
  for (
    const work of [() => served.put(counted(), { ...ORDER, quote }, CTX), () => served.renew(ID, 1, CTX, { quote })]
  ) {
    await assert.rejects(work(), (error: unknown) => (error as NodeError).data["reason"] === QUOTE_EXPIRED);
  }
  assert.equal(taken, 0);
});

test("what is done again by a dearer quote stays within the caps", async (t) => {
  const most = storagePrice(PRICES, { action: "put", bytes: SIZE, durationMs: ORDER.leaseMs });
  const deal = await pair(t, { caps: { task: most, peer: wei(0n), day: wei(0n) } });
  const { clock, provider, requester, shards, between, spent, earned } = deal;
  await shards.put(once(randomBytes(SIZE)), ORDER, CTX);
  clock.move(HOUR / 2);
  let calls = 0;
  between.before = () => {
    // Between the reservation and the renewal.
    if (++calls === 2) {
      provider.earnings.reprice({ rates: DEARER, offerMs: HOUR });
      clock.move(2 * HOUR);
    }
    return Promise.resolve();
  };
  const paid = spent();
  await assert.rejects(shards.renew(ID, ORDER.leaseMs, CTX), { code: "cap_reached" });
  assert.deepEqual([spent(), earned()], [paid, paid]);
  assert.equal(requester.admin.channels()[0]!.state, "open");
});

test("an order that names no quote is charged by the cheapest on the channel that holds", async (t) => {
  const deal = await pair(t);
  const { provider, requester, served, earned } = deal;
  const order = { target: "p:1", action: "get", bytes: 1 << 20, durationMs: HOUR } as const;
  (await requester.spendings.storage.reserve(order)).release();
  await overtake(deal);
  const { lease } = await served.put(once(randomBytes(SIZE)), ORDER, CTX);
  const price = storagePrice(PRICES, { action: "put", bytes: SIZE, durationMs: ORDER.leaseMs });
  assert.equal(earned(), price);
  const [channel] = provider.admin.channels();
  const newest = (await provider.earnings.quote(channel!.channelId, CTX)).quote.quote;
  assert.equal(newest.rates.gibHour, DEARER.gibHour);
  assert.notEqual(lease!.quote, toHex(quoteDigest(deal.at, newest)));
  const named = { quote: toHex(quoteDigest(deal.at, newest)) };
  const renewed = await served.renew(ID, 2 * ORDER.leaseMs, CTX, named);
  assert.equal(renewed.lease!.quote, named.quote);
  assert.ok(earned() > 2n * price);
});

test("what is refused is not paid: the provider takes it back, and both books agree", async (t) => {
  const { clock, requester, served, shards, between, spent, earned } = await pair(t);
  const other = "d".repeat(32);
  const bytes = randomBytes(SIZE);
  const { record } = await shards.put(once(bytes), ORDER, CTX);
  const paid = spent();
  between.alter = ({ lease: _, ...rest }) => rest;
  await assert.rejects(shards.put(once(bytes), { ...ORDER, id: other }, CTX), { code: "target_misbehaved" });
  await assert.rejects(served.stat(other, CTX), { code: "not_found" }, "what was new is removed");
  await assert.rejects(shards.renew(ID, 2 * ORDER.leaseMs, CTX), { code: "target_misbehaved" });
  await assert.rejects(shards.put(once(bytes), { ...ORDER, leaseMs: 3 * ORDER.leaseMs }, CTX), {
    code: "target_misbehaved",
  });
  assert.equal((await served.stat(ID, CTX)).expiresAt, record.expiresAt, "the lease before holds");
  assert.deepEqual([spent(), earned()], [paid, paid]);
  await requester.spendings.settleUp("p:1");
  const [channel] = requester.admin.channels();
  assert.deepEqual([channel!.charged, channel!.items, channel!.state], [paid, 1, "open"]);
  assert.equal(channel!.receipt!.receipt.charged, paid);

  between.alter = (receipt) => receipt;
  // A lease that was granted a minute ago is not taken back.
  await shards.renew(ID, 2 * ORDER.leaseMs, CTX);
  clock.move(60_000);
  await assert.rejects(served.refuseLease(ID, CTX), { code: "failed_precondition" });
  assert.equal(spent(), earned());
});

test("what is over other bytes than were sent, or a size that was not, is refused before it is paid", async (t) => {
  const { requester, shards, between, spent, earned } = await pair(t);
  const bytes = randomBytes(SIZE);
  const accept = ({ record }: ShardReceipt) => {
    if (record.root === "ab".repeat(32)) {
      throw new NodeError("target_misbehaved", "Another root", { data: { reason: LEASE_REFUSED } });
    }
  };
  const { record, lease } = await shards.put(once(bytes), { ...ORDER, accept }, CTX);
  const paid = spent();
  between.alter = (receipt) => ({ ...receipt, record: { ...receipt.record, root: "ab".repeat(32) } });
  const known = { sizeBytes: SIZE, expiresAt: record.expiresAt };
  for (
    const work of [
      () => shards.put(once(bytes), { ...ORDER, id: "e".repeat(32), accept }, CTX),
      () => shards.renew(ID, 2 * ORDER.leaseMs, CTX, { ...known, accept }),
      // The provider's record says less or more than what it has signed for.
      () => shards.renew(ID, 2 * ORDER.leaseMs, CTX, { ...known, sizeBytes: SIZE / 2 }),
      () => shards.renew(ID, 2 * ORDER.leaseMs, CTX, { ...known, expiresAt: record.expiresAt + 1 }),
    ]
  ) await assert.rejects(work(), { code: "target_misbehaved" });
  assert.deepEqual([spent(), earned()], [paid, paid]);
  between.alter = (receipt) => receipt;
  const again = await shards.renew(ID, 2 * ORDER.leaseMs, CTX, { ...known, accept });
  assert.equal(again.lease!.quote, lease!.quote);
  assert.equal(spent(), earned());
  assert.equal(requester.admin.channels()[0]!.state, "open");
});

test("a provider that charges for what it does not take back is paid no more", async (t) => {
  const { requester, served, shards, between, spent, earned } = await pair(t);
  await shards.put(once(randomBytes(SIZE)), ORDER, CTX);
  const paid = spent();
  between.alter = ({ lease: _, ...rest }) => rest;
  served.refuseLease = () => Promise.resolve(); // only says so
  await assert.rejects(shards.renew(ID, 2 * ORDER.leaseMs, CTX), { code: "target_misbehaved" });
  assert.equal(spent(), paid);
  assert.ok(earned() > paid);
  await requester.spendings.settleUp("p:1");
  assert.deepEqual([spent(), requester.admin.channels()[0]!.state], [paid, "disputed"]);
});

test("quotes are forgotten when the last of their leases is over, and not before", async (t) => {
  const chain = await chainFor(t);
  const store = openMemoryStore().payments;
  const entry = (keepUntil: number) => JSON.stringify({ v: 1, keepUntil });
  await store.write([
    { kind: "quote", key: `0x${"1".repeat(64)}`, text: entry(Date.now() - 1000) },
    { kind: "quote", key: `0x${"2".repeat(64)}`, text: entry(Date.now() + HOUR) },
  ], { durable: true });
  const node = await paidNode(t, chain, { key: payer, store });
  await node.close();
  assert.deepEqual((await store.entries("quote")).map(([key]) => key), [`0x${"2".repeat(64)}`]);
});

test("for what is free no lease is signed, and one that is shown all the same is not believed", async (t) => {
  const { shards, served, between } = await pair(t, { free: true });
  const bytes = randomBytes(SIZE);
  between.alter = (receipt) => {
    assert.equal(receipt.lease, undefined);
    return { ...receipt, lease: { quote: `0x${"11".repeat(32)}`, startsAt: 1, signature: new Uint8Array(65) } };
  };
  const receipt = await shards.put(once(bytes), ORDER, CTX);
  assert.equal("lease" in receipt, false);
  assert.equal((await served.stat(ID, CTX)).sizeBytes, SIZE);
});
