// Providers that do well for 99 % of a shard, and then nothing, or half of what was asked for.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { CallContext, PutShardOrder, ShardService } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { once, type Provider, readAll, settled, swarm } from "./file-swarm.ts";

const never = new Promise<never>(() => {});

/** Has a provider do one call otherwise. */
function change<M extends keyof ShardService>(provider: Provider, method: M, otherwise: ShardService[M]): void {
  provider.shards = new Proxy(provider.shards, {
    get: (target, name: keyof ShardService) =>
      name === method ? otherwise : (target[name] as (...all: unknown[]) => unknown).bind(target),
  });
}

/** What the first provider that is asked to keep a shard takes of it. */
interface Taken {
  target: string;
  bytes: number;
  ofBytes: number;
}

for (const [name, fileBytes] of [["that can be sent again", 1_000_000], ["too long to be kept", 16_000_000]] as const) {
  test(`a put passes by a provider that stalls at 99 % of a shard ${name}`, async (t) => {
    const fixture = await swarm(t, { count: 7, settings: { stallMs: 1000 } });
    const { files, ctx, providers } = fixture;
    let taken: Taken | undefined;
    for (const provider of providers) {
      const honest = provider.shards;
      change(provider, "put", async (source: AsyncIterable<Uint8Array>, order: PutShardOrder, call: CallContext) => {
        taken ??= { target: provider.target, bytes: 0, ofBytes: order.maxBytes };
        if (taken.target !== provider.target) return await honest.put(source, order, call);
        for await (const piece of source) {
          taken.bytes += piece.length;
          if (taken.bytes >= 0.99 * order.maxBytes) break;
        }
        return await never;
      });
    }
    const bytes = randomBytes(fileBytes);
    const { id } = await files.put(once(bytes), { name: "a", contentType: "", sizeBytes: fileBytes }, ctx());
    assert.ok((await readAll(fixture, id)).equals(bytes));
    await settled(fixture, id);
    const { shards, margin } = await files.repair({ id }, ctx());
    assert.equal(margin, 2, JSON.stringify(shards));
    assert.ok(taken!.bytes >= 0.99 * taken!.ofBytes, JSON.stringify(taken));
    assert.ok(shards.every(({ provider }) => provider !== taken!.target), JSON.stringify(shards));
  });
}

const LIES = {
  "stall": () => never,
  "give half of what was asked for": async (
    get: ShardService["get"],
    ...[id, { start, end }, call]: Parameters<ShardService["get"]>
  ) => await get(id, { start, end: Math.max(start + 1024, end - 32_768) }, call),
} as const;

for (const [what, lie] of Object.entries(LIES)) {
  test(`a get is not kept by two providers that ${what} at 99 % of their shards`, async (t) => {
    const fixture = await swarm(t, { settings: { stallMs: 2000 } });
    const { files, ctx, providers } = fixture;
    const bytes = randomBytes(16_000_000);
    const { id } = await files.put(once(bytes), { name: "a", contentType: "" }, ctx());
    const { shards } = await settled(fixture, id);
    const shardBytes = (bytes.length / 4) * 1.002;
    const asked = new Set<string>();
    for (const { provider: target } of shards.slice(0, 2)) {
      const provider = providers.find((one) => one.target === target)!;
      const honest = provider.shards;
      change(provider, "get", async (...args) => {
        if (args[1].end < 0.98 * shardBytes) return await honest.get(...args);
        asked.add(target);
        return await lie(honest.get.bind(honest), ...args);
      });
    }
    assert.ok((await readAll(fixture, id)).equals(bytes));
    assert.equal(asked.size, 2);
  });
}
