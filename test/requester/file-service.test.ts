import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { CallContext, NodeError, PutShardOrder, ShardService } from "../../src/core/mod.ts";
import { fileServiceContract } from "../contract-suites/file-service.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import { test } from "../testing.ts";
import { once, readAll, settled, swarm } from "./file-swarm.ts";

fileServiceContract("the file requester", (t) => swarm(t));
fileServiceContract("files in memory", () => {
  const never = new AbortController().signal;
  return Promise.resolve({
    files: new MemoryFiles(),
    ctx: (signal = never) => ({ requester: "anonymous" as const, signal, requestId: "r1" }),
  });
});

test("a file is read while two of its providers are down or lie, and not when three are", async (t) => {
  const fixture = await swarm(t);
  const { files, ctx, providers } = fixture;
  const bytes = randomBytes(2_000_000);
  const { id } = await files.put(once(bytes), { name: "a", contentType: "" }, ctx());
  const { shards } = await settled(fixture, id);
  const holder = (index: number) => providers.find(({ target }) => target === shards[index]!.provider)!;
  holder(0).down = true;
  assert.ok((await readAll(fixture, id)).equals(bytes));
  const liar = holder(1);
  const honest = liar.shards;
  liar.shards = new Proxy(honest, {
    get: (target, method: keyof ShardService) =>
      method === "get"
        ? async (...args: Parameters<ShardService["get"]>) => {
          const piece = await target.get(...args);
          return { ...piece, bytes: piece.bytes.map((byte) => byte ^ 1) };
        }
        : (target[method] as (...all: unknown[]) => unknown).bind(target),
  });
  assert.ok((await readAll(fixture, id)).equals(bytes));
  holder(2).down = true;
  await assert.rejects(readAll(fixture, id), { code: "shards_missing" });
  holder(2).down = false;
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

for (
  const [dataShards, parityShards] of [[1, 0], [1, 1], [1, 4], [2, 1], [10, 0], [10, 4], [10, 10]] as const
) {
  const n = dataShards + parityShards;
  test(`a file of ${dataShards}+${parityShards} is read with ${parityShards} of ${n} providers gone, repaired, and read again`, async (t) => {
    const fixture = await swarm(t, { count: n + parityShards });
    const { files, ctx, providers } = fixture;
    const bytes = randomBytes(700_001);
    const policy = { dataShards, parityShards };
    const { id, warnings } = await files.put(once(bytes), { name: "a", contentType: "", policy }, ctx());
    assert.deepEqual(warnings, []);
    const { shards } = await settled(fixture, id);
    assert.equal(new Set(shards.map(({ provider }) => provider)).size, n);
    for (const { provider } of shards.slice(0, parityShards)) {
      providers.find(({ target }) => target === provider)!.down = true;
    }
    assert.ok((await readAll(fixture, id)).equals(bytes));
    const after = await files.repair({ id }, ctx());
    assert.equal(after.margin, parityShards, JSON.stringify(after.shards));
    for (const { provider } of after.shards.slice(dataShards)) {
      providers.find(({ target }) => target === provider)!.down = true;
    }
    assert.ok((await readAll(fixture, id)).equals(bytes));
  });
}

test("a provider that takes a whole shard and never answers is passed by", async (t) => {
  const fixture = await swarm(t, { settings: { stallMs: 2000 } });
  const { files, ctx, providers } = fixture;
  // The one that is asked first.
  let bad: string | undefined;
  for (const provider of providers) {
    provider.shards = new Proxy(provider.shards, {
      get: (target, method: keyof ShardService) =>
        method === "put"
          ? async (source: AsyncIterable<Uint8Array>, ...rest: [PutShardOrder, CallContext]) => {
            bad ??= provider.target;
            if (bad !== provider.target) return await target.put(source, ...rest);
            for await (const _piece of source);
            return await new Promise<never>(() => {});
          }
          : (target[method] as (...all: unknown[]) => unknown).bind(target),
    });
  }
  const bytes = randomBytes(1_000_000);
  const { id } = await files.put(once(bytes), { name: "a", contentType: "" }, ctx());
  for (;;) {
    const { shards } = await files.health({ id }, ctx());
    if (shards.every(({ state, provider }) => state === "stored" && provider !== bad)) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.notEqual(bad, undefined);
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("repair moves lost shards to other providers, and the file outlives further losses", async (t) => {
  const fixture = await swarm(t);
  const { files, ctx, providers } = fixture;
  const bytes = randomBytes(1_000_000);
  const { id } = await files.put(once(bytes), { name: "a", contentType: "" }, ctx());
  const before = await settled(fixture, id);
  const lost = providers.filter(({ target }) => before.shards.slice(0, 2).some(({ provider }) => provider === target));
  for (const provider of lost) provider.down = true;
  const after = await files.repair({ id }, ctx());
  assert.equal(after.margin, 2, JSON.stringify(after.shards));
  for (const { target } of lost) assert.ok(after.shards.every(({ provider }) => provider !== target));
  for (const provider of providers) {
    if (after.shards.slice(2, 4).some(({ provider: target }) => provider.target === target)) provider.down = true;
  }
  assert.ok((await readAll(fixture, id)).equals(bytes));
});

test("a manifest is exported, and refused where its file is, or when it was changed", async (t) => {
  const fixture = await swarm(t);
  const { files, ctx } = fixture;
  const bytes = randomBytes(100_000);
  const { id } = await files.put(once(bytes), { name: "a", contentType: "x/y" }, ctx());
  await settled(fixture, id);
  const manifest = await files.exportManifest({ id }, ctx());
  await assert.rejects(files.importManifest(manifest, ctx()), { code: "already_exists" });
  await assert.rejects(files.importManifest(manifest.map((byte) => byte ^ 1), ctx()));
});

test("with too few providers a put says how many are missing", async (t) => {
  const { files, ctx } = await swarm(t, { count: 4 });
  await assert.rejects(
    files.put(once(randomBytes(1)), { name: "a", contentType: "" }, ctx()),
    (error: NodeError) => {
      assert.equal(error.code, "shards_missing");
      assert.deepEqual([error.data["needed"], error.data["found"], error.data["missing"]], [6, 4, 2]);
      return true;
    },
  );
});
