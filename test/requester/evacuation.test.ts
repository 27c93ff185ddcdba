import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { NodeError, type ShardService } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { FakeTime, once, type Provider, readAll, settled, swarm, type SwarmOptions } from "./file-swarm.ts";

const HOUR = 3_600_000;

/** Five files, and the provider that has shards of most of them: with eight providers and six shards each, of four at least. */
async function kept(t: Parameters<typeof swarm>[0], options: SwarmOptions = {}) {
  const time = new FakeTime();
  const fixture = await swarm(t, { time, ...options });
  const { files, ctx, providers } = fixture;
  const saved: { readonly id: string; readonly bytes: Buffer }[] = [];
  for (let i = 0; i < 5; i++) {
    const bytes = randomBytes(20_000);
    const { id } = await files.put(once(bytes), { name: `f${i}`, contentType: "" }, ctx());
    await settled(fixture, id);
    saved.push({ id, bytes });
  }
  const healths = () => Promise.all(saved.map(({ id }) => files.health({ id }, ctx())));
  const counts = async () => {
    const shards = (await healths()).flatMap((health) => health.shards);
    return providers.map(({ target }) => shards.filter(({ provider }) => provider === target).length);
  };
  const held = await counts();
  const worst = providers[held.indexOf(Math.max(...held))]!;
  const live = async (hours: number) => {
    for (let passed = 0; passed < hours; passed += 3) {
      time.pass(3 * HOUR);
      await files.look();
    }
  };
  const assertReadable = async () => {
    for (const { id, bytes } of saved) assert.ok((await readAll(fixture, id)).equals(bytes));
  };
  return { fixture, worst, healths, counts, live, assertReadable, held };
}

/** Has a provider give wrong proofs of so many shards, those that it is asked for first, and right ones of the others. */
function lieAbout(provider: Provider, count: number): void {
  const honest = provider.shards;
  const wrong = new Set<string>();
  provider.shards = new Proxy(honest, {
    get: (target, method: keyof ShardService) => {
      if (method !== "prove") return (target[method] as (...all: unknown[]) => unknown).bind(target);
      return (...args: Parameters<ShardService["prove"]>) => {
        if (wrong.size < count) wrong.add(args[0]);
        if (wrong.has(args[0])) return Promise.reject(new NodeError("data_corrupt", "Other bytes"));
        return target.prove(...args);
      };
    },
  });
}

test("a provider that lied about three shards loses those that it proves, too, and every file reads back", async (t) => {
  const { fixture, worst, healths, counts, live, assertReadable } = await kept(t);
  lieAbout(worst, 3);
  await live(48);
  assert.equal((await counts())[fixture.providers.indexOf(worst)], 0);
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
