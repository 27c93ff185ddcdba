import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  newSecretKey,
  NodeError,
  type NodeId,
  nodeKeyOf,
  noMetrics,
  type ShardService,
  silentLog,
  systemClock,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { createFileRequester, DEFAULT_FILE_SETTINGS, type FileRequester } from "../../src/requester/mod.ts";
import { openMemoryShardStore, openMemoryStore } from "../../src/storage/mod.ts";
import { fileServiceContract } from "../contract-suites/file-service.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import { test, type TestScope } from "../testing.ts";

const LIMITS = { maxShardBytes: 2 ** 40, maxLeaseMs: 366 * 86_400_000, graceMs: 3_600_000, uploadTtlMs: 3_600_000 };

/** A provider in this process, and a way to make it misbehave. */
interface Provider {
  readonly target: string;
  readonly nodeId: NodeId;
  shards: ShardService;
  down: boolean;
}

async function swarm(t: TestScope, count = 8) {
  const providers: Provider[] = [];
  for (let i = 0; i < count; i++) {
    const key = nodeKeyOf(newSecretKey());
    const { shards: store, close } = await openMemoryShardStore();
    t.after(close);
    const shards = createShardProvider({
      store,
      key,
      ledger: freeLedger,
      limits: LIMITS,
      clock: systemClock,
      log: silentLog,
      metrics: noMetrics,
    });
    t.after(() => shards.close());
    providers.push({ target: `127.0.0.1:${9000 + i}`, nodeId: key.nodeId, shards, down: false });
  }
  const at = (target: string): Provider => {
    const found = providers.find((provider) => provider.target === target);
    if (found === undefined || found.down) throw new NodeError("target_unreachable", `Cannot reach ${target}`);
    return found;
  };
  /** Reaches the provider as it is when it is called, and not when it was dialled. */
  const dial = (target: string): ShardService =>
    new Proxy({} as ShardService, {
      get: (_, method: keyof ShardService) => async (...args: unknown[]) =>
        await (at(target).shards[method] as (...all: unknown[]) => Promise<unknown>)(...args),
    });
  const self = nodeKeyOf(newSecretKey()).nodeId;
  const store = openMemoryStore();
  const files: FileRequester = createFileRequester({
    store: store.files,
    dial,
    peers: { info: (target) => Promise.resolve().then(() => ({ nodeId: at(target).nodeId }) as never) },
    providers: () => providers.map(({ target }) => ({ target })),
    ledger: freeLedger,
    self,
    keys: { masterKey: randomBytes(32), shareSecret: randomBytes(32), sharePublic: randomBytes(32) },
    settings: { ...DEFAULT_FILE_SETTINGS, stallMs: 5000 },
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
  });
  t.after(() => files.close());
  const never = new AbortController().signal;
  const ctx = (signal = never) => ({ requester: self, signal, requestId: "r1" });
  return { files, ctx, providers };
}

fileServiceContract("the file requester", swarm);
fileServiceContract("files in memory", () => {
  const never = new AbortController().signal;
  return Promise.resolve({
    files: new MemoryFiles(),
    ctx: (signal = never) => ({ requester: "anonymous" as const, signal, requestId: "r1" }),
  });
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function readAll({ files, ctx }: Awaited<ReturnType<typeof swarm>>, id: string): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of (await files.open({ id }, ctx())).read(undefined, ctx().signal)) all.push(piece.slice());
  return Buffer.concat(all);
}

async function settled({ files, ctx }: Awaited<ReturnType<typeof swarm>>, id: string) {
  for (;;) {
    const health = await files.health({ id }, ctx());
    if (health.shards.every(({ state }) => state !== "pending")) return health;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

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
  const { files, ctx } = await swarm(t, 4);
  await assert.rejects(
    files.put(once(randomBytes(1)), { name: "a", contentType: "" }, ctx()),
    (error: NodeError) => {
      assert.equal(error.code, "shards_missing");
      assert.deepEqual([error.data["needed"], error.data["found"], error.data["missing"]], [6, 4, 2]);
      return true;
    },
  );
});
