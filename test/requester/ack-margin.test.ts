import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { ShardService } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { once, readAll, settled, type Swarm, swarm } from "./file-swarm.ts";

const [DATA, PARITY] = [4, 2];

/** Providers that take a shard and do not say that they have it. Returns what lets them speak. */
function hold(providers: Swarm["providers"]): () => void {
  let release!: () => void;
  const held = new Promise<void>((resolve) => release = resolve);
  for (const provider of providers) {
    const honest = provider.shards;
    provider.shards = new Proxy(honest, {
      get: (target, method: keyof ShardService) =>
        method !== "put"
          ? (target[method] as (...all: unknown[]) => unknown).bind(target)
          : async (...args: Parameters<ShardService["put"]>) => {
            const receipt = await target.put(...args);
            await held;
            return receipt;
          },
    });
  }
  return release;
}

async function storedShards({ providers, ctx }: Swarm): Promise<number> {
  return (await Promise.all(providers.map(async ({ shards }) => (await shards.usage(ctx())).shards)))
    .reduce((sum, count) => sum + count, 0);
}

for (const ackMargin of [0, 1, PARITY, PARITY + 1, 32]) {
  const free = PARITY - Math.min(ackMargin, PARITY);
  test(`with files.ackMargin ${ackMargin} a put of ${DATA}+${PARITY} returns without ${free} shards, and not without one more`, async (t) => {
    const fixture = await swarm(t, { count: 6, settings: { ackMargin, stallMs: 60_000 } });
    const { files, ctx, providers } = fixture;
    const put = (name: string) => files.put(once(randomBytes(50_000)), { name, contentType: "" }, ctx());
    const releaseFew = hold(providers.slice(0, free));
    const early = await put("early");
    assert.equal(early.state, free === 0 ? "replicated" : "stored");
    assert.equal(early.healthyShards, DATA + PARITY - free);
    releaseFew();
    await settled(fixture, early.id);

    const before = await storedShards(fixture);
    const release = hold(providers.slice(0, free + 1));
    let answered = false;
    const late = put("late").then((record) => (answered = true, record));
    while (await storedShards(fixture) < before + DATA + PARITY) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(answered, false);
    release();
    const { id } = await late;
    assert.equal((await settled(fixture, id)).margin, PARITY);
    assert.equal((await readAll(fixture, id)).length, 50_000);
  });
}
