import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { NodeError, type PutFileOptions, type ShardBytes, type ShardId } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { bend, FakeTime, once, type Provider, readAll, settled, swarm, type SwarmOptions } from "./file-swarm.ts";

const HOUR = 3_600_000;

interface KeptOptions extends SwarmOptions {
  /** How many of the nodes, the last ones, come when the files are there. */
  readonly late?: number;
}

/** Five files, and the provider that has shards of most of them: with eight providers and six shards each, of four at least. */
async function kept(t: Parameters<typeof swarm>[0], { late = 0, ...options }: KeptOptions = {}) {
  const time = new FakeTime();
  const fixture = await swarm(t, { time, ...options });
  const { ctx, providers } = fixture;
  const hasty = watchRemovals(providers);
  const saved: { readonly id: string; readonly bytes: Buffer }[] = [];
  const put = async (options: Omit<PutFileOptions, "contentType">) => {
    const bytes = randomBytes(20_000);
    const { id } = await fixture.files.put(once(bytes), { contentType: "", ...options }, ctx());
    await settled(fixture, id);
    saved.push({ id, bytes });
    return id;
  };
  const comeLater = providers.slice(providers.length - late);
  comeLater.forEach((provider) => provider.down = true);
  for (let i = 0; i < 5; i++) await put({ name: `f${i}` });
  comeLater.forEach((provider) => provider.down = false);
  const healths = () => Promise.all(saved.map(({ id }) => fixture.files.health({ id }, ctx())));
  const counts = async () => {
    const shards = (await healths()).flatMap((health) => health.shards);
    return providers.map(({ target }) => shards.filter(({ provider }) => provider === target).length);
  };
  const held = await counts();
  const worst = providers[held.indexOf(Math.max(...held))]!;
  const live = async (hours: number) => {
    for (let passed = 0; passed < hours; passed += 3) {
      time.pass(3 * HOUR);
      await fixture.files.look();
    }
  };
  const assertReadable = async () => {
    for (const { id, bytes } of saved) assert.ok((await readAll(fixture, id)).equals(bytes));
    assert.deepEqual(hasty, []);
  };
  const auditAll = async () => {
    for (const { id } of saved) await fixture.files.audit({ id }, ctx());
  };
  return { fixture, time, saved, put, worst, healths, counts, live, auditAll, assertReadable, held };
}

/** Notes each shard that a provider is told to free although it has proven it and no other has. */
function watchRemovals(providers: readonly Provider[]): readonly string[] {
  const provenBy = new Map<ShardId, Set<Provider>>();
  const hasty: string[] = [];
  for (const provider of providers) {
    bend(provider, (honest) => ({
      prove: async (...args) => {
        const proofs = await honest.prove(...args);
        const provers = provenBy.get(args[0]) ?? new Set();
        provenBy.set(args[0], provers.add(provider));
        return proofs;
      },
      remove: async (...args) => {
        const provers = provenBy.get(args[0]);
        if (provers?.delete(provider) && provers.size === 0) hasty.push(`${provider.target}: ${args[0]}`);
        await honest.remove(...args);
      },
    }));
  }
  return hasty;
}

/** Has a provider give wrong proofs of so many shards, those that it is asked for first, and right ones of the others. */
function lieAbout(provider: Provider, count: number): ReadonlySet<ShardId> {
  const wrong = new Set<ShardId>();
  bend(provider, (honest) => ({
    prove: (...args) => {
      if (wrong.size < count) wrong.add(args[0]);
      if (wrong.has(args[0])) return Promise.reject(new NodeError("data_corrupt", "Other bytes"));
      return honest.prove(...args);
    },
  }));
  return wrong;
}

test("a provider that lied about three shards loses those that it proves, too, and every file reads back", async (t) => {
  const { fixture, worst, healths, counts, live, assertReadable, held } = await kept(t);
  lieAbout(worst, 3);
  const told: string[] = [];
  const end = new AbortController();
  const watching = (async () => {
    for await (const { type, message } of fixture.files.watch(undefined, fixture.ctx(end.signal))) {
      if (type === "repair") told.push(message!.replace(/^Shard \d|\S+$/g, ""));
    }
  })().catch(() => {});
  await live(48);
  end.abort();
  await watching;
  const place = fixture.providers.indexOf(worst);
  assert.equal((await counts())[place], 0);
  assert.deepEqual(told.sort(), [
    ...Array.from({ length: held[place]! - 3 }, () => " was moved to "),
    ...Array.from({ length: 3 }, () => " was rebuilt at "),
  ]);
  for (const { shards, record } of await healths()) {
    assert.ok(shards.every(({ state }) => state === "proven"), JSON.stringify(shards));
    assert.equal(new Set(shards.map(({ provider }) => provider)).size, 6);
    assert.deepEqual(record.warnings, []);
  }
  await assertReadable();
});

test("a provider that lied about two shards keeps the others", async (t) => {
  const { fixture, worst, counts, live, assertReadable, held } = await kept(t);
  const place = fixture.providers.indexOf(worst);
  lieAbout(worst, 2);
  await live(48);
  assert.ok((await counts())[place]! >= held[place]! - 2);
  await assertReadable();
});

test("an outage with as many failed audits moves nothing", async (t) => {
  const { fixture, worst, healths, counts, live, assertReadable, held } = await kept(t);
  worst.down = true;
  for (const { record } of await healths()) {
    const { shards } = await fixture.files.audit({ id: record.id }, fixture.ctx());
    assert.ok(shards.every(({ provider, state }) => state === (provider === worst.target ? "suspect" : "proven")));
  }
  worst.down = false;
  await live(48);
  assert.deepEqual(await counts(), held);
  await assertReadable();
});

test("without a better provider shards stay where they are, and the health of their files warns", async (t) => {
  const { fixture, worst, healths, counts, live, assertReadable } = await kept(t, { count: 6 });
  lieAbout(worst, 3);
  await live(48);
  assert.equal((await counts())[fixture.providers.indexOf(worst)], 2);
  const warned = (await healths()).filter(({ record }) =>
    record.warnings.some((warning) => warning.startsWith(`${worst.target} lost shards or gave wrong bytes`))
  );
  assert.equal(warned.length, 2);
  await assertReadable();
});

test("a shard stays where it is until another node has proven it, and one that gives a wrong proof is passed over", async (t) => {
  const preferred: Provider[] = [];
  const { fixture, worst, healths, counts, live, auditAll, assertReadable } = await kept(t, {
    late: 2,
    offer: (provider) => ({ score: preferred.includes(provider) ? 1 : 0 }),
  });
  const { providers } = fixture;
  const bad = providers.at(-1)!;
  preferred.push(bad);
  const wrong = lieAbout(worst, 3);
  await auditAll();
  const refused = new Set<ShardId>();
  bend(bad, () => ({
    prove: (id) => {
      refused.add(id);
      return Promise.reject(new NodeError("data_corrupt", "Other bytes"));
    },
  }));
  await live(48);
  assert.ok([...refused].some((id) => !wrong.has(id)), "a move was tried there");
  assert.deepEqual((await counts()).sort(), [0, 0, 5, 5, 5, 5, 5, 5]);
  for (const { shards } of await healths()) assert.ok(shards.every(({ state }) => state === "proven"));
  for (const { shards, target } of [worst, bad]) {
    assert.equal((await shards.usage(fixture.ctx())).shards, 0, `${target} keeps nothing`);
  }
  await assertReadable();
});

/** The provider that has data shards of most files, which are those that are read. */
async function mostRead({ fixture: { providers }, healths }: Awaited<ReturnType<typeof kept>>): Promise<Provider> {
  const read = (await healths()).flatMap(({ shards }) => shards.slice(0, 4));
  const count = ({ target }: Provider) => read.filter(({ provider }) => provider === target).length;
  return providers.reduce((most, provider) => count(provider) > count(most) ? provider : most);
}

/** Has a provider give wrong bytes, also for proofs if so wanted, of so many shards: those that are read first. */
function damage(provider: Provider, { count, proofs }: { readonly count: number; readonly proofs: boolean }): void {
  const wrong = new Set<ShardId>();
  bend(provider, (honest) => ({
    get: async (id, ...args): Promise<ShardBytes> => {
      const { bytes, proof } = await honest.get(id, ...args);
      if (wrong.size < count) wrong.add(id);
      return { bytes: wrong.has(id) ? new Uint8Array(bytes.length) : bytes, proof };
    },
    prove: async (id, ...args) => {
      if (proofs && wrong.has(id)) throw new NodeError("data_corrupt", "Other bytes");
      return await honest.prove(id, ...args);
    },
  }));
}

for (const proofs of [false, true]) {
  const how = proofs ? "and no proofs" : "and right proofs";
  test(`a provider that gives readers wrong bytes ${how} of three shards loses the others`, async (t) => {
    const all = await kept(t);
    const { fixture, time, saved, healths, counts, live, assertReadable } = all;
    const liar = await mostRead(all);
    damage(liar, { count: 3, proofs });
    for (const { id, bytes } of saved) {
      assert.ok((await readAll(fixture, id)).equals(bytes));
      // It is asked last for half a minute.
      time.pass(31_000);
    }
    await live(48);
    assert.equal((await counts())[fixture.providers.indexOf(liar)], 0);
    for (const { shards } of await healths()) assert.ok(shards.every(({ state }) => state === "proven"));
    await assertReadable();
  });
}

test("a shard of which a read and then an audit get wrong bytes is one fault", async (t) => {
  const all = await kept(t);
  const { fixture, time, saved, counts, live, assertReadable } = all;
  const liar = await mostRead(all);
  const place = fixture.providers.indexOf(liar);
  const before = (await counts())[place]!;
  damage(liar, { count: 2, proofs: true });
  for (const { id } of saved) {
    await readAll(fixture, id);
    time.pass(31_000);
  }
  await live(48);
  assert.equal((await counts())[place], before - 2);
  await assertReadable();
});

test("no shard is moved while a lost one is rebuilt, and then those of one file at a time", async (t) => {
  const { fixture, time, worst, saved, counts, auditAll, held } = await kept(t, { settings: { parallel: 8 } });
  const { files, ctx, providers, store, clocks } = fixture;
  const wrong = lieAbout(worst, 3);
  await auditAll();
  let open!: () => void;
  const opened = new Promise<void>((resolve) => open = resolve);
  const begun: string[] = [];
  let moving = 0;
  let mostAtOnce = 0;
  for (const provider of providers) {
    bend(provider, (honest) => ({
      put: async (...args) => {
        const isMove = !wrong.has(args[1].id);
        begun.push(isMove ? "move" : "rebuild");
        if (isMove) mostAtOnce = Math.max(mostAtOnce, ++moving);
        else await opened;
        return await honest.put(...args).finally(() => isMove && moving--);
      },
    }));
  }
  const all = await store.getMany(saved.map(({ id }) => id));
  const lacking = all.filter((file) => file!.shards.some(({ state }) => state === "lost"));
  const repairing = lacking.map((file) => files.repair({ id: file!.id }, ctx()));
  while (begun.length < 3) await new Promise((resolve) => setImmediate(resolve));
  time.pass(7 * HOUR);
  const looking = files.look();
  // Two files are done, and their shards wait to be moved.
  const isDone = async () => {
    const all = await store.getMany(saved.map(({ id }) => id));
    return all.filter((file) => file!.dueAt > clocks.steady.now()).length === 2;
  };
  while (!await isDone()) await new Promise((resolve) => setImmediate(resolve));
  for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(begun, ["rebuild", "rebuild", "rebuild"]);
  open();
  await Promise.all([...repairing, looking]);
  const place = providers.indexOf(worst);
  assert.equal((await counts())[place], 0);
  assert.deepEqual(begun.slice(3), Array.from({ length: held[place]! - 3 }, () => "move"));
  assert.equal(mostAtOnce, 1);
});

for (const restarts of [false, true]) {
  const when = restarts ? "at the start after it" : "at the next look";
  test(`files that were audited just before their provider became avoided move ${when}, and not with their next audit`, async (t) => {
    const { fixture, worst, healths, counts, auditAll, assertReadable, held } = await kept(t);
    const place = fixture.providers.indexOf(worst);
    lieAbout(worst, 3);
    await auditAll();
    assert.equal((await counts())[place], held[place]);
    if (restarts) {
      await fixture.files.close();
      fixture.files = fixture.open();
    }
    await fixture.files.look();
    const left = (await healths()).flatMap(({ shards }) => shards.filter(({ provider }) => provider === worst.target));
    assert.deepEqual(left.map(({ state }) => state), ["lost", "lost", "lost"], "those wait for the next audit");
    await assertReadable();
  });
}

test("a file that was being put while a provider became avoided leaves it at the next look", async (t) => {
  const preferred: Provider[] = [];
  const { fixture, saved, worst, auditAll, assertReadable } = await kept(t, {
    offer: (provider) => ({ score: preferred.includes(provider) ? 1 : 0 }),
  });
  const { files, ctx } = fixture;
  preferred.push(worst);
  let open!: () => void;
  const opened = new Promise<void>((resolve) => open = resolve);
  bend(worst, (honest) => ({
    put: async (...args) => {
      await opened;
      return await honest.put(...args);
    },
  }));
  const bytes = randomBytes(20_000);
  const { id } = await files.put(once(bytes), { name: "last", contentType: "" }, ctx());
  lieAbout(worst, 3);
  await auditAll();
  await files.look();
  open();
  const before = await settled(fixture, id);
  assert.ok(before.shards.some(({ provider, state }) => provider === worst.target && state === "stored"));
  saved.push({ id, bytes });
  await files.look();
  const { shards } = await files.health({ id }, ctx());
  assert.ok(shards.every(({ provider, state }) => provider !== worst.target && state === "proven"));
  await assertReadable();
});

test("faults are remembered over a restart, and shards move after it", async (t) => {
  const { fixture, worst, healths, counts, live, auditAll, assertReadable, held } = await kept(t);
  const place = fixture.providers.indexOf(worst);
  lieAbout(worst, 3);
  await auditAll();
  assert.equal((await counts())[place], held[place], "nothing has moved yet");
  await fixture.files.close();
  fixture.files = fixture.open();
  await live(12);
  assert.equal((await counts())[place], 0);
  for (const { shards } of await healths()) assert.ok(shards.every(({ state }) => state === "proven"));
  await assertReadable();
});

test("a restart in the middle of a move leaves no shard behind, and the move happens after it", async (t) => {
  const { fixture, worst, counts, live, auditAll, assertReadable } = await kept(t);
  const { providers, ctx } = fixture;
  const wrong = lieAbout(worst, 3);
  await auditAll();
  let came!: () => void;
  const coming = new Promise<void>((resolve) => came = resolve);
  for (const provider of providers) {
    bend(provider, (honest) => ({
      put: async (...args) => {
        const receipt = await honest.put(...args);
        if (wrong.has(args[1].id) || fixture.files !== first) return receipt;
        came();
        throw new NodeError("target_unreachable", "The answer was lost");
      },
    }));
  }
  const first = fixture.files;
  const living = live(9);
  await coming;
  await first.close();
  await living;
  fixture.files = fixture.open();
  await live(24);
  assert.equal((await counts())[providers.indexOf(worst)], 0);
  const usages = await Promise.all(providers.map(({ shards }) => shards.usage(ctx())));
  assert.equal(usages.reduce((sum, { shards }) => sum + shards, 0), 30);
  await assertReadable();
});

for (const [dataShards, parityShards] of [[1, 0], [4, 0]] as const) {
  test(`a file of ${dataShards}+${parityShards} shards stays at a provider that is avoided, and its health warns`, async (t) => {
    const preferred: Provider[] = [];
    const { fixture, put, worst, counts, live, auditAll, assertReadable } = await kept(t, {
      offer: (provider) => ({ score: preferred.includes(provider) ? 1 : 0 }),
    });
    preferred.push(worst);
    const id = await put({ name: "bare", policy: { dataShards, parityShards } });
    lieAbout(worst, 3);
    await auditAll();
    await live(48);
    assert.equal((await counts())[fixture.providers.indexOf(worst)], 1);
    const { record, shards } = await fixture.files.health({ id }, fixture.ctx());
    assert.ok(shards.some(({ provider, state }) => provider === worst.target && state === "proven"));
    assert.match(record.warnings.join(), /^\S+ lost shards or gave wrong bytes: a file without parity cannot be moved/);
    await assertReadable();
  });
}

test("copies leave providers that are avoided, also when both are at such ones", async (t) => {
  const preferred: Provider[] = [];
  const { fixture, put, counts, healths, live, auditAll, assertReadable, held } = await kept(t, {
    offer: (provider) => ({ score: preferred.includes(provider) ? 1 : 0 }),
  });
  const { providers } = fixture;
  const [first, second] = providers.map((_, place) => place).sort((a, b) => held[b]! - held[a]!);
  preferred.push(providers[first!]!, providers[second!]!);
  const liars = [...preferred];
  const two = await put({ name: "two", policy: { dataShards: 1, parityShards: 1 } });
  await put({ name: "three", policy: { dataShards: 1, parityShards: 2 } });
  const { shards } = await fixture.files.health({ id: two }, fixture.ctx());
  assert.deepEqual(shards.map(({ provider }) => provider).sort(), liars.map(({ target }) => target).sort());
  for (const liar of liars) lieAbout(liar, 3);
  await auditAll();
  await live(48);
  const after = await counts();
  assert.deepEqual([first, second].map((place) => after[place!]), [0, 0]);
  for (const { shards } of await healths()) {
    assert.ok(shards.every(({ state }) => state === "proven"));
    assert.equal(new Set(shards.map(({ provider }) => provider)).size, shards.length);
  }
  await assertReadable();
});
