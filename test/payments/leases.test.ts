/** Leases of shards that are paid for: signed by the provider, checked by the requester, at the prices of a quote. Real chain, real desks. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  type KeptQuote,
  LEASE_REFUSED,
  MAX_SKEW_MS,
  NodeError,
  type NodeKey,
  type Quote,
  quoteDigest,
  receiptText,
  recoverDigestSigner,
  type Settlement,
  type ShardLease,
  shardLeaseDigest,
  type ShardReceipt,
  type ShardRecord,
  toHex,
  wei,
} from "../../src/core/mod.ts";
import { fromText, toText } from "../../src/payments/books.ts";
import { storagePrice } from "../../src/payments/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { test } from "../testing.ts";
import { chainFor, paidNode } from "./paid-nodes.ts";
import { CTX, HOUR, ID, once, ORDER, pair, payee, payer, PRICES, SIZE, thief } from "./lease-pair.ts";

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
