import assert from "node:assert/strict";
import { readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type ErrorCode,
  NodeError,
  type NodeId,
  noMetrics,
  type PluginCall,
  type PluginOutcome,
  silentLog,
} from "../../src/core/mod.ts";
import { MODULE_OVERHEAD_BYTES, ModuleCache, type ModuleCacheOptions } from "../../src/plugins/module-cache.ts";
import { moduleSha256 } from "../../src/plugins/prepare-module.ts";
import type { WasmPlugin } from "../../src/plugins/wasm-plugin.ts";
import { test, type TestScope } from "../testing.ts";
import { openHost, scratchFolder, wasm } from "./host-fixture.ts";

const SELF = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" as NodeId;
const ALICE = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359" as NodeId;
const BOB = "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB" as NodeId;

const CONTRACT = wasm("testing/contract");

/** A valid module of its own for each name. */
function moduleNamed(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  return Uint8Array.from([...CONTRACT, 0, text.length + 1, text.length, ...text]);
}

/** What a module of {@link moduleNamed} with a name of one letter takes. */
const COST = moduleNamed("a").length + MODULE_OVERHEAD_BYTES;

/** Runs of plugins that end when they are told to. */
class Runs {
  closed = 0;
  loaded = 0;
  readonly #ends: ((outcome: PluginOutcome) => void)[] = [];

  readonly load: ModuleCacheOptions["load"] = () => {
    this.loaded++;
    return {
      execute: () => new Promise<PluginOutcome>((resolve) => this.#ends.push(resolve)),
      close: () => this.closed++,
    } as unknown as WasmPlugin;
  };

  end(): void {
    const usage = { wallMicros: 1, inputBytes: 0, outputBytes: 0, instructions: 1 };
    for (const end of this.#ends.splice(0)) end({ output: new Uint8Array(0), contentType: "", usage });
  }

  get count(): number {
    return this.#ends.length;
  }
}

async function open(t: TestScope, options: Partial<ModuleCacheOptions> = {}) {
  const runs = new Runs();
  let now = 1_000_000;
  const settings = {
    folder: await scratchFolder(t),
    maxBytes: 3 * COST,
    bytesPerRequester: 2 * COST,
    self: SELF,
    load: runs.load,
    clock: { now: () => now++ },
    log: silentLog,
    metrics: noMetrics,
    ...options,
  };
  const cache = await ModuleCache.open(settings);
  t.after(() => cache.close());
  const add = async (name: string, requester: NodeId = ALICE) => (await cache.add(moduleNamed(name), requester)).sha256;
  return { cache, runs, settings, add, tick: (ms: number) => now += ms };
}

const call = { input: new Uint8Array(0), requester: ALICE } as unknown as PluginCall;
const has = (cache: ModuleCache, ...hashes: string[]) => hashes.map((sha256) => cache.get(sha256) !== undefined);
const code = (expected: ErrorCode) => (error: unknown) => error instanceof NodeError && error.code === expected;
const untilRuns = async (runs: Runs, count: number) => {
  while (runs.count < count) await new Promise((resolve) => setTimeout(resolve, 5));
};

test("add() keeps a module by its hash, and the same again changes nothing", async (t) => {
  const { cache, settings, runs } = await open(t);
  const bytes = moduleNamed("a");
  const module = await cache.add(bytes, ALICE);
  assert.equal(module.sha256, moduleSha256(bytes));
  assert.equal(module.sizeBytes, bytes.length);
  assert.ok(module.functions.length > 0);
  assert.equal((await cache.add(bytes, BOB)).requester, ALICE);
  assert.deepEqual(await cache.read(module.sha256), Buffer.from(bytes));
  assert.deepEqual(readdirSync(settings.folder).sort(), [`${module.sha256}.json`, `${module.sha256}.wasm`]);
  assert.equal(runs.loaded, 1);
});

test("a module that cannot run is refused with the reason, and leaves nothing", async (t) => {
  const { cache, settings } = await open(t);
  await assert.rejects(cache.add(new TextEncoder().encode("no module"), ALICE), code("module_invalid"));
  assert.deepEqual(readdirSync(settings.folder), []);
});

test("over the cache's size those that were not used for longest make room", async (t) => {
  const { cache, add } = await open(t);
  const [a, b, c] = [await add("a"), await add("b", BOB), await add("c", BOB)];
  cache.use(a);
  const d = await add("d");
  assert.deepEqual(has(cache, a, b, c, d), [true, false, true, true]);
  assert.deepEqual(cache.list().map(({ sha256 }) => sha256), [c, a, d]);
});

test("over a requester's quota its own modules make room, and the node itself has the whole cache", async (t) => {
  const { cache, add } = await open(t, { maxBytes: 4 * COST });
  const other = await add("o", BOB);
  const [a, b, c] = [await add("a"), await add("b"), await add("c")];
  assert.deepEqual(has(cache, other, a, b, c), [true, false, true, true]);
  const own = [await add("d", SELF), await add("e", SELF), await add("f", SELF)];
  assert.deepEqual(has(cache, ...own), [true, true, true]);
});

test("a module at its quota fits, and one byte over it never does", async (t) => {
  const { cache } = await open(t, { bytesPerRequester: COST });
  cache.checkRoom(COST - MODULE_OVERHEAD_BYTES, ALICE);
  assert.throws(
    () => cache.checkRoom(COST - MODULE_OVERHEAD_BYTES + 1, ALICE),
    (error: unknown) =>
      error instanceof NodeError && error.code === "storage_full" && !error.retryable &&
      error.data["setting"] === "plugins.moduleBytesPerRequester",
  );
  cache.checkRoom(3 * COST - MODULE_OVERHEAD_BYTES, SELF);
  assert.throws(() => cache.checkRoom(3 * COST - MODULE_OVERHEAD_BYTES + 1, SELF), code("storage_full"));
});

test("a module that a task runs neither makes room nor can be removed", async (t) => {
  const { cache, add, runs } = await open(t);
  const [a, b] = [await add("a"), await add("b")];
  const running = [cache.execute(a, call, "echo"), cache.execute(b, call, "echo")];
  await untilRuns(runs, 2);
  assert.deepEqual(cache.list().map((module) => module.running), [1, 1]);
  await assert.rejects(
    add("c"),
    (error: unknown) => error instanceof NodeError && error.code === "storage_full" && error.retryable,
  );
  await assert.rejects(cache.remove(a), code("failed_precondition"));
  assert.deepEqual(has(cache, a, b), [true, true]);
  runs.end();
  await Promise.all(running);
  const c = await add("c");
  assert.deepEqual(has(cache, a, b, c), [false, true, true]);
  await assert.rejects(
    cache.execute(a, call, "echo"),
    (error: unknown) =>
      error instanceof NodeError && error.code === "plugin_not_found" && /upload it again/.test(error.message),
  );
  await cache.remove(b);
  assert.deepEqual(has(cache, b, c), [false, true]);
});

test("a module that a task waits for neither makes room nor can be removed, until all have let go", async (t) => {
  const { cache, add } = await open(t);
  const [a, b] = [await add("a"), await add("b")];
  const letGo = [cache.keep(a)!, cache.keep(a)!];
  assert.equal(cache.keep("0".repeat(64)), undefined);
  const c = await add("c");
  assert.deepEqual(has(cache, a, b, c), [true, false, true], "the older one stays since tasks wait for it");
  letGo.pop()!();
  const other = cache.keep(c)!;
  await assert.rejects(add("d"), { code: "storage_full", retryable: true, message: /tasks run or wait for/ });
  await assert.rejects(cache.remove(a), {
    code: "failed_precondition",
    message: /1 tasks run the module .* or wait to/,
  });
  other();
  letGo.pop()!();
  await cache.remove(a);
  assert.deepEqual(has(cache, a, c), [false, true]);
});

test("modules and the order of their use survive a restart; they are compiled when they are needed", async (t) => {
  const { cache, settings, add, tick } = await open(t);
  const [a, b] = [await add("a"), await add("b", BOB)];
  tick(120_000);
  cache.use(a);
  await cache.close();

  const runs = new Runs();
  const again = await ModuleCache.open({ ...settings, load: runs.load });
  t.after(() => again.close());
  assert.deepEqual(again.list().map(({ sha256, requester }) => [sha256, requester]), [[b, BOB], [a, ALICE]]);
  assert.equal(runs.loaded, 0);
  const running = [again.execute(a, call, "echo"), again.execute(a, call, "echo")];
  await untilRuns(runs, 2);
  assert.equal(runs.loaded, 1);
  runs.end();
  await Promise.all(running);

  const smaller = await ModuleCache.open({ ...settings, maxBytes: COST });
  t.after(() => smaller.close());
  assert.equal(smaller.list().length, 1);
});

test("what a crash or damage left is removed, so that it can be uploaded again", async (t) => {
  const { cache, settings, add } = await open(t, { bytesPerRequester: 9 * COST, maxBytes: 9 * COST });
  const [whole, bare, short, odd, changed] = [
    await add("a"),
    await add("b"),
    await add("c"),
    await add("d"),
    await add("e"),
  ];
  await cache.close();
  const file = (sha256: string, kind: string) => join(settings.folder, `${sha256}.${kind}`);
  rmSync(file(bare, "json"));
  truncateSync(file(short, "wasm"), 10);
  writeFileSync(file(odd, "json"), "{");
  const bytes = moduleNamed("e");
  bytes[bytes.length - 1] = 0x66;
  writeFileSync(file(changed, "wasm"), bytes);

  const again = await ModuleCache.open(settings);
  t.after(() => again.close());
  assert.deepEqual(has(again, whole, bare, short, odd, changed), [true, false, false, false, true]);
  // Only its hash tells, when it is needed.
  await assert.rejects(again.read(changed), code("plugin_not_found"));
  await assert.rejects(again.execute(changed, call, "echo"), code("plugin_not_found"));
  assert.deepEqual(readdirSync(settings.folder).sort(), [`${whole}.json`, `${whole}.wasm`]);
  assert.equal((await again.add(moduleNamed("e"), ALICE)).sha256, changed);
});

test("the host runs brought modules for those who may, and what the operator installed or disabled comes first", async (t) => {
  const folder = await scratchFolder(t);
  let accepts = true;
  const host = await openHost(t, {
    brought: { folder, maxBytes: 9 * COST, bytesPerRequester: 9 * COST, self: SELF, accepts: () => accepts },
  });
  const { sha256 } = await host.modules!.add(moduleNamed("a"), ALICE);
  const resolved = host.resolve(sha256.toUpperCase(), "echo", ALICE);
  assert.equal(resolved.sha256, sha256);
  const limits = { timeoutMs: 10_000, memoryBytes: 64 << 20, outputBytes: 1 << 20, instructions: 1e9 };
  const { signal } = new AbortController();
  const echo = { plugin: sha256, function: "echo", input: new Uint8Array([1, 2]), contentType: "", limits, signal };
  const { output, usage } = await host.execute({ ...echo, requester: BOB });
  assert.deepEqual([...output], [1, 2]);
  assert.ok(usage.instructions > 0);
  assert.throws(() => host.resolve(sha256, "absent", ALICE), code("function_not_found"));
  assert.ok(!host.list().some((plugin) => plugin.sha256 === sha256));

  accepts = false;
  assert.throws(() => host.resolve(sha256, "echo", ALICE), code("plugin_not_found"));
  assert.equal(host.resolve(sha256, "echo", SELF).sha256, sha256);
  accepts = true;
  await host.installBytes(moduleNamed("a"));
  await host.setEnabled(sha256, false);
  assert.throws(
    () => host.resolve(sha256, "echo", ALICE),
    (error: unknown) => error instanceof NodeError && /does not take calls here: It is disabled/.test(error.message),
  );
});
