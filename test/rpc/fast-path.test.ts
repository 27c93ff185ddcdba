import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { noMetrics, silentLog, systemClock } from "../../src/core/mod.ts";
import { TaskRequestSchema } from "../../src/gen/resources/provider_pb.ts";
import { RunTaskRequestSchema, RunTaskResponseSchema } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { Calls } from "../../src/rpc/calls.ts";
import { createConnectHandler } from "../../src/rpc/connect-handler.ts";
import { frameOf } from "../../src/rpc/grpc-frame.ts";
import { legacyRoutes } from "../../src/rpc/services/legacy.ts";
import { taskRoutes } from "../../src/rpc/services/tasks.ts";
import { bytes, FakeTasks, text } from "./fake-tasks.ts";
import { grpcMessage, grpcStatus, type RawAnswer, RawClient, start } from "./harness.ts";

const RUN = "/velas.sphere.v1.TaskService/Run";
const LEGACY = "/resources.Provider/RequestTaskExecution";
const MAX_MESSAGE_BYTES = 100_000;

const runFrame = (task: Parameters<typeof create<typeof RunTaskRequestSchema>>[1] extends infer T ? T : never) =>
  frameOf(toBinary(RunTaskRequestSchema, create(RunTaskRequestSchema, task)));

/** The same services through Connect alone. */
async function startConnectOnly() {
  const tasks = new FakeTasks();
  const calls = new Calls({ clock: systemClock, log: silentLog, metrics: noMetrics, requestTimeoutMs: 60_000 });
  const handler = createConnectHandler({
    calls,
    routes: [...taskRoutes(tasks), ...legacyRoutes(tasks)],
    maxMessageBytes: MAX_MESSAGE_BYTES,
    stallTimeoutMs: 60_000,
    refusal: () => undefined,
    fallback: undefined,
  });
  const server = http2.createServer(handler as never);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      calls.deadlines.clear();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** What a client can tell apart. The detail of malformed requests is the fast path's own addition. */
function visible(answer: RawAnswer) {
  const all = { ...answer.headers, ...answer.trailers };
  delete all["date"];
  delete all["grpc-status-details-bin"];
  return { ...all, body: answer.body.toString("hex"), rstCode: answer.rstCode };
}

test("the fast path and Connect answer alike", async () => {
  await using fast = await start({ limits: { maxMessageBytes: MAX_MESSAGE_BYTES } });
  await using slow = await startConnectOnly();
  await using fastClient = new RawClient(fast.port);
  await using slowClient = new RawClient(slow.port);
  const both = async (path: string, body: Uint8Array, headers: http2.OutgoingHttpHeaders = {}) => {
    const [one, other] = await Promise.all([
      fastClient.call(path, body, headers),
      slowClient.call(path, body, headers),
    ]);
    assert.deepEqual(visible(one), visible(other));
    return one;
  };
  const good = runFrame({ task: { id: "t", input: bytes("abc") } });
  const compressed = Buffer.from(good);
  compressed[0] = 1;
  const garbage = frameOf(Buffer.from("ffffffffff", "hex"));
  const badText = frameOf(Buffer.from("0a0412025cff", "hex"));
  const cases: [string, Uint8Array, number, http2.OutgoingHttpHeaders?][] = [
    ["an ordinary call", good, 0],
    ["an empty input", runFrame({ task: {} }), 0],
    ["a media type with +proto", good, 0, { "content-type": "application/grpc+proto" }],
    ["a media type with a parameter", good, -1, { "content-type": "application/grpc; charset=utf-8" }],
    ["a deadline", good, 0, { "grpc-timeout": "10S" }],
    ["an ill-formed deadline", good, 3, { "grpc-timeout": "10 s" }],
    ["a deadline of nine digits", good, 3, { "grpc-timeout": "123456789S" }],
    ["identity encoding", good, 0, { "grpc-encoding": "identity" }],
    ["an unknown encoding", good, 12, { "grpc-encoding": "zstd" }],
    ["JSON where bytes are said", frameOf(bytes("{}")), 13],
    ["no body", new Uint8Array(0), 12],
    ["half a frame header", good.subarray(0, 3), 3],
    ["a frame header alone", good.subarray(0, 5), 12],
    ["a frame without its last byte", good.subarray(0, good.length - 1), 3],
    ["two messages", Buffer.concat([good, good]), 12],
    ["an empty message, which lacks its task", frameOf(new Uint8Array(0)), 3],
    ["a compressed flag", compressed, 13],
    ["bytes that are no message", garbage, 13],
    ["a text that is not UTF-8", badText, 13],
    ["an id against the rules", runFrame({ task: { id: "a b" } }), 3],
    ["the largest message", runFrame({ task: { input: new Uint8Array(MAX_MESSAGE_BYTES - 8) } }), 0],
    ["a message over the limit", runFrame({ task: { input: new Uint8Array(MAX_MESSAGE_BYTES) } }), 8],
    ["a service's error", runFrame({ task: { function: "throw", input: bytes("overloaded") } }), 8],
    ["a service's fault", runFrame({ task: { function: "break" } }), 13],
  ];
  for (const [what, body, status, headers] of cases) {
    const answer = await both(RUN, body, headers);
    assert.equal(grpcStatus(answer), status, `${what}: ${grpcMessage(answer)}`);
  }
  await both(LEGACY, frameOf(toBinary(TaskRequestSchema, create(TaskRequestSchema, { id: "1", input: "hello" }))));
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), fc.boolean(), async (body, framed) => {
      const whole = Buffer.from(framed ? frameOf(body) : body);
      // Connect passes over some kinds of rubbish behind a message, which the fast path refuses.
      if (whole.length >= 5 && whole.length > whole.readUInt32BE(1) + 5) return;
      await both(RUN, whole);
    }),
    { numRuns: 150 },
  );
});

test("a failed call carries the detail", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  const answer = await client.call(RUN, runFrame({ task: { function: "throw", input: bytes("overloaded") } }));
  assert.equal(grpcMessage(answer), "It failed with “ü” and 100 %");
  const detail = Buffer.from(answer.headers["grpc-status-details-bin"]!, "base64").toString("latin1");
  assert.ok(detail.includes("velas.sphere.v1.ErrorDetail") && detail.includes("overloaded"));
});

test("a foreign error is not shown, and is logged", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  const answer = await client.call(RUN, runFrame({ task: { function: "break" } }));
  assert.equal(grpcStatus(answer), 13);
  assert.ok(!grpcMessage(answer).includes("secret"));
  assert.equal(running.logged.length, 1);
});

test("a body may come in any pieces", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  const frame = runFrame({ task: { id: "pieces", input: new Uint8Array(50).fill(7) } });
  for (const size of [1, 4, 5, 6, frame.length - 1]) {
    const stream = client.open(RUN);
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    for (let at = 0; at < frame.length; at += size) {
      await new Promise((resolve) => stream.write(frame.subarray(at, at + size), resolve));
    }
    await new Promise((resolve) => stream.on("close", resolve).end());
    const response = fromBinary(RunTaskResponseSchema, Buffer.concat(chunks).subarray(5));
    assert.equal(response.id, "pieces");
    assert.equal(response.output.length, 50);
  }
});

test("metadata becomes the context, and only well-formed metadata", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  const requester = "0x52908400098527886E0F7030069857D2E4169EE7";
  const frame = runFrame({ task: {} });
  await client.call(RUN, frame, {
    "velas-requester": requester,
    "velas-request-id": "r-1",
    "grpc-timeout": "5S",
  });
  await client.call(RUN, frame, { "velas-requester": "0x12", "velas-request-id": "has spaces" });
  await client.call(RUN, frame);
  const [first, second, third] = running.tasks.contexts;
  assert.equal(first!.requester, requester);
  assert.equal(first!.requestId, "r-1");
  assert.ok(first!.deadlineAt! <= Date.now() + 5000);
  assert.equal(second!.requester, "anonymous");
  assert.notEqual(second!.requestId, "has spaces");
  assert.notEqual(third!.requestId, second!.requestId);
});

test("a deadline answers the call and aborts its signal", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  const answer = await client.call(RUN, runFrame({ task: { function: "hang" } }), { "grpc-timeout": "200m" });
  assert.equal(grpcStatus(answer), 4);
  assert.equal((running.tasks.aborts[0] as { code: string }).code, "deadline_exceeded");
});

test("a client that never ends its body is answered when the server's limit is over", async () => {
  await using running = await start({ limits: { requestTimeoutMs: 40 } });
  await using client = new RawClient(running.port);
  const stream = client.open(RUN);
  stream.write(runFrame({ task: {} }).subarray(0, 4));
  let status = "";
  stream.on("response", (headers) => status = String(headers["grpc-status"]));
  await new Promise((resolve) => stream.on("close", resolve).resume());
  assert.equal(status, "4");
  assert.equal(running.tasks.specs.length, 0);
});

test("a client that leaves aborts the call's signal", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  const stream = client.open(RUN);
  stream.end(runFrame({ task: { function: "hang" } }));
  await running.tasks.until(() => running.tasks.specs.length === 1);
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await running.tasks.until(() => running.tasks.aborts.length === 1);
  assert.equal((running.tasks.aborts[0] as { code: string }).code, "canceled");
});

test("a connection that breaks aborts its calls' signals", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  for (let i = 0; i < 5; i++) client.open(RUN).end(runFrame({ task: { function: "hang" } }));
  await running.tasks.until(() => running.tasks.specs.length === 5);
  client.session.destroy();
  await running.tasks.until(() => running.tasks.aborts.length === 5);
});

test("a message over the limit is refused before it has come, with its size", async () => {
  await using running = await start({ limits: { maxMessageBytes: 1000 } });
  await using client = new RawClient(running.port);
  const stream = client.open(RUN);
  const header = Buffer.from([0, 0, 0, 0x03, 0xe9]);
  let headers: http2.IncomingHttpHeaders = {};
  stream.on("response", (from) => headers = from);
  const ended = new Promise((resolve) => stream.on("end", resolve));
  stream.resume().write(header);
  await ended;
  assert.equal(headers["grpc-status"], "8");
  assert.match(decodeURIComponent(String(headers["grpc-message"])), /1001 .* 1000/);
});

test("resets at every stage leave the server whole", async () => {
  await using running = await start();
  const frame = runFrame({ task: { id: "x", input: new Uint8Array(100) } });
  for (let round = 0; round < 6; round++) {
    await using client = new RawClient(running.port);
    const ends: Promise<unknown>[] = [];
    for (let i = 0; i < 60; i++) {
      const stream = client.open(RUN);
      stream.resume();
      ends.push(new Promise((resolve) => stream.on("close", resolve)));
      const cancel = () => stream.close(http2.constants.NGHTTP2_CANCEL);
      switch (i % 6) {
        case 0:
          cancel();
          break;
        case 1:
          stream.write(frame.subarray(0, 3));
          cancel();
          break;
        case 2:
          stream.end(frame);
          cancel();
          break;
        case 3:
          stream.end(frame);
          setImmediate(cancel);
          break;
        case 4:
          stream.on("response", cancel).end(frame);
          break;
        case 5:
          stream.on("data", cancel).end(frame);
          break;
      }
    }
    if (round % 2 === 0) await Promise.all(ends);
    else client.session.destroy();
  }
  await using client = new RawClient(running.port);
  assert.equal(grpcStatus(await client.call(RUN, frame)), 0);
  assert.deepEqual(running.logged, []);
});

test("the legacy call runs the default plugin and gives the id back", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  const request = toBinary(TaskRequestSchema, create(TaskRequestSchema, { id: "1", input: "hello" }));
  for (const path of [LEGACY, "/resources.Plugin/RequestJobExecution"]) {
    const answer = await client.call(path, frameOf(request));
    assert.equal(answer.body.subarray(5).toString("hex"), Buffer.from("\n\u00011\u0012\u0005world").toString("hex"));
  }
  const [spec] = running.tasks.specs;
  assert.equal(spec!.id, "");
  assert.equal(text(spec!.input), "hello");
});
