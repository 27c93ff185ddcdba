import assert from "node:assert/strict";
import {
  type CallContext,
  type ModuleInfo,
  newSecretKey,
  NodeError,
  type NodeId,
  nodeKeyOf,
  noMetrics,
  type RequesterId,
  sha256Hex,
  systemClock,
} from "../../src/core/mod.ts";
import { createModuleProvider, type ModuleProviderOptions, type ModuleStore } from "../../src/provider/mod.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { frameOf } from "../../src/rpc/grpc-frame.ts";
import { Authenticator, createRpcServer } from "../../src/rpc/mod.ts";
import type { StreamRoute } from "../../src/rpc/route.ts";
import { moduleRoutes } from "../../src/rpc/services/modules.ts";
import { test, type TestScope } from "../testing.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";
import { grpcStatus, RawClient } from "./harness.ts";
import { COMMON } from "./client-nodes.ts";

const MAX_BYTES = 1 << 20;
const UNAUTHENTICATED = 16;

/** Keeps modules in memory, and takes any bytes for one. */
class MemoryModules implements ModuleStore {
  readonly kept = new Map<string, ModuleInfo & { readonly requester: RequesterId }>();

  use(sha256: string) {
    return this.kept.get(sha256);
  }

  checkRoom(sizeBytes: number) {
    if (sizeBytes === 77) throw new NodeError("storage_full", "No room for 77 bytes");
  }

  add(bytes: Uint8Array, requester: RequesterId) {
    if (bytes[0] === 0xff) return Promise.reject(new NodeError("module_invalid", "It begins with 255"));
    const sha256 = sha256Hex(bytes);
    const module = {
      sha256,
      sizeBytes: bytes.length,
      name: "module",
      version: "0.0.0",
      functions: ["run"],
      requester,
    };
    this.kept.set(sha256, module);
    return Promise.resolve(module);
  }
}

async function serve(t: TestScope, options: Partial<ModuleProviderOptions> = {}) {
  const key = nodeKeyOf(newSecretKey());
  const store = new MemoryModules();
  const modules = createModuleProvider({
    store,
    installed: () => undefined,
    self: key.nodeId,
    accepts: () => true,
    maxBytes: MAX_BYTES,
    timeoutMs: 30_000,
    metrics: noMetrics,
    ...options,
  });
  const server = createRpcServer({
    ...COMMON,
    tasks: new FakeTasks(),
    node: { describe: () => ({ ...fakeNode.describe(), nodeId: key.nodeId }), sign: (message) => key.sign(message) },
    modules,
    authenticator: new Authenticator({ self: key.nodeId, chainId: 0, clock: systemClock }),
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close({ graceMs: 0 }));
  const mine = nodeKeyOf(newSecretKey());
  const peers = createPeers({ requester: mine.nodeId, key: mine });
  t.after(() => peers.close());
  const ctx: CallContext = { requester: mine.nodeId, signal: new AbortController().signal, requestId: "r1" };
  return { store, port, remote: peers.dialModules(`127.0.0.1:${port}`), requester: mine.nodeId, ctx };
}

async function* pieces(bytes: Uint8Array, sizes: number) {
  for (let at = 0; at < bytes.length; at += sizes) {
    yield await Promise.resolve(bytes.subarray(at, at + sizes));
  }
}

function moduleOf(length: number, fill = 1) {
  const bytes = new Uint8Array(length).fill(fill);
  return { bytes, order: { sha256: sha256Hex(bytes), sizeBytes: length } };
}

test("a module is uploaded in its requester's proven name, and is there from then on", async (t) => {
  const { remote, store, ctx, requester } = await serve(t);
  for (const length of [1, MAX_BYTES - 1, MAX_BYTES]) {
    const { bytes, order } = moduleOf(length);
    assert.deepEqual(await remote.has(order.sha256, ctx), { maxBytes: MAX_BYTES });
    const uploaded = await remote.upload(pieces(bytes, 300_000), order, ctx);
    assert.deepEqual(uploaded, { ...order, name: "module", version: "0.0.0", functions: ["run"] });
    assert.deepEqual(await remote.has(order.sha256, ctx), { module: uploaded, maxBytes: MAX_BYTES });
    assert.equal(store.kept.get(order.sha256)?.requester, requester);
  }
});

test("a module that is there already is answered without its bytes", async (t) => {
  const { remote, ctx } = await serve(t);
  const { bytes, order } = moduleOf(1000);
  await remote.upload(pieces(bytes, 1000), order, ctx);
  async function* never(): AsyncGenerator<Uint8Array> {
    yield await new Promise<Uint8Array>(() => {});
  }
  assert.equal((await remote.upload(never(), order, ctx)).sha256, order.sha256);
});

test("bytes that are not what was ordered are refused as invalid_argument", async (t) => {
  const { remote, ctx, store } = await serve(t);
  const { bytes, order } = moduleOf(1000);
  const wrong = { ...order, sha256: "0".repeat(64) };
  await assert.rejects(remote.upload(pieces(bytes, 99), wrong, ctx), (error: NodeError) => {
    assert.equal(error.code, "invalid_argument");
    assert.deepEqual(error.data, { expected: wrong.sha256, actual: order.sha256 });
    return true;
  });
  const invalid = { code: "invalid_argument" };
  await assert.rejects(remote.upload(pieces(bytes, 99), { ...order, sizeBytes: 1001 }, ctx), invalid);
  await assert.rejects(remote.upload(pieces(bytes, 99), { ...order, sizeBytes: 999 }, ctx), invalid);
  await assert.rejects(remote.upload(pieces(bytes, 99), { ...order, sizeBytes: 0 }, ctx), invalid);
  await assert.rejects(
    remote.upload(pieces(bytes, 99), { ...order, sha256: order.sha256.toUpperCase() }, ctx),
    invalid,
  );
  await assert.rejects(remote.has("abc", ctx), invalid);
  assert.equal(store.kept.size, 0);
});

test("the reasons of a refusal come over the wire", async (t) => {
  const { remote, ctx } = await serve(t);
  const upload = (length: number, fill?: number) => {
    const { bytes, order } = moduleOf(length, fill);
    return remote.upload(pieces(bytes, 1000), order, ctx);
  };
  await assert.rejects(upload(MAX_BYTES + 1), { code: "input_too_large", message: /plugins\.maxModuleBytes/ });
  await assert.rejects(upload(77), { code: "storage_full" });
  await assert.rejects(upload(78, 255), { code: "module_invalid", message: /begins with 255/ });
});

test("a node that takes no modules says so before the bytes are sent", async (t) => {
  const { remote, ctx } = await serve(t, { accepts: () => false });
  const { bytes, order } = moduleOf(1000);
  assert.deepEqual(await remote.has(order.sha256, ctx), { maxBytes: 0 });
  await assert.rejects(remote.upload(pieces(bytes, 99), order, ctx), {
    code: "permission_denied",
    message: /plugins\.acceptModules/,
  });
});

test("an upload that stands still is ended, and few are open at once", async (t) => {
  const { remote, ctx } = await serve(t, { timeoutMs: 1500 });
  async function* stuck(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(10);
    await new Promise(() => {});
  }
  const slow = { code: "deadline_exceeded" };
  const open = [1, 2].map((n) => assert.rejects(remote.upload(stuck(), moduleOf(100 + n).order, ctx), slow));
  await new Promise((resolve) => setTimeout(resolve, 500)); // until both are there
  const third = moduleOf(103);
  await assert.rejects(remote.upload(pieces(third.bytes, 50), third.order, ctx), { code: "overloaded" });
  await Promise.all(open);
  await remote.upload(pieces(third.bytes, 50), third.order, ctx);
});

test("who is not proven uploads nothing and is told nothing", async (t) => {
  const { port, ctx } = await serve(t);
  const peers = createPeers({});
  t.after(() => peers.close());
  const stranger = peers.dialModules(`127.0.0.1:${port}`);
  const { bytes, order } = moduleOf(10);
  await assert.rejects(stranger.has(order.sha256, ctx), { code: "unauthenticated" });
  await assert.rejects(stranger.upload(pieces(bytes, 10), order, ctx), { code: "unauthenticated" });
  await using raw = new RawClient(port);
  const hash = Buffer.from([0x0a, 64, ...Buffer.from(order.sha256)]);
  const has = await raw.call("/velas.sphere.v1.TaskService/HasModule", frameOf(hash), {
    "velas-requester": ctx.requester,
  });
  assert.equal(grpcStatus(has), UNAUTHENTICATED);
  const first = frameOf(Buffer.from([0x0a, 68, ...hash, 0x10, 10]));
  const upload = await raw.call("/velas.sphere.v1.TaskService/UploadModule", first);
  assert.equal(grpcStatus(upload), UNAUTHENTICATED);
});

test("the order is the first message of an upload, and only the first", async () => {
  const modules = createModuleProvider({
    store: new MemoryModules(),
    installed: () => undefined,
    self: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" as NodeId,
    accepts: () => true,
    maxBytes: MAX_BYTES,
    timeoutMs: 30_000,
    metrics: noMetrics,
  });
  const route = moduleRoutes(modules).find(({ kind }) => kind === "bidi_streaming") as StreamRoute;
  const ctx = { requester: "anonymous", authenticated: true, signal: new AbortController().signal, requestId: "r" };
  const { order } = moduleOf(10);
  const value = { ...order, sizeBytes: 10n };
  for (const cases of [["chunk", "order"], ["order", "order"], []]) {
    const messages = cases.map((kind) => ({
      $typeName: "velas.sphere.v1.UploadModuleRequest",
      message: kind === "chunk" ? { case: kind, value: new Uint8Array(1) } : {
        case: kind,
        value: { $typeName: "velas.sphere.v1.ModuleOrder", ...value },
      },
    }));
    const answers = route.handle(each(messages) as Parameters<typeof route.handle>[0], ctx as CallContext);
    await assert.rejects(async () => {
      for await (const _ of answers);
    }, { code: "invalid_argument" });
  }
});

async function* each<T>(values: readonly T[]): AsyncIterable<T> {
  for (const value of values) yield await Promise.resolve(value);
}
