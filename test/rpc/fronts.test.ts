import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import http2 from "node:http2";
import net from "node:net";
import process from "node:process";
import type { Worker } from "node:worker_threads";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import {
  isDeno,
  newSecretKey,
  nodeKeyOf,
  noMetrics,
  openSession,
  type RateLimiter,
  signRequest,
  silentLog,
  systemClock,
} from "../../src/core/mod.ts";
import { RunTaskRequestSchema } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { Authenticator, SESSION_HEADER, SIGNATURE_HEADER } from "../../src/rpc/authenticator.ts";
import { Door } from "../../src/rpc/fronts/door.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { frameOf } from "../../src/rpc/grpc-frame.ts";
import { createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../../src/rpc/mod.ts";
import { test, type TestScope } from "../testing.ts";
import { caller, spec } from "./client-harness.ts";
import { bytes, fakeNode, FakeTasks } from "./fake-tasks.ts";
import { collect, grpcStatus, type RawAnswer, RawClient, RawSocket, start } from "./harness.ts";

const RUN = "/velas.sphere.v1.TaskService/Run";
const RUN_STREAM = "/velas.sphere.v1.TaskService/RunStream";
const INFO = "/velas.sphere.v1.NodeService/GetInfo";

/** A server of fake tasks. */
const plainServer = () => ({
  tasks: new FakeTasks(),
  node: fakeNode,
  health: new HealthState(),
  log: silentLog,
  metrics: noMetrics,
  clock: systemClock,
  limits: DEFAULT_RPC_LIMITS,
});

/** Tests of what Deno has not. */
const onNode: typeof test = isDeno ? () => {} : test;

const runFrame = (fn: string, input = "hello") =>
  frameOf(
    toBinary(
      RunTaskRequestSchema,
      create(RunTaskRequestSchema, { task: { id: "t", function: fn, input: bytes(input) } }),
    ),
  );

/** The threads that are started while a test runs. */
function watchThreads(t: TestScope): Worker[] {
  const threads: Worker[] = [];
  const onWorker = (thread: Worker) => void threads.push(thread);
  process.on("worker", onWorker);
  t.after(() => process.off("worker", onWorker));
  return threads;
}

/** All that a client can tell, but the time of day. */
function visible({ headers: { date: _, ...headers }, ...rest }: RawAnswer) {
  return { headers, ...rest, body: rest.body.toString("latin1") };
}

onNode("a server with fronts answers as one without, byte for byte", async () => {
  const fallback: Parameters<typeof start>[0] = {
    limits: { maxMessageBytes: 100_000, maxHeaderBytes: 4096 },
    fallback: (request, response) => void response.end(`${request.method} ${request.url} ${request.httpVersion}`),
  };
  await using fronted = await start({ ...fallback, frontThreads: 2 });
  await using plain = await start({ ...fallback, frontThreads: 0 });
  await using one = new RawClient(fronted.port);
  await using other = new RawClient(plain.port);
  const same = async (
    path: string,
    body: Uint8Array | readonly Uint8Array[],
    headers: http2.OutgoingHttpHeaders = {},
  ) => {
    const answers = await Promise.all([one.call(path, body, headers), other.call(path, body, headers)]);
    assert.deepEqual(visible(answers[0]), visible(answers[1]), `${path} ${JSON.stringify(headers)}`);
    return answers[0];
  };
  const good = runFrame("echo");
  assert.equal(grpcStatus(await same(RUN, good)), 0);
  const compressed = Buffer.from(good);
  compressed[0] = 1;
  const bodies = [
    [...good].map((byte) => Buffer.of(byte)),
    new Uint8Array(0),
    good.subarray(0, 3),
    good.subarray(0, 5),
    good.subarray(0, good.length - 1),
    Buffer.concat([good, good]),
    compressed,
    frameOf(Buffer.from("ffffffffff", "hex")),
    runFrame("throw", "overloaded"),
    runFrame("break"),
    runFrame("echo", "x".repeat(99_000)),
    runFrame("echo", "x".repeat(200_000)),
  ];
  const json = Buffer.from('{"task":{"function":"echo","input":"aGVsbG8="}}');
  for (const body of bodies) await same(RUN, body);
  for (const body of bodies.slice(1)) await same(RUN_STREAM, body);
  const headers: http2.OutgoingHttpHeaders[] = [
    { "content-type": "application/grpc+proto", "grpc-timeout": "10S" },
    { "grpc-timeout": "10 s" },
    { "grpc-encoding": "zstd" },
    { "content-type": "application/grpc-web+proto" },
    { "content-type": "application/proto" },
    { "content-type": "text/plain" },
    { ":method": "GET" },
    { ":method": "OPTIONS", origin: "https://ui.example", "access-control-request-method": "POST" },
    { "set-cookie": ["a=1", "b=2"] },
    { "x-flood": "y".repeat(5000) },
    { "velas-signature": "rubbish" },
    { "expect": "100-continue" },
  ];
  for (const each of headers) await same(RUN, good, each);
  await same(RUN, json, { "content-type": "application/json" });
  await same(RUN, json, { "content-type": "application/grpc+json" });
  await same(INFO, frameOf(new Uint8Array(0)));
  await same("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", frameOf(Buffer.from("3a00", "hex")));
  await same("/nobody.Knows/This", good);
  await same("/other?path=1", new Uint8Array(0), { "content-type": "text/plain" });
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), fc.boolean(), async (body, framed) => {
      await same(RUN, framed ? frameOf(body) : body);
    }),
    { numRuns: 100 },
  );
  for (const request of ["GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "nonsense\r\n\r\n"]) {
    const [first, second] = await Promise.all([fronted, plain].map(async ({ port }) => {
      await using socket = new RawSocket(port);
      socket.socket.write(request);
      await socket.closed;
      return socket.received.toString().replace(/^Date:.*$/m, "");
    }));
    assert.equal(first, second);
  }
});

onNode(
  "a call that its caller cancels is aborted, on the fast path and as a stream, and so is all of a connection",
  async () => {
    await using running = await start({ frontThreads: 1 });
    const { tasks } = running;
    await using client = new RawClient(running.port);
    for (const [path, expected] of [[RUN, 1], [RUN_STREAM, 2]] as const) {
      const stream = client.open(path);
      stream.write(path === RUN ? runFrame("hang") : streamFrame("hang"));
      if (path === RUN) stream.end();
      await tasks.until(() => tasks.specs.length === expected);
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await tasks.until(() => tasks.aborts.length === expected);
    }
    client.open(RUN).end(runFrame("hang"));
    await tasks.until(() => tasks.specs.length === 3);
    client.session.destroy();
    await tasks.until(() => tasks.aborts.length === 3);
    for (const reason of tasks.aborts) assert.equal((reason as { code: string }).code, "canceled");
  },
);

/** The first message of a RunStream. */
function streamFrame(fn: string): Uint8Array {
  const start = toBinary(RunTaskRequestSchema, create(RunTaskRequestSchema, { task: { function: fn } }));
  return frameOf(start);
}

onNode("a caller that does not read holds the plugin back through a front", async () => {
  await using running = await start({ frontThreads: 1 });
  await using client = new RawClient(running.port);
  const stream = client.open(RUN_STREAM);
  const chunks = 1600; // 100 MiB
  stream.write(streamFrame("flood"));
  stream.end(frameOf(Buffer.concat([Buffer.from([0x12, 4]), Buffer.from(String(chunks))])));
  await new Promise((resolve) => stream.once("response", resolve));
  const { tasks } = running;
  await tasks.until(() => tasks.specs.length === 1);
  await using other = new RawClient(running.port);
  for (let before = -1; before !== tasks.floodedBytes || before === 0;) {
    before = tasks.floodedBytes;
    for (let i = 0; i < 30; i++) await other.call(RUN_STREAM, streamFrame("echo"));
  }
  assert.ok(tasks.floodedBytes < chunks * 65_536 / 2, `${tasks.floodedBytes}`);
  const answer = collect(stream);
  assert.equal(grpcStatus(await answer), 0);
  assert.equal(tasks.floodedBytes, chunks * 65_536);
});

onNode("a stream that sends and is sent more than sockets hold goes through a front", async (t) => {
  await using running = await start({ frontThreads: 1 });
  const peers = createPeers({});
  t.after(() => peers.close());
  const sizeBytes = 4 << 20;
  async function* input() {
    for (let i = 0; i < 4; i++) yield await Promise.resolve(new Uint8Array(sizeBytes));
  }
  let got = 0;
  for await (const event of peers.dial(`127.0.0.1:${running.port}`).runStream(spec(""), input(), caller())) {
    if (event.type === "chunk") got += event.bytes.length;
  }
  assert.equal(got, 4 * sizeBytes);
});

onNode("a front that crashes takes its calls with it, and another takes its place", async (t) => {
  const threads = watchThreads(t);
  await using running = await start({ frontThreads: 1 });
  await using client = new RawClient(running.port);
  client.open(RUN).end(runFrame("hang"));
  await running.tasks.until(() => running.tasks.specs.length === 1);
  assert.equal(threads.length, 1);
  await threads[0]!.terminate();
  await running.tasks.until(() => running.tasks.aborts.length === 1);
  assert.match(running.logged.join(), /crashed/);
  for (let status = -1; status !== 0;) {
    await using again = new RawClient(running.port);
    status = grpcStatus(await again.call(RUN, runFrame("echo")));
  }
  assert.equal(threads.length, 2);
});

onNode("close() lets calls through fronts end, takes no others, and leaves no thread behind", async (t) => {
  const threads = watchThreads(t);
  const running = await start({ frontThreads: 2 });
  await using client = new RawClient(running.port);
  const slow = client.open(RUN);
  const answer = collect(slow);
  slow.write(runFrame("echo").subarray(0, 7));
  await new Promise((resolve) => client.session.once("remoteSettings", resolve));
  await client.call(RUN, runFrame("echo"));
  const left = new Promise((resolve) => client.session.once("goaway", resolve));
  const exits = threads.map((thread) => new Promise((resolve) => thread.once("exit", resolve)));
  const closed = running.server.close({ graceMs: 60_000 });
  await left;
  await using late = new RawSocket(running.port);
  await late.closed;
  slow.end(runFrame("echo").subarray(7));
  assert.equal(grpcStatus(await answer), 0);
  await closed;
  await Promise.all(exits);
});

onNode("a port that another program has is refused", async (t) => {
  const other = net.createServer();
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  t.after(() => other.close());
  const { port } = other.address() as net.AddressInfo;
  await using running = await start({ frontThreads: 2 });
  for (const taken of [port, running.port]) {
    await assert.rejects(running.server.listen({ host: "127.0.0.1", port: taken }), { code: "address_in_use" });
  }
});

/** What a caller might write to be taken for another. */
const FORGED = {
  "velas-caller-address": "203.0.113.9",
  "x-forwarded-for": "203.0.113.9",
  forwarded: "for=203.0.113.9",
};

onNode("calls count for the address that they come from, whatever they say", async (t) => {
  const seen: string[] = [];
  const server = createRpcServer({
    ...plainServer(),
    frontThreads: 1,
    limiter: { active: true, refusal: (_kind: string, who: string) => void seen.push(who) } as unknown as RateLimiter,
    fallback: (request, response) => void response.end(request.socket.remoteAddress),
  });
  t.after(() => server.close({ graceMs: 0 }));
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  await using client = new RawClient(port);
  await client.call(RUN, runFrame("echo"), FORGED);
  await client.call(RUN, Buffer.from("{}"), { ...FORGED, "content-type": "application/json" });
  await client.call(RUN_STREAM, streamFrame("echo"), FORGED);
  assert.deepEqual(new Set(seen), new Set(["127.0.0.1"]));
  assert.equal(seen.length, 3);
  const other = await client.call("/x", new Uint8Array(0), { ...FORGED, "content-type": "text/plain" });
  assert.equal(other.body.toString(), "127.0.0.1");
  await using socket = new RawSocket(port);
  socket.socket.write(`${"0".repeat(64)}203.0.113.9\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n`);
  await socket.closed;
  assert.ok(!socket.received.includes("203.0.113.9"));
});

onNode("nobody comes through the door without its token", async (t) => {
  const addresses: unknown[] = [];
  const door = new Door({
    greetingMs: 50,
    onConnection: (socket) => {
      addresses.push(socket.remoteAddress);
      socket.end("in");
    },
  });
  t.after(() => door.close());
  await door.open();
  const { path, token } = door.key;
  for (
    const greeting of [`${"0".repeat(64)}1.2.3.4\n`, "1.2.3.4\n", token.slice(1), `${token}${"1".repeat(500)}`, ""]
  ) {
    const socket = net.connect({ path }).on("error", () => {}).resume();
    socket.write(greeting);
    await new Promise((resolve) => socket.on("close", resolve));
  }
  assert.deepEqual(addresses, []);
  const socket = net.connect({ path }).resume();
  socket.write(`${token}192.0.2.1\n`);
  await new Promise((resolve) => socket.on("close", resolve));
  assert.deepEqual(addresses, ["192.0.2.1"]);
});

onNode("a signed call that is replayed through another front is refused", async (t) => {
  const threads = watchThreads(t);
  const provider = nodeKeyOf(newSecretKey());
  const tasks = new FakeTasks();
  const server = createRpcServer({
    ...plainServer(),
    tasks,
    frontThreads: 2,
    authenticator: new Authenticator({ self: provider.nodeId, chainId: 0, clock: systemClock }),
  });
  t.after(() => server.close({ graceMs: 0 }));
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const clients = new Map<Worker, RawClient>();
  let latest: RawClient;
  // A front tells of its connections, so that each client is known to be at one.
  for (const thread of threads) {
    thread.on("message", (message: { type?: string }) => {
      if (message.type === "connections" && !clients.has(thread)) clients.set(thread, latest);
    });
  }
  const all: RawClient[] = [];
  t.after(() => Promise.all(all.map((client) => client[Symbol.asyncDispose]())));
  while (clients.size < 2) {
    all.push(latest = new RawClient(port));
    await latest.call(RUN, runFrame("echo"));
  }
  const signer = nodeKeyOf(newSecretKey());
  const session = openSession(signer, { provider: provider.nodeId, chainId: 0, expiresAt: Date.now() + 3_600_000 });
  const frame = runFrame("echo", "signed");
  const digest = createHash("sha256").update(frame).digest();
  const proof = signRequest(session, { method: "POST", path: RUN, digest }, Date.now());
  const headers = {
    [SESSION_HEADER]: Buffer.from(session.certificate).toString("base64url"),
    [SIGNATURE_HEADER]: Buffer.from(proof).toString("base64url"),
  };
  const [first, second] = [...clients.values()] as [RawClient, RawClient];
  assert.equal(grpcStatus(await first.call(RUN, frame, headers)), 0);
  assert.equal(tasks.contexts.at(-1)!.requester, signer.nodeId);
  assert.equal(grpcStatus(await second.call(RUN, frame, headers)), 16);
});

test("Deno has no fronts, and says so", () => {
  const make = () =>
    createRpcServer({
      ...plainServer(),
      frontThreads: 1,
    });
  if (isDeno) assert.throws(make, { code: "runtime_unsupported" });
});
