import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Log,
  newSecretKey,
  NodeError,
  type NodeId,
  nodeKeyOf,
  noMetrics,
  openSession,
  type PutShardOrder,
  type ShardService,
  signRequest,
  silentLog,
  STREAM_DIGEST,
  systemClock,
} from "../../src/core/mod.ts";
import { PutShardRequestSchema, PutShardResponseSchema } from "../../src/gen/velas/sphere/v1/storage_pb.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { Authenticator, createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../../src/rpc/mod.ts";
import { openMemoryShardStore } from "../../src/storage/mod.ts";
import { shardServiceContract } from "../contract-suites/shard-service.ts";
import { test, type TestScope } from "../testing.ts";
import { frameOf } from "../../src/rpc/grpc-frame.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";
import { FRONTS, grpcMessage, grpcStatus, RawClient } from "./harness.ts";
import { COMMON } from "./client-nodes.ts";

const QUOTA_BYTES = 64 << 20;
const LIMITS = { maxShardBytes: 2 ** 40, maxLeaseMs: 86_400_000, graceMs: 3_600_000, uploadTtlMs: 3_600_000 };

/** A provider of shards behind a real port. */
async function serve(
  t: TestScope,
  log: Log = silentLog,
  wrapped: (shards: ShardService) => ShardService = (shards) => shards,
) {
  const key = nodeKeyOf(newSecretKey());
  const { shards: store, close } = await openMemoryShardStore({ quotaBytes: QUOTA_BYTES });
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
  const server = createRpcServer({
    tasks: new FakeTasks(),
    node: { describe: () => ({ ...fakeNode.describe(), nodeId: key.nodeId }), sign: (message) => key.sign(message) },
    storage: wrapped(shards),
    authenticator: new Authenticator({ self: key.nodeId, chainId: 0, clock: systemClock }),
    health: new HealthState(),
    log,
    metrics: noMetrics,
    clock: systemClock,
    limits: DEFAULT_RPC_LIMITS,
    frontThreads: FRONTS,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close({ graceMs: 0 }));
  return { target: `127.0.0.1:${port}`, provider: key.nodeId };
}

function client(t: TestScope, target: string) {
  const key = nodeKeyOf(newSecretKey());
  const peers = createPeers({ requester: key.nodeId, key });
  t.after(() => peers.close());
  return { shards: peers.dialShards(target), owner: key.nodeId };
}

test("orders name the quote that they are paid by, and those of older peers none", async (t) => {
  const named: unknown[] = [];
  const { target } = await serve(t, silentLog, (shards) =>
    new Proxy(shards, {
      get: (served, method: keyof ShardService) => async (...args: unknown[]) => {
        if (method === "put") named.push((args[1] as PutShardOrder).quote);
        if (method === "renew") named.push((args[3] as { quote?: string }).quote);
        return await (served[method] as (...all: unknown[]) => Promise<unknown>)(...args);
      },
    }));
  const { shards, owner } = client(t, target);
  const ctx = { requester: owner, signal: new AbortController().signal, requestId: "r1" };
  const quote = `0x${"5a".repeat(32)}` as const;
  const [id, bytes] = ["7".repeat(32), randomBytes(1024)];
  async function* once() {
    yield new Uint8Array(bytes);
  }
  const order = { id, maxBytes: 1024, leaseMs: 1000 };
  await shards.put(once(), { ...order, quote }, ctx);
  await shards.put(once(), order, ctx);
  await shards.renew(id, 2000, ctx, { quote });
  await shards.renew(id, 2000, ctx);
  assert.deepEqual(named, [quote, undefined, quote, undefined]);
  await assert.rejects(shards.renew(id, 2000, ctx, { quote: "0x5a" }), { code: "invalid_argument" });
});

shardServiceContract("the client of a provider", async (t) => {
  const { target } = await serve(t);
  const mine = client(t, target);
  const theirs = client(t, target);
  const never = new AbortController().signal;
  return {
    shards: mine.shards,
    ctx: (signal = never) => ({ requester: mine.owner, signal, requestId: "r1" }),
    other: { shards: theirs.shards, ctx: { requester: theirs.owner, signal: never, requestId: "r2" } },
    quotaBytes: QUOTA_BYTES,
  };
});

test("a node without a key keeps no shards elsewhere", async (t) => {
  const { target } = await serve(t);
  const peers = createPeers({});
  t.after(() => peers.close());
  const ctx = { requester: "anonymous", signal: new AbortController().signal, requestId: "r1" } as const;
  await assert.rejects(peers.dialShards(target).usage(ctx), { code: "unauthenticated" });
});

test("an owner that goes away in the middle of an upload leaves it to go on", async (t) => {
  const { target } = await serve(t);
  const { shards, owner } = client(t, target);
  const gone = new AbortController();
  const ctx = { requester: owner, signal: new AbortController().signal, requestId: "r1" };
  async function* endless() {
    for (let i = 0;; i++) {
      if (i === 40) gone.abort(new NodeError("canceled", "gone"));
      await new Promise((resolve) => setTimeout(resolve, 5)); // for them to leave
      yield randomBytes(65_536);
    }
  }
  const order = { id: "9".repeat(32), maxBytes: 32 << 20, leaseMs: 60_000 };
  await assert.rejects(shards.put(endless(), order, { ...ctx, signal: gone.signal }), { code: "canceled" });
  let uploaded = 0;
  for (let tries = 0; uploaded === 0 && tries < 200; tries++) {
    uploaded = await shards.uploaded(order.id, ctx);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.ok(uploaded > 0);
});

test("an upload may come as gRPC, which is read as bytes, and as gRPC-Web, which Connect reads, in any frames", async (t) => {
  const { target, provider } = await serve(t);
  const key = nodeKeyOf(newSecretKey());
  const peers = createPeers({ requester: key.nodeId, key });
  t.after(() => peers.close());
  const session = openSession(key, { provider, chainId: 0, expiresAt: Date.now() + 60_000 });
  const path = "/velas.sphere.v1.StorageService/PutShard";
  const bytes = randomBytes(200 << 10);
  await using raw = new RawClient(Number(target.split(":")[1]));
  const ways = [["application/grpc", 70_000], ["application/grpc", 999], [
    "application/grpc-web+proto",
    70_000,
  ]] as const;
  for (const [i, [type, size]] of ways.entries()) {
    const id = String(i).repeat(32);
    const order = create(PutShardRequestSchema, {
      message: { case: "order", value: { id, maxBytes: 1n << 20n, leaseMs: 60_000n } },
    });
    const messages = [order];
    for (let at = 0; at < bytes.length; at += size) {
      messages.push(
        create(PutShardRequestSchema, { message: { case: "chunk", value: bytes.subarray(at, at + size) } }),
      );
    }
    messages.push(create(PutShardRequestSchema, { message: { case: "end", value: {} } }));
    const proof = signRequest(session, { method: "POST", path, digest: STREAM_DIGEST }, Date.now());
    const answer = await raw.call(path, messages.map((one) => frameOf(toBinary(PutShardRequestSchema, one))), {
      "content-type": type,
      "velas-session": Buffer.from(session.certificate).toString("base64url"),
      "velas-signature": Buffer.from(proof).toString("base64url"),
    });
    assert.equal(answer.headers[":status"], "200");
    const { receipt } = fromBinary(
      PutShardResponseSchema,
      answer.body.subarray(5, 5 + answer.body.readUInt32BE(1)),
    );
    assert.equal(receipt?.record?.sizeBytes, BigInt(bytes.length));
    const ctx = { requester: key.nodeId, signal: new AbortController().signal, requestId: "r" };
    const read = await peers.dialShards(target).get(id, { start: 0, end: bytes.length }, ctx);
    assert.ok(Buffer.compare(read.bytes, bytes) === 0);
  }
});

/** A signed call of StatShard, as gRPC and as Connect in JSON send it. */
function statCall(provider: NodeId) {
  const path = "/velas.sphere.v1.StorageService/StatShard";
  const session = openSession(nodeKeyOf(newSecretKey()), { provider, chainId: 0, expiresAt: Date.now() + 60_000 });
  const signed = (body: Uint8Array) => {
    const digest = createHash("sha256").update(body).digest();
    const proof = signRequest(session, { method: "POST", path, digest }, Date.now());
    return {
      "velas-session": Buffer.from(session.certificate).toString("base64url"),
      "velas-signature": Buffer.from(proof).toString("base64url"),
    };
  };
  return { path, signed };
}

test("a signed call over gRPC is refused with another body, and when it comes again", async (t) => {
  const { target, provider } = await serve(t);
  const { path, signed } = statCall(provider);
  await using raw = new RawClient(Number(target.split(":")[1]));
  const body = frameOf(Buffer.from([0x0a, 32, ...Buffer.from("a".repeat(32))]));
  const other = frameOf(Buffer.from([0x0a, 32, ...Buffer.from("b".repeat(32))]));
  const headers = signed(body);
  const [found, again, changed, unsigned] = [
    await raw.call(path, body, headers),
    await raw.call(path, body, headers),
    await raw.call(path, other, signed(body)),
    await raw.call(path, body),
  ];
  assert.equal(grpcStatus(found), 5, "NotFound: it was let in");
  for (const answer of [again, changed, unsigned]) assert.equal(grpcStatus(answer), 16, grpcMessage(answer));
});

test("a signed call in JSON over HTTP/1.1 is refused with another body, and when it comes again", async (t) => {
  const { target, provider } = await serve(t);
  const { path, signed } = statCall(provider);
  const call = async (body: string, headers: Record<string, string>) => {
    const init = { method: "POST", body, headers: { "content-type": "application/json", ...headers } };
    const response = await fetch(`http://${target}${path}`, init);
    return ((await response.json()) as { code: string }).code;
  };
  const body = JSON.stringify({ id: "a".repeat(32) });
  const headers = signed(Buffer.from(body));
  assert.equal(await call(body, headers), "not_found");
  assert.equal(await call(body, headers), "unauthenticated");
  assert.equal(await call(body.replace("a", "b"), signed(Buffer.from(body))), "unauthenticated");
  const other = { "velas-body-sha256": createHash("sha256").update(body).digest("hex") };
  assert.equal(await call(body.replace("a", "b"), { ...signed(Buffer.from(body)), ...other }), "unauthenticated");
});

/** Bodies of StatShard that no decoder takes: a field that ends too early, bytes that are no field, and a text that is not UTF-8. */
const GARBAGE = [[0x0a, 32, 0x61], [0xff, 0xff, 0xff], [0x0a, 2, 0xc3, 0x28]] as const;

test("bytes that are no message are looked at over gRPC only when their signature is right", async (t) => {
  const { target, provider } = await serve(t);
  const { path, signed } = statCall(provider);
  await using raw = new RawClient(Number(target.split(":")[1]));
  for (const bytes of GARBAGE) {
    const body = frameOf(Buffer.from(bytes));
    const wrong = await raw.call(path, body, signed(frameOf(Buffer.from([]))));
    assert.equal(grpcStatus(wrong), 16, grpcMessage(wrong));
    const right = await raw.call(path, body, signed(body));
    assert.equal(grpcStatus(right), 13, "Internal is what Connect answers to bytes that are no message");
    assert.match(grpcMessage(right), /^parse binary: /);
  }
});

test("a body that is no JSON, or none of this message, is looked at over HTTP/1.1 only when its signature is right", async (t) => {
  const ended: unknown[] = [];
  const debug: Log["debug"] = (_, fields) => void ended.push(fields?.["code"]);
  const { target, provider } = await serve(t, { ...silentLog, debug });
  const { path, signed } = statCall(provider);
  const call = async (body: Uint8Array<ArrayBuffer>, type: string, signedBody = body) => {
    const headers = { "content-type": type, ...signed(signedBody) };
    const response = await fetch(`http://${target}${path}`, { method: "POST", body, headers });
    return ((await response.json()) as { code: string }).code;
  };
  const texts = ["{", '{"id":1}', '{"noSuchField":"a"}'].map((text) =>
    ["application/json", Buffer.from(text), "invalid_argument"] as const
  );
  // Internal is what Connect answers to bytes that are no message.
  const binary = GARBAGE.map((bytes) => ["application/proto", Buffer.from(bytes), "internal"] as const);
  for (const [type, body, code] of [...texts, ...binary]) {
    assert.equal(await call(body, type, Buffer.from("{}")), "unauthenticated", `${type} ${body}`);
    assert.equal(await call(body, type), code, `${type} ${body}`);
    assert.deepEqual(ended.splice(0), ["unauthenticated", "invalid_argument"], "both calls are over");
  }
});

test("a node that believes no claims takes a task from who signs it, and from nobody else's name", async (t) => {
  const key = nodeKeyOf(newSecretKey());
  const tasks = new FakeTasks();
  const server = createRpcServer({
    ...COMMON,
    tasks,
    node: { describe: () => ({ ...fakeNode.describe(), nodeId: key.nodeId }), sign: (message) => key.sign(message) },
    authenticator: new Authenticator({ self: key.nodeId, chainId: 0, clock: systemClock }),
    believesClaims: false,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close({ graceMs: 0 }));
  const caller = nodeKeyOf(newSecretKey());
  const ctx = { requester: caller.nodeId, signal: new AbortController().signal, requestId: "r1" };
  const task = {
    id: "t",
    plugin: "",
    function: "",
    contentType: "",
    limits: {},
    priority: 0,
    input: Buffer.from("hi"),
  };
  const streamed = { ...task, input: Buffer.alloc(0) };
  async function* input() {
    yield Buffer.from("hi");
  }
  for (const signTasks of [true, false]) {
    const peers = createPeers({ requester: caller.nodeId, key: caller, signTasks });
    t.after(() => peers.close());
    const remote = peers.dial(`127.0.0.1:${port}`);
    const before = tasks.contexts.length;
    await remote.run(task, ctx);
    await remote.submit(task, ctx);
    for await (const event of remote.runStream(streamed, input(), ctx)) assert.ok(event);
    const names = tasks.contexts.slice(before).map(({ requester }) => requester);
    assert.deepEqual(names, Array(3).fill(signTasks ? caller.nodeId : "anonymous"));
  }
});
