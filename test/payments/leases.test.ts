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
  type Quote,
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
import { storagePrice } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { PaidShards } from "../../src/requester/paid-shards.ts";
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
async function pair(t: TestScope, { free = false }: { readonly free?: boolean } = {}) {
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
  const between = { before: async (): Promise<void> => {}, alter: (receipt: ShardReceipt): ShardReceipt => receipt };
  const shards = new PaidShards({
    target: "p:1",
    provider: payee.nodeId,
    ledger: requester.spendings.storage,
    shards: new Proxy(served, {
      get: (target, method: keyof typeof served) => async (...args: unknown[]) => {
        await between.before();
        const answer = await (target[method] as (...all: unknown[]) => Promise<unknown>)(...args);
        return method === "put" || method === "renew" ? between.alter(answer as ShardReceipt) : answer;
      },
    }),
  });
  const quotes = () => requester.admin.quotes();
  const spent = () => requester.admin.channels()[0]!.charged;
  const earned = () => provider.admin.channels()[0]!.charged;
  return { at, books, clock, provider, requester, served, shards, between, quotes, spent, earned };
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

test("a put that a new quote overtook is paid by the quote that its lease names, and both books agree", async (t) => {
  const { clock, provider, requester, shards, between, quotes, spent, earned } = await pair(t);
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
