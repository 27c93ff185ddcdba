import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { NodeError, type ShardService } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { FakeTime, once, readAll, settled, swarm, type SwarmOptions } from "./file-swarm.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** Lets time pass in steps, in each of which everybody looks after what is due. */
async function live(
  { fixture, time }: { fixture: Awaited<ReturnType<typeof swarm>>; time: FakeTime },
  { ms, stepMs = 3 * HOUR }: { ms: number; stepMs?: number },
): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    time.pass(Math.min(stepMs, ms - passed));
    await fixture.files.look();
    for (const provider of fixture.providers) await provider.upkeep.look();
  }
}

async function kept(t: Parameters<typeof swarm>[0], options: SwarmOptions = {}) {
  const time = new FakeTime();
  const fixture = await swarm(t, { time, ...options });
  const bytes = randomBytes(20_000);
  const { id } = await fixture.files.put(once(bytes), { name: "a", contentType: "" }, fixture.ctx());
  await settled(fixture, id);
  return { time, fixture, bytes, id };
}

async function assertWhole({ fixture, bytes, id }: Awaited<ReturnType<typeof kept>>, placed: readonly string[]) {
  const { files, ctx, providers } = fixture;
  const { shards } = await files.audit({ id }, ctx());
  assert.deepEqual(shards.map(({ provider }) => provider), placed, "no shard has moved");
  assert.ok(shards.every(({ state }) => state === "proven"), JSON.stringify(shards));
  assert.ok((await readAll(fixture, id)).equals(bytes));
  let held = 0;
  for (const { shards } of providers) held += (await shards.usage(ctx())).shards;
  assert.equal(held, 6);
}

const placesOf = async ({ fixture: { files, ctx }, id }: Awaited<ReturnType<typeof kept>>) =>
  (await files.health({ id }, ctx())).shards.map(({ provider }) => provider);

test("leases are renewed for as long as a file is wanted, and what is removed goes", async (t) => {
  const all = await kept(t);
  const { fixture, id } = all;
  const placed = await placesOf(all);
  await live(all, { ms: 100 * DAY, stepMs: 6 * HOUR });
  await assertWhole(all, placed);
  await fixture.files.remove({ id }, fixture.ctx());
  await live(all, { ms: HOUR, stepMs: HOUR });
  for (const { shards } of fixture.providers) assert.equal((await shards.usage(fixture.ctx())).shards, 0);
});

test("shards that nobody renews are dropped after lease and grace, and not before", async (t) => {
  const { time, fixture } = await kept(t, { count: 6 });
  const count = async () => (await fixture.providers[0]!.shards.usage(fixture.ctx())).shards;
  time.pass(30 * DAY);
  await fixture.providers[0]!.upkeep.look();
  assert.equal(await count(), 1);
  time.pass(HOUR + 1000);
  await fixture.providers[0]!.upkeep.look();
  assert.equal(await count(), 0);
});

for (const wrongBy of [YEAR, -YEAR]) {
  const way = wrongBy > 0 ? "forwards" : "backwards";
  for (const forMs of [0, 5 * DAY, 60 * DAY]) {
    const span = forMs === 0 ? "a moment" : `${forMs / DAY} days`;
    test(`providers whose clocks jump ${way} for ${span} drop no shard that is wanted`, async (t) => {
      const all = await kept(t);
      const placed = await placesOf(all);
      await live(all, { ms: 10 * DAY });
      for (const { clocks } of all.fixture.providers.slice(0, 4)) clocks.setWrongBy(wrongBy);
      for (const { upkeep } of all.fixture.providers) await upkeep.look();
      await live(all, { ms: forMs });
      for (const { clocks } of all.fixture.providers) clocks.setWrongBy(0);
      await live(all, { ms: 50 * DAY, stepMs: 6 * HOUR });
      await assertWhole(all, placed);
    });

    test(`a requester whose clock jumps ${way} for ${span} loses no shard and moves none`, async (t) => {
      const all = await kept(t);
      const placed = await placesOf(all);
      await live(all, { ms: 10 * DAY });
      all.fixture.clocks.setWrongBy(wrongBy);
      await all.fixture.files.look();
      await live(all, { ms: forMs });
      all.fixture.clocks.setWrongBy(0);
      await live(all, { ms: 50 * DAY, stepMs: 6 * HOUR });
      await assertWhole(all, placed);
    });
  }
}

test("a shard whose provider is silent is lost after enough audits and enough time, not by a jump of the clock", async (t) => {
  const all = await kept(t, { count: 7 });
  const { fixture, id } = all;
  const stateOf = async () => (await fixture.files.health({ id }, fixture.ctx())).shards[0]!.state;
  const [place] = await placesOf(all);
  const silent = fixture.providers.find(({ target }) => target === place)!;
  silent.down = true;
  await live(all, { ms: 7 * HOUR, stepMs: 7 * HOUR });
  assert.equal(await stateOf(), "suspect");
  fixture.clocks.setWrongBy(YEAR);
  for (let i = 0; i < 4; i++) await live(all, { ms: 11 * MINUTE, stepMs: 11 * MINUTE });
  assert.equal(await stateOf(), "suspect");
  fixture.clocks.setWrongBy(0);
  await live(all, { ms: 14 * HOUR, stepMs: HOUR });
  assert.notEqual((await placesOf(all))[0], silent.target);
  assert.equal((await fixture.files.health({ id }, fixture.ctx())).margin, 2);
});

test("one audit that fails a long time after another does not lose a shard", async (t) => {
  const all = await kept(t, { count: 7 });
  const { fixture, id } = all;
  const [place] = await placesOf(all);
  const flaky = fixture.providers.find(({ target }) => target === place)!;
  flaky.down = true;
  await fixture.files.audit({ id }, fixture.ctx());
  all.time.pass(DAY);
  const { shards } = await fixture.files.audit({ id }, fixture.ctx());
  assert.equal(shards[0]!.state, "suspect");
  flaky.down = false;
  assert.equal((await fixture.files.audit({ id }, fixture.ctx())).shards[0]!.state, "proven");
});

test("leases of other files are renewed while the provider of the first one answers nothing", async (t) => {
  const time = new FakeTime();
  const fixture = await swarm(t, { time, count: 2, settings: { parallel: 2, stallMs: 600_000 } });
  const { files, ctx, providers } = fixture;
  const policy = { dataShards: 1, parityShards: 0 };
  const put = async (name: string, target: string) => {
    const { id } = await files.put(once(randomBytes(100)), { name, contentType: "", policy, targets: [target] }, ctx());
    await settled(fixture, id);
    return id;
  };
  const [hung, good] = providers;
  await put("first", hung!.target);
  const others = await Promise.all(Array.from({ length: 10 }, (_, i) => put(`other ${i}`, good!.target)));
  let release!: () => void;
  const held = new Promise<void>((resolve) => release = resolve);
  const honest = hung!.shards;
  hung!.shards = new Proxy(honest, {
    get: (target, method: keyof ShardService) =>
      method === "prove"
        ? async (...args: Parameters<ShardService["prove"]>) => (await held, await target.prove(...args))
        : (target[method] as (...all: unknown[]) => unknown).bind(target),
  });
  time.pass(16 * DAY);
  const looking = files.look();
  const renewed = async () => {
    const all = await Promise.all(others.map((id) => files.health({ id }, ctx())));
    return all.every(({ shards }) => shards[0]!.leaseExpiresAt! > time.clocks().clock.now() + 29 * DAY);
  };
  while (!await renewed()) await new Promise((resolve) => setTimeout(resolve, 5));
  release();
  await looking;
});

test("an upload that goes on has its time anew, and is given up after that", async (t) => {
  const time = new FakeTime();
  const fixture = await swarm(t, { time });
  const { files, ctx, store } = fixture;
  const bytes = randomBytes(9_000_000);
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 6_000_000);
    throw new Error("gone");
  }
  const options = { name: "a", contentType: "" };
  await assert.rejects(files.put(broken(), options, ctx()));
  const [file] = await store.all("", 1);
  time.pass(20 * HOUR);
  await assert.rejects(files.put(broken(), { ...options, resume: file!.id }, ctx()));
  time.pass(20 * HOUR);
  await files.look();
  assert.equal((await store.getMany([file!.id]))[0]?.phase, "uploading");
  fixture.clocks.setWrongBy(YEAR);
  await files.look();
  fixture.clocks.setWrongBy(0);
  assert.equal((await store.getMany([file!.id]))[0]?.phase, "uploading");
  time.pass(5 * HOUR);
  await files.look();
  assert.equal((await store.getMany([file!.id]))[0], undefined);
  await assert.rejects(files.put(once(bytes), { ...options, resume: file!.id }, ctx()), { code: "not_found" });
});

test("a file that is removed in the middle of its audit is no fault of its providers", async (t) => {
  const fixture = await swarm(t, { count: 1 });
  const { files, ctx, providers } = fixture;
  const policy = { dataShards: 1, parityShards: 0 };
  const put = () => files.put(once(randomBytes(100)), { name: "a", contentType: "", policy }, ctx());
  const { id } = await put();
  await settled(fixture, id);
  const honest = providers[0]!.shards;
  let asked!: () => void;
  const asking = new Promise<void>((resolve) => asked = resolve);
  let go!: () => void;
  const held = new Promise<void>((resolve) => go = resolve);
  providers[0]!.shards = new Proxy(honest, {
    get: (target, method: keyof ShardService) =>
      method === "prove"
        ? async (...args: Parameters<ShardService["prove"]>) => (asked(), await held, await target.prove(...args))
        : (target[method] as (...all: unknown[]) => unknown).bind(target),
  });
  const told: string[] = [];
  const end = new AbortController();
  const events = files.watch(undefined, ctx(end.signal));
  const watching = (async () => {
    for await (const { message, type } of events) if (type === "audit") told.push(message!);
  })();
  watching.catch(() => {});
  const auditing = files.audit({ id }, ctx()).catch(() => {});
  await asking;
  await files.remove({ id }, ctx());
  await files.look();
  assert.equal((await honest.usage(ctx())).shards, 0);
  go();
  await auditing;
  end.abort();
  await watching.catch(() => {});
  assert.deepEqual(told, []);
});

test("a provider that breaks off in the middle of an audit is suspect, and one that gives wrong bytes has lost its shard", async (t) => {
  const fixture = await swarm(t, { count: 1 });
  const { files, ctx, providers } = fixture;
  const policy = { dataShards: 1, parityShards: 0 };
  const { id } = await files.put(once(randomBytes(100)), { name: "a", contentType: "", policy }, ctx());
  await settled(fixture, id);
  const honest = providers[0]!.shards;
  const failWith = (code: "target_misbehaved" | "data_corrupt") =>
    providers[0]!.shards = new Proxy(honest, {
      get: (target, method: keyof ShardService) =>
        method === "prove"
          ? () => Promise.reject(new NodeError(code, "The stream was reset"))
          : (target[method] as (...all: unknown[]) => unknown).bind(target),
    });
  failWith("target_misbehaved");
  assert.equal((await files.audit({ id }, ctx())).shards[0]!.state, "suspect");
  providers[0]!.shards = honest;
  assert.equal((await files.audit({ id }, ctx())).shards[0]!.state, "proven");
  failWith("data_corrupt");
  assert.equal((await files.audit({ id }, ctx())).shards[0]!.state, "lost");
});

test("audits never download: for months no shard is read, and what providers send are leaves and their paths", async (t) => {
  const all = await kept(t, { settings: { auditLeaves: 4 } });
  const { fixture, id } = all;
  let proven = 0;
  let provenBytes = 0;
  const reads: string[] = [];
  for (const provider of fixture.providers) {
    const honest = provider.shards;
    provider.shards = new Proxy(honest, {
      get: (target, method: keyof ShardService) => {
        if (method === "get") {
          return (shard: string) => {
            reads.push(shard);
            return Promise.reject(new NodeError("internal", "A shard was read"));
          };
        }
        if (method !== "prove") return (target[method] as (...all: unknown[]) => unknown).bind(target);
        return async (...args: Parameters<ShardService["prove"]>) => {
          const proofs = await target.prove(...args);
          proven++;
          provenBytes += proofs.reduce((sum, { bytes, proof }) => sum + bytes.length + proof.length, 0);
          return proofs;
        };
      },
    });
  }
  const { record } = await fixture.files.audit({ id }, fixture.ctx());
  assert.equal(record.state, "proven");
  assert.equal(proven, 6);
  // Renewals of leases have shards proven too.
  await live(all, { ms: 60 * DAY, stepMs: 6 * HOUR });
  assert.ok(proven > 6 * 200, `${proven} proofs`);
  assert.ok(provenBytes / proven <= 4 * (1024 + 5 * 32), `${provenBytes / proven} bytes a proof`);
  assert.deepEqual(reads, []);
  assert.equal((await fixture.files.health({ id }, fixture.ctx())).record.state, "proven");
});
