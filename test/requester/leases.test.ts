/** What the owner of files does with the leases that providers sign, and with those that are not what was agreed. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  type CallContext,
  type CustodyRelease,
  LEASE_REFUSED,
  NodeError,
  QUOTE_EXPIRED,
  type ShardLease,
  type ShardReceipt,
  wei,
} from "../../src/core/mod.ts";
import type { StorageLedger } from "../../src/requester/mod.ts";
import { test } from "../testing.ts";
import { FakeTime, once, readAll, settled, swarm } from "./file-swarm.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A ledger that is paid, whose providers sign leases that are good but at `refused`. */
function paid(refused: Set<string>): StorageLedger & { readonly calls: string[] } {
  let count = 0;
  const calls: string[] = [];
  return {
    calls,
    reserve: ({ target, action }) => ({
      commit() {},
      release() {},
      refuse: (takeBack) => takeBack(),
      checkLease({ record }: ShardReceipt): ShardLease {
        calls.push(`${action} ${target}`);
        if (refused.has(target)) {
          throw new NodeError("target_misbehaved", "The lease is refused", { data: { reason: LEASE_REFUSED } });
        }
        const quote = `0x${String(++count).padStart(64, "0")}` as const;
        return { quote, startsAt: record.expiresAt - 1, signature: new Uint8Array(65) };
      },
    }),
  };
}

test("leases are kept with their shards, and replaced when they are renewed", async (t) => {
  const time = new FakeTime();
  const fixture = await swarm(t, { time, ledger: paid(new Set()) });
  const { id } = await fixture.files.put(once(randomBytes(20_000)), { name: "a", contentType: "" }, fixture.ctx());
  const { shards } = await settled(fixture, id);
  assert.equal(new Set(shards.map(({ lease }) => lease?.quote)).size, shards.length, "each shard has its own");
  for (const { lease, leaseExpiresAt } of shards) assert.deepEqual([lease!.v, lease!.expiresAt], [1, leaseExpiresAt]);
  time.pass(16 * DAY);
  await fixture.files.look();
  const after = (await fixture.files.health({ id }, fixture.ctx())).shards;
  after.forEach(({ lease }, index) => {
    assert.ok(lease!.expiresAt > shards[index]!.lease!.expiresAt);
    assert.notEqual(lease!.quote, shards[index]!.lease!.quote);
  });
});

test("a shard whose lease is refused at a put goes to another provider, and is freed where it was", async (t) => {
  const time = new FakeTime();
  const refused = new Set<string>();
  const fixture = await swarm(t, { time, ledger: paid(refused) });
  refused.add(fixture.providers[0]!.target).add(fixture.providers[1]!.target);
  const bytes = randomBytes(20_000);
  const { id } = await fixture.files.put(once(bytes), { name: "a", contentType: "" }, fixture.ctx());
  const { shards } = await settled(fixture, id);
  assert.ok(shards.every(({ provider, lease }) => !refused.has(provider) && lease !== undefined));
  time.pass(2 * DAY);
  await fixture.files.look();
  for (const { target, shards } of fixture.providers) {
    assert.equal((await shards.usage(fixture.ctx())).shards, refused.has(target) ? 0 : 1);
  }
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("a put whose quote is over at a provider is done there by another one, and no provider is blamed", async (t) => {
  const fixture = await swarm(t, { ledger: paid(new Set()) });
  let late = 0;
  for (const provider of fixture.providers) {
    const { shards } = provider;
    let isFirst = true;
    provider.shards = new Proxy(shards, {
      get: (target, method: keyof typeof shards) => async (...args: unknown[]) => {
        if (method === "put" && isFirst) {
          isFirst = false;
          late++;
          // It had begun to take bytes in when the refusal came.
          for await (const _ of args[0] as AsyncIterable<Uint8Array>) break;
          throw new NodeError("payment_required", "The quote has expired", { data: { reason: QUOTE_EXPIRED } });
        }
        return await (target[method] as (...all: unknown[]) => Promise<unknown>)(...args);
      },
    });
  }
  const bytes = randomBytes(20_000);
  const { id } = await fixture.files.put(once(bytes), { name: "a", contentType: "" }, fixture.ctx());
  const { shards } = await settled(fixture, id);
  assert.equal(late, 6, "no other provider was taken");
  assert.ok(shards.every(({ state, lastError }) => state === "stored" && lastError === undefined));
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("a renewal whose lease is refused, or is for another root, is noted, and tried ever more seldom", async (t) => {
  const time = new FakeTime();
  const refused = new Set<string>();
  const ledger = paid(refused);
  const fixture = await swarm(t, { time, count: 6, ledger });
  const bytes = randomBytes(20_000);
  const { id } = await fixture.files.put(once(bytes), { name: "a", contentType: "" }, fixture.ctx());
  const before = (await settled(fixture, id)).shards;
  const [forger, liar] = [before[0]!.provider, before[1]!.provider];
  refused.add(forger);
  const { shards } = fixture.providers.find(({ target }) => target === liar)!;
  fixture.providers.find(({ target }) => target === liar)!.shards = new Proxy(shards, {
    get: (target, method: keyof typeof shards) => async (...args: unknown[]) => {
      const answer = await (target[method] as (...all: unknown[]) => Promise<unknown>)(...args);
      if (method !== "renew") return answer;
      const receipt = answer as ShardReceipt;
      return { ...receipt, record: { ...receipt.record, root: "ab".repeat(32) } };
    },
  });
  ledger.calls.length = 0;
  for (let passed = 0; passed < 29 * DAY; passed += 6 * HOUR) {
    time.pass(6 * HOUR);
    await fixture.files.look();
  }
  const after = (await fixture.files.health({ id }, fixture.ctx())).shards;
  for (const [index, { provider, lease, leaseExpiresAt }] of after.entries()) {
    const old = before[index]!;
    const isKept = provider === forger || provider === liar;
    assert.equal(lease!.quote === old.lease!.quote, isKept, provider);
    assert.equal(leaseExpiresAt === old.leaseExpiresAt, isKept, provider);
  }
  const tries = ledger.calls.filter((call) => call === `renew ${forger}`).length;
  assert.ok(tries >= 2 && tries <= 12, `${tries} tries in half a lease, where every 10 minutes would be 2000`);
  assert.ok((await readAll(fixture, id)).equals(bytes), "what is there is read all the same");
});

test("custody is asked for after each lease; who lost a shard is noted, and the others are released when it is not wanted", async (t) => {
  const time = new FakeTime();
  const [taken, lost, freed]: [string[], string[], [string, readonly CustodyRelease[]][]] = [[], [], []];
  const ended = new Set<string>();
  const fixture = await swarm(t, {
    time,
    count: 7,
    ledger: paid(new Set()),
    settings: { asksCustody: true },
    custody: {
      has: ({ lease }) => ended.has(lease.quote),
      async take({ provider, record, lease, fileId }, ask) {
        assert.equal((await ask()).penalty, 7n);
        assert.equal(fileId, id);
        taken.push(`${provider} ${record.id}`);
        ended.add(lease.quote);
      },
      releases: (_, shard) => [{ custody: `0x${shard}${shard}`, signature: new Uint8Array(65) }],
      lost: (provider, shard) => Promise.resolve(void lost.push(`${provider} ${shard}`)),
    },
  });
  for (const provider of fixture.providers) {
    const { shards } = provider;
    provider.shards = new Proxy(shards, {
      get: (target, method: keyof typeof shards) => async (...args: unknown[]) => {
        if (method === "custody") return { penalty: wei(7n), signature: new Uint8Array(65) };
        if (method === "remove") {
          const [shard, , { releases }] = args as [string, CallContext, { releases: readonly CustodyRelease[] }];
          freed.push([shard, releases]);
        }
        return await (target[method] as (...all: unknown[]) => Promise<unknown>)(...args);
      },
    });
  }
  const { id } = await fixture.files.put(once(randomBytes(20_000)), { name: "a", contentType: "" }, fixture.ctx());
  await settled(fixture, id);
  const look = async (ms: number) => {
    time.pass(ms);
    await fixture.files.look();
  };
  // Right after the put, and not again before the lease is renewed.
  for (let times = 0; times < 3; times++) await look(HOUR);
  assert.equal(new Set(taken).size, 6);
  assert.equal(taken.length, 6);
  await look(15 * DAY);
  assert.equal(taken.length, 12);

  const { shards } = await fixture.files.health({ id }, fixture.ctx());
  const liar = fixture.providers.find(({ target }) => target === shards[0]!.provider)!;
  const gone = taken.find((one) => one.startsWith(liar.nodeId))!.split(" ")[1]!;
  await liar.shards.remove(gone, fixture.ctx(), {});
  freed.length = 0;
  await look(DAY);
  assert.deepEqual(lost.slice(0, 1), [`${liar.nodeId} ${gone}`]);
  await look(HOUR);
  assert.ok(taken.length > 12, "the provider that has it now is asked too");
  freed.length = 0;
  await fixture.files.remove({ id }, fixture.ctx());
  await look(HOUR);
  assert.equal(freed.length, 6);
  for (const [shard, releases] of freed) {
    assert.deepEqual(releases.map(({ custody }) => custody), [`0x${shard}${shard}`]);
  }
});

for (const isThere of [true, false]) {
  test(`a provider that a repair passed by is released from custody only when it proves the shard (${isThere})`, async (t) => {
    const time = new FakeTime();
    const [lost, freed]: [string[], (readonly CustodyRelease[])[]] = [[], []];
    const fixture = await swarm(t, {
      time,
      count: 7,
      ledger: paid(new Set()),
      custody: {
        has: () => true,
        take: () => Promise.resolve(),
        releases: (provider, shard) =>
          lost.includes(`${provider} ${shard}`)
            ? []
            : [{ custody: `0x${shard}${shard}`, signature: new Uint8Array(65) }],
        lost: (provider, shard) => Promise.resolve(void lost.push(`${provider} ${shard}`)),
      },
    });
    const bytes = randomBytes(20_000);
    const { id } = await fixture.files.put(once(bytes), { name: "a", contentType: "" }, fixture.ctx());
    const before = (await settled(fixture, id)).shards;
    const away = fixture.providers.find(({ target }) => target === before[0]!.provider)!;
    const { shards } = away;
    const [shard] = (await shards.list({ pageSize: 1, pageToken: "" }, fixture.ctx())).shards;
    away.shards = new Proxy(shards, {
      get: (target, method: keyof typeof shards) => async (...args: unknown[]) => {
        if (method === "remove") freed.push((args[2] as { releases: readonly CustodyRelease[] }).releases);
        return await (target[method] as (...all: unknown[]) => Promise<unknown>)(...args);
      },
    });
    away.down = true;
    const repaired = await fixture.files.repair({ id }, fixture.ctx());
    assert.notEqual(repaired.shards[0]!.provider, away.target);
    time.pass(DAY);
    await fixture.files.look();
    assert.deepEqual([lost, freed], [[], []], "nothing is known of it yet");
    away.down = false;
    if (!isThere) await shards.remove(shard!.id, fixture.ctx(), {});
    time.pass(DAY);
    await fixture.files.look();
    assert.deepEqual(lost, isThere ? [] : [`${away.nodeId} ${shard!.id}`]);
    assert.deepEqual(freed.map(({ length }) => length), [isThere ? 1 : 0]);
    assert.deepEqual((await shards.list({ pageSize: 1, pageToken: "" }, fixture.ctx())).shards, []);
    assert.ok((await readAll(fixture, id)).equals(bytes));
  });
}
