import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { NodeError, type ShardService } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { bend, once, readAll, settled, type Swarm, swarm } from "./file-swarm.ts";

test("with no provider left that has none, a lost shard is rebuilt at one that has least", async (t) => {
  const fixture = await swarm(t, { count: 6 });
  const { files, ctx, providers } = fixture;
  const bytes = randomBytes(1_000_000);
  const { id } = await files.put(once(bytes), { name: "a", contentType: "" }, ctx());
  const before = await settled(fixture, id);
  const [gone, other] = providers;
  gone!.down = true;
  const after = await files.repair({ id }, ctx());
  assert.equal(after.margin, 2, JSON.stringify(after.shards));
  assert.equal(after.record.state, "replicated", JSON.stringify(after.shards));
  assert.deepEqual(after.record.warnings, ["The 6 shards are at only 5 providers"]);
  const held = (target: string) => after.shards.filter(({ provider }) => provider === target).length;
  assert.equal(held(gone!.target), 0);
  assert.deepEqual(providers.slice(1).map(({ target }) => held(target)).sort(), [1, 1, 1, 1, 2]);
  const kept = before.shards.filter(({ provider }) => provider !== gone!.target);
  for (const { index, provider } of kept) assert.equal(after.shards[index]!.provider, provider);
  other!.down = true;
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("a provider that answers and takes nothing does not keep a repair from the others", async (t) => {
  const fixture = await swarm(t, { count: 7 });
  const { files, ctx, providers } = fixture;
  const { id } = await files.put(once(randomBytes(300_000)), { name: "a", contentType: "" }, ctx());
  const { shards } = await settled(fixture, id);
  const spare = providers.find(({ target }) => shards.every(({ provider }) => provider !== target))!;
  const honest = spare.shards;
  spare.shards = new Proxy(honest, {
    get: (target, method: keyof ShardService) =>
      method === "put"
        ? () => Promise.reject(new NodeError("storage_full", "No room"))
        : (target[method] as (...all: unknown[]) => unknown).bind(target),
  });
  providers.find(({ target }) => target === shards[0]!.provider)!.down = true;
  const after = await files.repair({ id }, ctx());
  assert.equal(after.margin, 2, JSON.stringify(after.shards));
  assert.ok(after.shards.every(({ provider }) => provider !== spare.target));
});

test("a repair whose providers take nothing reads no more for them", async (t) => {
  const fixture = await swarm(t, { count: 4 });
  const { files, ctx, providers } = fixture;
  const policy = { dataShards: 2, parityShards: 1 };
  const { id } = await files.put(once(randomBytes(40_000_000)), { name: "a", contentType: "", policy }, ctx());
  const { shards } = await settled(fixture, id);
  let refusals = 0;
  let readBytes = 0;
  for (const provider of providers) {
    bend(provider, (honest) => ({
      put: () => Promise.reject(new NodeError("storage_full", `No room, ${++refusals}`)),
      get: async (...args) => {
        const piece = await honest.get(...args);
        readBytes += piece.bytes.length;
        return piece;
      },
    }));
  }
  providers.find(({ target }) => target === shards[0]!.provider)!.down = true;
  assert.equal((await files.repair({ id }, ctx())).margin, 0);
  assert.ok(refusals > 1 && readBytes < 30_000_000, `${readBytes} bytes were read for ${refusals} tries`);
});

test("what a repair left at a provider whose answer it did not get is freed with the file", async (t) => {
  const fixture = await swarm(t, { count: 8 });
  const { files, ctx, providers } = fixture;
  const { id } = await files.put(once(randomBytes(300_000)), { name: "a", contentType: "" }, ctx());
  const { shards } = await settled(fixture, id);
  const spares = providers.filter(({ target }) => shards.every(({ provider }) => provider !== target));
  let lost = 0;
  for (const spare of spares) {
    const honest = spare.shards;
    spare.shards = new Proxy(honest, {
      get: (target, method: keyof ShardService) =>
        method !== "put"
          ? (target[method] as (...all: unknown[]) => unknown).bind(target)
          : async (...all: Parameters<ShardService["put"]>) => {
            const receipt = await honest.put(...all);
            if (++lost === 1) throw new NodeError("target_unreachable", "The answer was lost");
            return receipt;
          },
    });
  }
  const gone = providers.find(({ target }) => target === shards[0]!.provider)!;
  gone.down = true;
  const after = await files.repair({ id }, ctx());
  assert.equal(after.margin, 2, JSON.stringify(after.shards));
  const held = async () => {
    const usages = await Promise.all(spares.map(({ shards }) => shards.usage(ctx())));
    return usages.reduce((sum, usage) => sum + usage.shards, 0);
  };
  assert.deepEqual([lost, await held()], [2, 2], "one shard is known, and one is not");
  gone.down = false;
  await files.remove({ id }, ctx());
  const until = performance.now() + 60_000;
  while (await held() > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(await held(), 0);
});

test("a repair that is under way when its file is removed leaves nothing at its provider", async (t) => {
  const fixture = await swarm(t, { count: 7 });
  const { files, ctx, providers, store } = fixture;
  const { id } = await files.put(once(randomBytes(300_000)), { name: "a", contentType: "" }, ctx());
  const { shards } = await settled(fixture, id);
  const spare = providers.find(({ target }) => shards.every(({ provider }) => provider !== target))!;
  const honest = spare.shards;
  let began!: () => void;
  const beginning = new Promise<void>((resolve) => began = resolve);
  let go!: () => void;
  const held = new Promise<void>((resolve) => go = resolve);
  let answered: Promise<unknown> = Promise.resolve();
  // The put is on its way, and has not come yet.
  spare.shards = new Proxy(honest, {
    get: (target, method: keyof ShardService) =>
      method !== "put"
        ? (target[method] as (...all: unknown[]) => unknown).bind(target)
        : (...all: Parameters<ShardService["put"]>) => {
          began();
          const put = held.then(() => honest.put(...all));
          answered = put.catch(() => {});
          return put;
        },
  });
  providers.find(({ target }) => target === shards[0]!.provider)!.down = true;
  const repairing = files.repair({ id }, ctx()).catch(() => {});
  await beginning;
  providers.forEach((provider) => provider.down = false);
  await files.remove({ id }, ctx());
  await files.look();
  go();
  await Promise.all([repairing, answered]);
  await files.look();
  assert.deepEqual(await store.all("", 10), [], "the file is forgotten");
  for (const { shards, target } of providers) {
    assert.equal((await shards.usage(ctx())).shards, 0, `${target} keeps nothing`);
  }
});

test("shards of a put that named its providers are rebuilt at those and no others", async (t) => {
  const fixture = await swarm(t, { count: 8 });
  const { files, ctx, providers } = fixture;
  const bytes = randomBytes(500_000);
  const targets = providers.slice(0, 3).map(({ target }) => target);
  const policy = { dataShards: 2, parityShards: 1 };
  const { id } = await files.put(once(bytes), { name: "a", contentType: "", policy, targets }, ctx());
  const before = await settled(fixture, id);
  const lost = before.shards[1]!.provider;
  providers.find(({ target }) => target === lost)!.down = true;
  const after = await files.repair({ id }, ctx());
  assert.equal(after.margin, 1, JSON.stringify(after.shards));
  for (const { provider } of after.shards) assert.ok(targets.includes(provider) && provider !== lost);
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("a file at a single provider has its lost shards rebuilt there", async (t) => {
  const fixture = await swarm(t, { count: 8 });
  const { files, ctx, providers } = fixture;
  const bytes = randomBytes(500_000);
  const [one] = providers;
  const { id } = await files.put(once(bytes), { name: "a", contentType: "", targets: [one!.target] }, ctx());
  await settled(fixture, id);
  const { shards } = await one!.shards.list({ pageSize: 10, pageToken: "" }, ctx());
  assert.equal(shards.length, 6);
  for (const shard of shards.slice(0, 2)) await one!.shards.remove(shard.id, ctx());
  const after = await files.repair({ id }, ctx());
  assert.equal(after.margin, 2, JSON.stringify(after.shards));
  assert.ok(after.shards.every(({ provider }) => provider === one!.target));
  assert.equal((await one!.shards.list({ pageSize: 10, pageToken: "" }, ctx())).shards.length, 6);
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("a file that was put with fewer nodes than shards is spread out when more come", async (t) => {
  const fixture = await swarm(t, { count: 6, settings: { auditIntervalMs: 1 } });
  const { files, ctx, providers } = fixture;
  const bytes = randomBytes(1_000_000);
  providers.slice(2).forEach((provider) => provider.down = true);
  const { id } = await files.put(once(bytes), { name: "a", contentType: "", allowFewer: true }, ctx());
  const before = await settled(fixture, id);
  assert.equal(new Set(before.shards.map(({ provider }) => provider)).size, 2);
  assert.deepEqual(before.record.warnings, ["The 6 shards are at only 2 providers"]);
  const held = async () =>
    (await Promise.all(providers.map(async ({ shards }) => (await shards.usage(ctx())).shards))).sort();

  await files.look();
  assert.deepEqual(await held(), [0, 0, 0, 0, 3, 3], "nothing is moved while nobody else is there");
  providers[2]!.down = false;
  await lookUntil(fixture, async () => (await held()).join() === "0,0,0,2,2,2");
  providers.forEach((provider) => provider.down = false);
  await lookUntil(fixture, async () => (await held()).join() === "1,1,1,1,1,1");
  const after = await files.audit({ id }, ctx());
  assert.deepEqual(after.record.warnings, []);
  assert.ok(after.shards.every(({ state }) => state === "proven"), JSON.stringify(after.shards));
  providers.slice(0, 2).forEach((provider) => provider.down = true);
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("a file at the one provider that its put named stays there when others come", async (t) => {
  const fixture = await swarm(t, { count: 3, settings: { auditIntervalMs: 1 } });
  const { files, ctx, providers } = fixture;
  const targets = [providers[0]!.target];
  const { id } = await files.put(once(randomBytes(1000)), { name: "a", contentType: "", targets }, ctx());
  await settled(fixture, id);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await files.look();
  const { shards } = await files.health({ id }, ctx());
  assert.ok(shards.every(({ provider }) => provider === targets[0]));
});

/** Has files looked after until a condition holds. */
async function lookUntil({ files }: Swarm, holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    await files.look();
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail("It did not become so");
}
