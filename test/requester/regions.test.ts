import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { NodeError, type ShardService } from "../../src/core/mod.ts";
import { test, type TestScope } from "../testing.ts";
import { once, type Provider, readAll, settled, swarm } from "./file-swarm.ts";

const REGIONS = ["eu", "us", "asia"];

/** How many of a file's shards are in each region. */
function counts(shards: readonly { readonly region?: string }[]): readonly number[] {
  return REGIONS.map((region) => shards.filter((shard) => shard.region === region).length);
}

/** Twelve providers, four in each region, of which those whose target is in `favored` have the best name. */
async function open(t: TestScope) {
  const favored = new Set<string>();
  const fixture = await swarm(t, {
    count: 12,
    offer: ({ target }, place) => ({ region: REGIONS[place % 3]!, score: favored.has(target) ? 1 : 0 }),
  });
  return { fixture, favored };
}

function refuse(provider: Provider): void {
  provider.shards = new Proxy(provider.shards, {
    get: (target, method: keyof ShardService) =>
      method === "put"
        ? () => Promise.reject(new NodeError("storage_full", "No room"))
        : (target[method] as (...all: unknown[]) => unknown).bind(target),
  });
}

test("a put spreads its shards evenly over the regions, and so does the repair of lost ones", async (t) => {
  const { fixture, favored } = await open(t);
  const { files, ctx, providers } = fixture;
  const bytes = randomBytes(300_000);
  const { id } = await files.put(once(bytes), { name: "a", contentType: "" }, ctx());
  const { shards } = await settled(fixture, id);
  assert.deepEqual(counts(shards), [2, 2, 2]);
  const has = ({ target }: Provider) => shards.some(({ provider }) => provider === target);
  const of = (region: number) => providers.filter((_, place) => place % 3 === region);
  for (const provider of of(1).filter(has)) provider.down = true;
  // Europe has better ones without a shard, but it has two shards.
  for (const { target } of of(0).filter((provider) => !has(provider))) favored.add(target);
  const after = await files.repair({ id }, ctx());
  assert.equal(after.margin, 2);
  assert.deepEqual(counts(after.shards), [2, 2, 2], JSON.stringify(after.shards));
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("a provider that fails in a put is replaced by one in the region that has least", async (t) => {
  const { fixture, favored } = await open(t);
  const { files, ctx, providers } = fixture;
  // All of Europe's and two of Asia's are asked first, and those two have no room.
  for (const place of [0, 3, 6, 9, 2, 5]) favored.add(providers[place]!.target);
  for (const place of [2, 5]) refuse(providers[place]!);
  const { id } = await files.put(once(randomBytes(300_000)), { name: "a", contentType: "" }, ctx());
  const { shards } = await settled(fixture, id);
  assert.deepEqual(counts(shards), [2, 2, 2], JSON.stringify(shards));
});
