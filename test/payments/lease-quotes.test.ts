/** Orders by quotes that ended, or that others overtook: which one they are charged by, and what is refused. Real chain, real desks. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { NodeError, QUOTE_EXPIRED, QUOTE_GRACE_MS, quoteDigest, toHex, wei } from "../../src/core/mod.ts";
import { storagePrice } from "../../src/payments/mod.ts";
import { withNewQuote } from "../../src/requester/paid-shards.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { test } from "../testing.ts";
import { chainFor, paidNode } from "./paid-nodes.ts";
import { CTX, HOUR, ID, once, ORDER, pair, payer, PRICES, SIZE } from "./lease-pair.ts";

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
    yield new Uint8Array(bytes);
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
