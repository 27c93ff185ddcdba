/** Stake on shards: statements, releases, challenges, answers and slashes, on the real contracts. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  type Clock,
  CUSTODY_NOT_RELEASED,
  custodyId,
  fromHex,
  type Hex32,
  NATIVE_TOKEN,
  type NodeKey,
  noMetrics,
  type PaymentStore,
  recoverDigestSigner,
  releaseDigest,
  type ShardCustody,
  type ShardLease,
  type ShardReceipt,
  type ShardRecord,
  silentLog,
  toHex,
  wei,
} from "../../src/core/mod.ts";
import { fromText, toText } from "../../src/payments/books.ts";
import type { LocalChain } from "../../src/payments/local-chain.ts";
import type { Payments } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { PaidShards } from "../../src/requester/paid-shards.ts";
import { openMemoryShardStore, openMemoryStore } from "../../src/storage/mod.ts";
import { test, type TestScope } from "../testing.ts";
import { chainFor, ETHER, keyOf, paidNode, RATES } from "./paid-nodes.ts";

const never = new AbortController().signal;
const [payer, payee, thief] = [keyOf(1), keyOf(2), keyOf(3)];
const DAY = 86_400_000;
const PENALTY = ETHER / 10n;
const CTX = { requester: payer.nodeId, signal: never, requestId: "test" };

/** Five leaves: the tree has a node without a neighbour. */
const SIZE = 5 * 1024;

/** A copy of the bytes, which is the put's. */
async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(bytes);
}

interface Fixture {
  readonly least?: bigint;
  readonly pledgeDays?: number;
}

/** A provider that puts stake on shards, and a requester that asks for it, with a channel between them. */
async function pair(t: TestScope, { least = PENALTY, pledgeDays = 365 }: Fixture = {}) {
  const chain = await chainFor(t);
  let ahead = 0;
  const clock: Clock = { now: () => Date.now() + ahead };
  const custody = { audit: chain.audit, penalty: wei(PENALTY), least: wei(0n) };
  const books = openMemoryStore().payments;
  /** What came of challenges that the requester opened by itself. */
  const counted: string[] = [];
  const add = (_: number, { result }: Record<string, string> = {}) => void counted.push(result!);
  const metrics = { ...noMetrics, counter: () => ({ add }) };
  const node = () => paidNode(t, chain, { key: payee, clock, store: books, rates: RATES, custody });
  const provider = await node();
  const requester = await paidNode(t, chain, {
    key: payer,
    clock,
    window: wei(ETHER / 10n),
    desks: new Map([["p:1", () => provider.earnings]]),
    custody: { ...custody, penalty: wei(0n), least: wei(least), challenges: true },
    metrics,
  });
  await requester.admin.open("p:1", wei(ETHER), { signal: never });
  await provider.admin.register({ target: "p.example:1", region: "", stake: wei(ETHER) });
  if (pledgeDays > 0) await provider.admin.pledge(Math.floor((Date.now() + pledgeDays * DAY) / 1000));
  const { shards: store, close } = await openMemoryShardStore({ clock });
  t.after(close);
  const limits = { maxShardBytes: 1 << 30, maxLeaseMs: 400 * DAY, graceMs: 3 * DAY, uploadTtlMs: DAY };
  const served = createShardProvider({
    store,
    key: payee,
    ledger: provider.earnings.storage,
    custody: provider.keeper!,
    limits,
    clock,
    steady: clock,
    log: silentLog,
    metrics: noMetrics,
  });
  t.after(() => served.close());
  const prove = async ({ owner, id }: { owner: ShardRecord["owner"]; id: string }, leaf: number) =>
    (await served.prove(id, [leaf], { ...CTX, requester: owner }))[0]!;
  provider.keeper!.proveWith(prove);
  const shards = new PaidShards({
    target: "p:1",
    provider: payee.nodeId,
    ledger: requester.spendings.storage,
    shards: served,
  });
  const holder = requester.holder!;
  /** Puts a shard and has custody of it signed; `alter` changes what the provider says. */
  const keep = async (id: string, alter = (given: ShardCustody) => given) => {
    const receipt = await shards.put(once(randomBytes(SIZE)), { id, maxBytes: SIZE, leaseMs: 30 * DAY }, CTX);
    return await takeFor(receipt, alter);
  };
  const takeFor = async ({ record, lease }: ShardReceipt, alter = (given: ShardCustody) => given) => {
    const order = { provider: payee.nodeId, record, lease: lease!, fileId: "f".repeat(32) };
    await holder.take(order, async () => alter(await shards.custody(record.id, lease!, CTX)));
    assert.ok(holder.has(order));
    return requester.admin.custody().at(-1)!;
  };
  const pass = async (ms: number) => {
    ahead += ms;
    await chain.rpc("evm_increaseTime", [ms / 1000]);
    await chain.rpc("evm_mine");
    // What was seen before the clock moved is too old to be believed.
    await Promise.all([requester, provider].map((one) => one.chain.poll()));
  };
  return {
    counted,
    challenger: requester.challenger!,
    chain,
    books,
    clock,
    provider,
    requester,
    served,
    store,
    shards,
    holder,
    keep,
    takeFor,
    pass,
    prove,
    node,
  };
}

const shardOf = (digit: string) => digit.repeat(32);

async function credit({ calls }: Payments, at: LocalChain["audit"]): Promise<bigint> {
  return await calls.credit(NATIVE_TOKEN, at);
}

test("ids and releases of custody statements are what the contract reckons", () => {
  const { chainId, contract, custody: { digest, leafCount, expiresAt, penalty, ...rest }, release } = JSON.parse(
    readFileSync(new URL("../vectors/contracts.json", import.meta.url), "utf8"),
  );
  const at = { chainId, audit: contract };
  const custody = {
    ...rest,
    leafCount: Number(leafCount),
    expiresAt: Number(expiresAt),
    penalty: wei(BigInt(penalty)),
  };
  assert.equal(toHex(custodyId(at, custody)), digest);
  assert.equal(toHex(releaseDigest(at, digest)), release.digest);
});

test("a provider signs custody of a shard for its lease, once, and answers a challenge with the leaf that is drawn", async (t) => {
  const { chain, provider, requester, keep, shards } = await pair(t);
  const view = await keep(shardOf("a"));
  const at = { chainId: chain.chainId, audit: chain.audit };
  assert.equal(toHex(custodyId(at, view.custody)), view.id);
  assert.equal(recoverDigestSigner(fromHex(view.id), view.signature), payee.nodeId);
  assert.deepEqual([view.custody.leafCount, view.custody.penalty, view.role], [5, PENALTY, "requester"]);
  assert.deepEqual(provider.admin.custody().map(({ id, role }) => [id, role]), [[view.id, "provider"]]);

  // Whichever leaf is drawn, the answer is taken: a wrong one would revert.
  for (let times = 0; times < 4; times++) {
    const before = await credit(provider, chain.audit);
    const { deadline } = await requester.admin.challenge(view.id);
    assert.ok(deadline > Date.now() / 1000);
    await provider.keeper!.look();
    assert.ok(await credit(provider, chain.audit) > before, "the bond is the provider's");
    await assert.rejects(requester.admin.slash(view.id), { code: "failed_precondition", message: /was answered/ });
  }
  await provider.admin.withdraw(NATIVE_TOKEN, { from: "audit" });
  assert.equal(await credit(provider, chain.audit), 0n);

  // The same lease gets the same statement, the next one another.
  const renewed = await shards.renew(shardOf("a"), 40 * DAY, CTX);
  await assert.rejects(shards.custody(shardOf("a"), { ...renewed.lease!, startsAt: 1 }, CTX), {
    code: "failed_precondition",
  });
  await shards.custody(shardOf("a"), renewed.lease!, CTX);
  await shards.custody(shardOf("a"), renewed.lease!, CTX);
  assert.equal(provider.admin.custody().length, 2);
});

test("a challenge that comes while the provider is off is answered after its start, and one that was answered stays so", async (t) => {
  const { provider, requester, keep, node, prove, books, chain } = await pair(t);
  const view = await keep(shardOf("a"));
  await provider.close();
  await requester.admin.challenge(view.id);
  const again = await node();
  assert.equal(again.admin.custody().length, 1);
  again.keeper!.proveWith(prove);
  await again.keeper!.look();
  assert.ok(await credit(again, chain.audit) > 0n);
  const nonce = await chain.rpc("eth_getTransactionCount", [payee.nodeId, "latest"]);
  const [[, checkpoint]] = await books.entries("audit") as [[string, string]];
  assert.ok(Number(checkpoint) > 0);
  await again.close();
  const third = await node();
  third.keeper!.proveWith(prove);
  await third.keeper!.look();
  assert.equal(await chain.rpc("eth_getTransactionCount", [payee.nodeId, "latest"]), nonce, "nothing was sent again");
});

test("a provider that lost a shard is slashed a day after the challenge, and half of it is the requester's", async (t) => {
  const { chain, provider, requester, keep, store, holder, pass } = await pair(t);
  const view = await keep(shardOf("a"));
  await store.remove({ owner: payer.nodeId, id: shardOf("a") });
  await holder.lost(payee.nodeId, shardOf("a"));
  assert.equal(requester.admin.custody()[0]!.lost, true);
  assert.deepEqual(holder.releases(payee.nodeId, shardOf("a")), [], "what was lost is not released");
  await requester.admin.challenge(view.id);
  await provider.keeper!.look();
  await assert.rejects(requester.admin.challenge(view.id), {
    code: "failed_precondition",
    message: /challenged already/,
  });
  await assert.rejects(requester.admin.slash(view.id), { code: "failed_precondition", message: /may answer until/ });
  await pass(DAY + 60_000);
  await provider.keeper!.look();
  await requester.admin.slash(view.id);
  assert.equal(await credit(requester, chain.registry), PENALTY / 2n);
  assert.ok(await credit(requester, chain.audit) > 0n, "the bond is back");
  await requester.admin.withdraw(NATIVE_TOKEN, { from: "registry" });
  await requester.admin.withdraw(NATIVE_TOKEN, { from: "audit" });
  assert.equal(await credit(requester, chain.registry), 0n);
  for (const what of ["challenge", "slash"] as const) {
    await assert.rejects(requester.admin[what](view.id), { code: "failed_precondition", message: /done with/ });
  }
});

test("a shard with stake on it is dropped early against the owner's release only, which ends a challenge that comes all the same", async (t) => {
  const { chain, provider, requester, shards, served, holder, keep, pass } = await pair(t);
  const first = await keep(shardOf("a"));
  const second = await keep(shardOf("b"));
  const at = { chainId: chain.chainId, audit: chain.audit };
  const releasedBy = (key: NodeKey, id: Hex32) => ({ custody: id, signature: key.signDigest(releaseDigest(at, id)) });
  const refused = (error: { code: string; data?: Record<string, unknown> }) => {
    assert.deepEqual([error.code, error.data?.["reason"]], ["failed_precondition", CUSTODY_NOT_RELEASED]);
    return true;
  };
  const bad = [
    [],
    [releasedBy(thief, first.id)],
    [releasedBy(payee, first.id)],
    [releasedBy(payer, second.id)],
    [{ custody: first.id, signature: new Uint8Array(65) }],
  ];
  for (const releases of bad) await assert.rejects(shards.remove(shardOf("a"), CTX, { releases }), refused);
  assert.equal((await served.stat(shardOf("a"), CTX)).sizeBytes, SIZE);

  await shards.remove(shardOf("a"), CTX, { releases: holder.releases(payee.nodeId, shardOf("a")) });
  await assert.rejects(served.stat(shardOf("a"), CTX), { code: "not_found" });
  assert.deepEqual(provider.admin.custody().map(({ id, released }) => [id, released]), [
    [first.id, true],
    [second.id, false],
  ]);
  // A requester that challenges what it has released loses the bond.
  await requester.admin.challenge(first.id);
  await provider.keeper!.look();
  assert.ok(await credit(provider, chain.audit) > 0n);
  await assert.rejects(requester.admin.challenge(first.id), { code: "failed_precondition", message: /done with/ });

  // After the lease nothing is owed any more.
  await pass(31 * DAY);
  await shards.remove(shardOf("b"), CTX);
  await assert.rejects(requester.admin.challenge(second.id), { code: "failed_precondition", message: /ended at/ });
  await pass(4 * DAY);
  await provider.keeper!.look();
  assert.deepEqual(provider.admin.custody(), []);
});

test("who lost shards is challenged by itself for one, slashed when it does not answer, and then challenged for the others", async (t) => {
  const { chain, requester, keep, store, holder, pass, challenger, counted } = await pair(t);
  const ids = ["a", "b", "c"].map(shardOf);
  for (const id of ids) await keep(id);
  const told: string[] = [];
  holder.onChallenge(({ message }) => told.push(message));
  await challenger.look();
  assert.deepEqual(counted, [], "nobody is challenged for what was not lost");

  for (const id of ids) await store.remove({ owner: payer.nodeId, id });
  for (const id of ids) await holder.lost(payee.nodeId, id);
  const states = () => requester.admin.custody().map(({ challenge }) => challenge?.state);
  await challenger.look();
  await challenger.look();
  assert.deepEqual(states().filter((state) => state !== undefined), ["open"], "one, to see what comes of it");
  assert.match(told[0]!, /may answer the challenge of shard \w+ on the chain until /);
  await pass(DAY + 60_000);
  await challenger.look();
  assert.deepEqual(states().toSorted(), ["open", "open", "slashed"]);
  assert.equal(await requester.calls.credit(NATIVE_TOKEN, chain.registry), PENALTY / 2n);
  await pass(DAY + 60_000);
  await challenger.look();
  assert.deepEqual(states(), ["slashed", "slashed", "slashed"]);
  assert.equal(await requester.calls.credit(NATIVE_TOKEN, chain.registry), 3n * PENALTY / 2n);
  await challenger.look();
  assert.deepEqual(counted.toSorted(), [...Array(3).fill("opened"), ...Array(3).fill("slashed")]);
  assert.equal(told.length, 6);
});

test("a provider that answers is not challenged by itself again, and none for more than a slash brings", async (t) => {
  const { provider, requester, keep, holder, challenger, counted, pass, chain } = await pair(t);
  for (const id of ["a", "b"].map(shardOf)) {
    await keep(id);
    await holder.lost(payee.nodeId, id);
  }
  // At such a price the bond is worth more than half of the penalty.
  const price = 10n ** 12n;
  await chain.rpc("anvil_setNextBlockBaseFeePerGas", [`0x${price.toString(16)}`]);
  await chain.rpc("evm_mine");
  await challenger.look();
  await challenger.look();
  assert.deepEqual(counted, ["too_dear", "too_dear"].slice(0, counted.length));
  assert.ok(counted.length > 0);
  counted.length = 0;
  await chain.rpc("anvil_setNextBlockBaseFeePerGas", ["0x3b9aca00"]);
  await chain.rpc("evm_mine");
  await challenger.look();
  await provider.keeper!.look();
  await challenger.look();
  assert.deepEqual(counted, ["opened", "answered"]);
  const states = requester.admin.custody().map(({ challenge }) => challenge?.state);
  assert.deepEqual(states.filter((state) => state !== undefined), ["answered"]);
  await pass(3 * DAY);
  await challenger.look();
  assert.deepEqual(counted, ["opened", "answered"], "the other shard is not challenged for, nor this one again");
});

test("a challenge that was opened by hand, or before a restart, is followed and ended", async (t) => {
  const { requester, keep, store, holder, pass, challenger, counted } = await pair(t);
  const view = await keep(shardOf("a"));
  await store.remove({ owner: payer.nodeId, id: shardOf("a") });
  await holder.lost(payee.nodeId, shardOf("a"));
  await requester.admin.challenge(view.id);
  await challenger.look();
  assert.equal(requester.admin.custody()[0]!.challenge!.state, "open");
  await pass(DAY + 60_000);
  await challenger.look();
  assert.deepEqual(counted, ["slashed"]);
  await challenger.look();
  assert.equal(requester.admin.custody()[0]!.challenge!.state, "slashed");
});

test("a requester takes no statement that is forged, too small, or not covered by stake that stays", async (t) => {
  const { requester, keep } = await pair(t);
  const cases: readonly (readonly [RegExp, (given: ShardCustody) => ShardCustody])[] = [
    [/not signed by/, (given) => ({ ...given, signature: new Uint8Array(65) })],
    [/not signed by/, (given) => ({ ...given, penalty: wei(given.penalty + 1n) })],
    [/its penalty is/, (given) => ({ ...given, penalty: wei(PENALTY - 1n) })],
    [/its penalty is/, (given) => ({ ...given, penalty: wei(ETHER + 1n) })],
  ];
  for (const [place, [message, alter]] of cases.entries()) {
    await assert.rejects(keep(shardOf(String(place)), alter), { code: "target_misbehaved", message });
  }
  assert.deepEqual(requester.admin.custody(), []);
  await assert.rejects(requester.admin.challenge(`0x${"1".repeat(64)}`), { code: "not_found" });
});

for (
  const [what, options] of [
    ["too little stake", { least: 2n * ETHER }],
    ["no pledge", { pledgeDays: 0 }],
    ["a pledge that ends before the lease", { pledgeDays: 29 }],
  ] as const
) {
  test(`a provider with ${what} is not even asked`, async (t) => {
    const { provider, keep } = await pair(t, options);
    await assert.rejects(keep(shardOf("a")), { code: "failed_precondition", message: /at stake, pledged until/ });
    assert.deepEqual(provider.admin.custody(), []);
  });
}

test("a shard is not signed for while it is dropped", async (t) => {
  const { provider, shards } = await pair(t);
  const { lease } = await shards.put(once(randomBytes(SIZE)), { id: shardOf("a"), maxBytes: SIZE, leaseMs: DAY }, CTX);
  const [removed, signed] = await Promise.allSettled([
    shards.remove(shardOf("a"), CTX),
    shards.custody(shardOf("a"), lease as ShardLease, CTX),
  ]);
  assert.deepEqual([removed.status, signed.status], ["fulfilled", "rejected"]);
  assert.deepEqual(provider.admin.custody(), []);
});

test("a statement is stored in the form of the vectors", async (t) => {
  const chain = await chainFor(t);
  const { statement: first, challengedStatement, statementId } = JSON.parse(
    readFileSync(new URL("../vectors/payments.json", import.meta.url), "utf8"),
  );
  for (const statement of [first, challengedStatement]) {
    const store: PaymentStore = openMemoryStore().payments;
    await store.write([{ kind: "custody", key: statementId, text: statement }], { durable: true });
    const custody = { audit: chain.audit, penalty: wei(0n), least: wei(0n) };
    const node = await paidNode(t, chain, { key: payer, store, custody });
    assert.equal(node.challenger, undefined, "not without being told to");
    const [view] = node.admin.custody();
    const { v, shard, lost, ...rest } = fromText<Record<string, unknown>>(statement);
    assert.deepEqual([v, lost], [1, true]);
    assert.deepEqual(view, {
      ...rest,
      id: statementId,
      shard: (shard as { id: string }).id,
      lost: true,
      released: false,
    });
    assert.equal(toText(fromText(statement)), statement);
  }
});
