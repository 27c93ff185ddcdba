/** Files kept for pay, over real node processes and a real chain. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import {
  fromHex,
  type NodeId,
  recoverDigestSigner,
  shardLeaseDigest,
  type ShardRecord,
  type StoredLease,
} from "../../src/core/mod.ts";
import { test, type TestScope } from "../testing.ts";
import { startLocalChain } from "../../src/payments/local-chain.ts";
import { get, type NodeProcess, run, until } from "./harness.ts";
import { channelOf, equalBooks, ETHER, startPaidSwarm } from "./paid-swarm.ts";

interface QuoteJson {
  readonly digest: string;
  readonly chainId: number;
  readonly channels: NodeId;
  readonly quote: { readonly provider: string; readonly requester: string; readonly channelId: string };
}

interface Health {
  readonly shards: readonly {
    readonly state: string;
    readonly providerId?: string;
    readonly provider: string;
    readonly leaseExpiresAt?: string;
    readonly lease?: StoredLease;
  }[];
}

const PRICES = { gibHour: "1000000000000000", gibWritten: "1000000000000", gibRead: "3000000000000", minimum: "7" };

async function put({ rest }: NodeProcess, name: string, bytes: Uint8Array, policy: string): Promise<string> {
  const answer = await fetch(`${rest}/v1/files/${name}?policy=${encodeURIComponent(policy)}`, {
    method: "PUT",
    body: bytes as BodyInit,
  });
  const json = await answer.json() as { id: string };
  assert.equal(answer.status, 201, JSON.stringify(json));
  return json.id;
}

async function read({ rest }: NodeProcess, id: string): Promise<Uint8Array> {
  const answer = await fetch(`${rest}/v1/files/${id}/content`);
  assert.equal(answer.status, 200);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Whose signature is under the lease of a shard, with what its provider keeps and the quotes that the requester has. */
async function signerOf(
  lease: StoredLease,
  { requester, provider }: { readonly requester: NodeProcess; readonly provider: NodeProcess },
): Promise<string> {
  const { shards } = await get<{ shards: ShardRecord[] }>(`${provider.rest}/v1/shards`);
  assert.equal(shards.length, 1);
  const { quotes } = await get<{ quotes: QuoteJson[] }>(`${requester.rest}/v1/payments/quotes`);
  const by = quotes.find(({ digest }) => digest === lease.quote);
  assert.ok(by !== undefined, JSON.stringify(quotes));
  assert.equal(by.quote.provider, provider.nodeId);
  assert.equal(by.quote.requester, requester.nodeId);
  assert.equal(by.quote.channelId, (await channelOf(provider)).channelId);
  const at = { chainId: by.chainId, channels: by.channels };
  const { expiresAt } = lease;
  return recoverDigestSigner(shardLeaseDigest(at, { ...shards[0]!, expiresAt }, lease), fromHex(lease.signature));
}

const health = ({ rest }: NodeProcess, id: string) => get<Health>(`${rest}/v1/files/${id}/health`);

test("a file is put at providers that are paid, and read back for pay, and all books are equal to the wei", async (t) => {
  const { requester, providers } = await startPaidSwarm(t, { providers: 3, prices: PRICES });
  const bytes = randomBytes(300_000);
  const id = await put(requester, "paid.bin", bytes, "2+1");
  await until(async () => (await health(requester, id)).shards.every(({ state }) => state !== "pending") || undefined);
  const kept = await equalBooks(requester, providers);
  for (const { charged, paid, items } of kept) {
    assert.equal(items, 1);
    // A third of 450 kB for 30 days and more than what came in: about 10^14 wei.
    assert.ok(BigInt(charged) > 10n ** 14n / 2n && BigInt(charged) < 2n * 10n ** 14n, charged);
    assert.ok(BigInt(paid) >= BigInt(charged), "nothing is kept that was not paid before");
  }
  const { shards } = await health(requester, id);
  for (const { provider: target, lease, leaseExpiresAt } of shards) {
    const provider = providers.find(({ rpc }) => rpc === target)!;
    assert.equal(await signerOf(lease!, { requester, provider }), provider.nodeId);
    assert.ok(lease!.expiresAt - lease!.startsAt >= 30 * 86_400_000, JSON.stringify([lease, leaseExpiresAt]));
  }
  assert.deepEqual(Buffer.from(await read(requester, id)), bytes);
  const after = await equalBooks(requester, providers);
  const sum = (channels: typeof after) => channels.reduce((total, { charged }) => total + BigInt(charged), 0n);
  assert.ok(sum(after) > sum(kept), "reading costs too");
});

test("a lease is renewed and paid after its shard was proven; who fails an audit is sent no further voucher", async (t) => {
  const { requester, providers, providerAgain } = await startPaidSwarm(t, {
    providers: 3,
    prices: PRICES,
    requester: { files: { leaseMs: "10s", auditIntervalMs: "1s" } },
  });
  const bytes = randomBytes(100_000);
  const id = await put(requester, "renewed.bin", bytes, "1+1");
  const first = await until(async () => {
    const { shards } = await health(requester, id);
    return shards.every(({ state }) => state !== "pending") ? shards : undefined;
  });
  const places = first.map(({ provider }) => providers.findIndex(({ rpc }) => rpc === provider));
  const [liar, honest] = places as [number, number];
  await equalBooks(requester, places.map((place) => providers[place]!));
  const [before, honestBefore] = await Promise.all([channelOf(providers[liar]!), channelOf(providers[honest]!)]);

  // One provider loses what it was paid to keep.
  await providers[liar]!.stop();
  rmSync(join(providers[liar]!.dataDir, "shards"), { recursive: true });
  await providerAgain(liar);
  const renewed = await until(async () => {
    const channel = await channelOf(providers[honest]!);
    return channel.items > honestBefore.items ? channel : undefined;
  });
  assert.ok(BigInt(renewed.charged) > BigInt(honestBefore.charged));
  const lease = await until(async () => {
    const { shards } = await health(requester, id);
    const found = shards.find(({ provider }) => provider === providers[honest]!.rpc)?.lease;
    return found !== undefined && found.startsAt > first[1]!.lease!.startsAt ? found : undefined;
  });
  assert.equal(lease.expiresAt - lease.startsAt >= 10_000, true, "a renewal is signed like the first lease");
  // The file is whole again, at a third provider.
  await until(async () => {
    const { shards } = await health(requester, id);
    const now = shards.map(({ provider }) => provider);
    return !now.includes(providers[liar]!.rpc) && shards.every(({ state }) => state !== "lost") ? true : undefined;
  });
  const after = await channelOf(providers[liar]!);
  assert.deepEqual([after.charged, after.paid, after.items], [before.charged, before.paid, before.items]);
  assert.deepEqual(Buffer.from(await read(requester, id)), bytes);
  await equalBooks(requester, providers);
});

interface StatementRow {
  readonly id: string;
  readonly shard: string;
  readonly provider: string;
  readonly fileId: string;
  readonly lost: boolean;
  readonly challenge?: { readonly state: string };
}

/** A file of two shards with stake on both, at two of three providers. */
async function startStaked(t: TestScope, payments: Record<string, unknown>) {
  const chain = await startLocalChain();
  t.after(() => chain.close());
  const penalty = String(ETHER / 100n);
  const swarm = await startPaidSwarm(t, {
    chain,
    // One more than the file needs: a repair at the provider that lost the shard would let it answer after all.
    providers: 3,
    prices: PRICES,
    provider: { payments: { audit: chain.audit, custodyPenalty: penalty } },
    requester: {
      files: { custodyPenalty: penalty, auditIntervalMs: "1s" },
      payments: { audit: chain.audit, ...payments },
    },
  });
  const { requester, providers, providerAgain } = swarm;
  const cli = (node: NodeProcess, ...args: string[]) => run([...args, "--url", node.rest]);
  for (const provider of providers) {
    const registered = await cli(provider, "payments", "register", provider.rpc, "--stake", String(ETHER / 2n));
    assert.equal(registered.code, 0, registered.stderr);
    assert.equal((await cli(provider, "payments", "pledge", "365")).code, 0);
  }
  const id = await put(requester, "staked.bin", randomBytes(100_000), "1+1");
  const custody = async () => (await get<{ custody: StatementRow[] }>(`${requester.rest}/v1/payments/custody`)).custody;
  const statements = await until(async () => {
    const found = await custody();
    return found.length === 2 ? found : undefined;
  });
  assert.ok(statements.every(({ fileId, lost }) => fileId === id && !lost));
  /** Has the provider of a statement lose what it promised to keep, and waits until that is noticed. */
  const lose = async (statement: StatementRow) => {
    const liar = providers.findIndex(({ nodeId }) => nodeId === statement.provider);
    await providers[liar]!.stop();
    rmSync(join(providers[liar]!.dataDir, "shards"), { recursive: true });
    await providerAgain(liar);
    await until(async () => (await custody()).some((one) => one.id === statement.id && one.lost) || undefined);
  };
  return { chain, requester, providers, cli, id, custody, statements, lose };
}

test("a provider with stake on a shard answers a challenge from the command line, and is slashed for what it lost", async (t) => {
  const staked = await startStaked(t, { custodyChallenge: "off" });
  const { chain, requester, providers, cli, id, statements } = staked;
  const honest = providers.find(({ nodeId }) => nodeId === statements[0]!.provider)!;
  const challenged = await cli(requester, "payments", "challenge", statements[0]!.shard);
  assert.equal(challenged.code, 0, challenged.stderr);
  assert.match(challenged.stdout, /^Challenged 0x[0-9a-f]{64}: the provider may answer until 20/);
  // It shows the leaf by itself, and gets the bond.
  await until(async () => (await cli(honest, "payments", "withdraw", "--from", "audit")).code === 0 || undefined);

  await staked.lose(statements[1]!);
  assert.equal((await cli(requester, "payments", "challenge", id)).code, 0);
  assert.match((await cli(requester, "payments", "slash", id)).stderr, /may answer until/);
  await chain.rpc("evm_increaseTime", [86_400 + 60]);
  await chain.rpc("evm_mine");
  const slashed = await cli(requester, "payments", "slash", id);
  assert.equal(slashed.code, 0, slashed.stderr);
  const paid = await cli(requester, "payments", "withdraw", "--from", "registry");
  assert.equal(paid.code, 0, paid.stderr);
});

test("a provider that lost a shard with stake on it is challenged and slashed without anybody's doing", async (t) => {
  const { chain, requester, cli, custody, statements, lose } = await startStaked(t, {});
  const isNow = (state: string) =>
    until(async () =>
      (await custody()).some((one) => one.id === statements[0]!.id && one.challenge?.state === state) || undefined
    );
  await lose(statements[0]!);
  await isNow("open");
  await chain.rpc("evm_increaseTime", [86_400 + 60]);
  await chain.rpc("evm_mine");
  await isNow("slashed");
  const paid = await cli(requester, "payments", "withdraw", "--from", "registry");
  assert.equal(paid.code, 0, paid.stderr);
  const metrics = await (await fetch(`${requester.rest}/metrics`)).text();
  for (const result of ["opened", "slashed"]) {
    assert.match(metrics, new RegExp(`velas_custody_challenges_total\\{result="${result}"\\} 1`));
  }
});
