import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { RunTaskRequestSchema, RunTaskStreamRequestSchema } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { frameOf } from "../../src/rpc/grpc-frame.ts";
import { bytes } from "./fake-tasks.ts";
import { grpcStatus, h2Frame, PREFACE, RawClient, RawSocket, type Running, start } from "./harness.ts";

const RUN = "/velas.sphere.v1.TaskService/Run";
const RUN_STREAM = "/velas.sphere.v1.TaskService/RunStream";
const SETTINGS = 4;
const WINDOW_UPDATE = 8;
const HEADERS = 1;
const DATA = 0;
const RST_STREAM = 3;
const MAX_WINDOW = 0x7fffffff;

const runFrame = frameOf(toBinary(RunTaskRequestSchema, create(RunTaskRequestSchema, { task: { input: bytes("x") } })));
const streamFrame = (message: MessageInitShape<typeof RunTaskStreamRequestSchema>["message"]) =>
  frameOf(
    toBinary(RunTaskStreamRequestSchema, create(RunTaskStreamRequestSchema, message === undefined ? {} : { message })),
  );

function uint32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
}

/** A block of headers for a call, each as a literal without an index (RFC 7541 §6.2.2). */
function headerBlock(path: string): Buffer {
  const headers = {
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": "x",
    "content-type": "application/grpc",
    te: "trailers",
  };
  return Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => [
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  );
}

async function works(running: Running): Promise<void> {
  await using client = new RawClient(running.port);
  assert.equal(grpcStatus(await client.call(RUN, runFrame)), 0);
}

/** Makes calls until a number stops growing while they are answered. */
async function standstill(running: Running, number: () => number): Promise<void> {
  await using client = new RawClient(running.port);
  for (let before = -1; before !== number();) {
    before = number();
    for (let i = 0; i < 30; i++) await client.call(RUN, runFrame);
  }
}

test("a client that opens its windows wide and reads nothing is sent little", async () => {
  await using running = await start({ limits: { maxUnreadBytes: 1 << 20 } });
  await using socket = new RawSocket(running.port);
  await socket.connected;
  socket.socket.pause();
  const calls = Array.from({ length: 10 }, (_, i) => 1 + 2 * i).flatMap((id) => [
    h2Frame(HEADERS, 4, id, headerBlock(RUN_STREAM)),
    h2Frame(DATA, 0, id, streamFrame({ case: "task", value: { function: "flood" } })),
    h2Frame(DATA, 1, id, streamFrame({ case: "chunk", value: bytes("4000") })), // 250 MiB each
  ]);
  socket.socket.write(Buffer.concat([
    PREFACE,
    h2Frame(SETTINGS, 0, 0, Buffer.concat([Buffer.from([0, 4]), uint32(MAX_WINDOW)])),
    h2Frame(WINDOW_UPDATE, 0, 0, uint32(MAX_WINDOW - 65535)),
    ...calls,
  ]));
  await running.tasks.until(() => running.tasks.contexts.length === 10);
  await standstill(running, () => running.tasks.floodedBytes);
  assert.ok(running.tasks.floodedBytes < 64 << 20, `${running.tasks.floodedBytes} bytes were produced for nobody`);
  const flooded = running.tasks.contexts.slice(0, 10);
  const stopped = flooded.map(({ signal }) =>
    new Promise((resolve) => signal.aborted ? resolve(0) : signal.addEventListener("abort", resolve))
  );
  socket.socket.destroy();
  await Promise.all(stopped);
});

test("a flood of streams that are reset at once ends at most its own connection", async () => {
  await using running = await start();
  await using socket = new RawSocket(running.port);
  await socket.connected;
  socket.socket.write(Buffer.concat([PREFACE, h2Frame(SETTINGS, 0, 0)]));
  const block = headerBlock(RUN);
  for (let id = 1; id < 20_000 && !socket.socket.destroyed; id += 200) {
    const frames = Array.from({ length: 100 }, (_, i) => [
      h2Frame(HEADERS, 4, id + 2 * i, block),
      h2Frame(RST_STREAM, 0, id + 2 * i, uint32(8)),
    ]);
    const written = new Promise((resolve) => socket.socket.write(Buffer.concat(frames.flat()), resolve));
    await Promise.race([written, socket.closed]);
  }
  await works(running);
  assert.deepEqual(running.logged, []);
});

test("frames for streams that are over, of unknown types, and pings by the hundred are borne", async () => {
  await using running = await start();
  await using socket = new RawSocket(running.port);
  await socket.connected;
  const body = h2Frame(DATA, 1, 1, runFrame);
  socket.socket.write(Buffer.concat([
    PREFACE,
    h2Frame(SETTINGS, 0, 0),
    h2Frame(0x77, 0xff, 0, Buffer.alloc(20)),
    ...Array.from({ length: 300 }, () => h2Frame(6, 0, 0, Buffer.alloc(8))),
    h2Frame(HEADERS, 4, 1, headerBlock(RUN)),
    body,
  ]));
  await socket.until("drawn"); // the id in the answer; headers are compressed
  // The stream is over: this is an error of that stream or of the connection, as the server likes.
  socket.socket.write(Buffer.concat([body, h2Frame(RST_STREAM, 0, 1, uint32(8))]));
  await works(running);
  assert.deepEqual(running.logged, []);
});

test("a connection that breaks in the middle of a frame aborts its call", async () => {
  await using running = await start();
  await using socket = new RawSocket(running.port);
  await socket.connected;
  const whole = h2Frame(DATA, 0, 1, streamFrame({ case: "task", value: { function: "hang" } }));
  socket.socket.write(Buffer.concat([
    PREFACE,
    h2Frame(SETTINGS, 0, 0),
    h2Frame(HEADERS, 4, 1, headerBlock(RUN_STREAM)),
    whole,
    whole.subarray(0, 12),
  ]));
  await running.tasks.until(() => running.tasks.contexts.length === 1);
  socket.socket.destroy();
  await running.tasks.until(() => running.tasks.aborts.length === 1);
  assert.equal((running.tasks.aborts[0] as { code: string }).code, "canceled");
  await works(running);
});
