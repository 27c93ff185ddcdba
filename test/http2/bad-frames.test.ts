import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { constants } from "node:http2";
import net from "node:net";
import type { ServerStream } from "../../src/http2/server-stream.ts";
import { test, type TestScope } from "../testing.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  type Frame,
  frame,
  framesOf,
  GET,
  GOAWAY,
  HEADERS,
  PING,
  POST,
  PREFACE,
  RST_STREAM,
  SETTINGS_FRAME,
  WINDOW_UPDATE,
  word,
} from "./frames.ts";
import { mutate, numbers } from "./mutations.ts";
import { answerOf, connectNode, ignore, serveSessions, SETTINGS, settled, someBytes, until, wait } from "./harness.ts";

const { NGHTTP2_CANCEL, NGHTTP2_FLOW_CONTROL_ERROR, NGHTTP2_NO_ERROR } = constants;

const GREETING = Buffer.concat([PREFACE, frame(SETTINGS_FRAME)]);

/** Answers requests with what they had; those for `/` may be answered otherwise. */
function serveEcho(t: TestScope, onStream: (stream: ServerStream) => void = echo) {
  return serveSessions(t, (stream, headers) => (headers[":path"] === "/" ? onStream : echo)(stream));
}

function echo(stream: ServerStream): void {
  if (stream.destroyed) return;
  stream.respond();
  stream.pipe(stream);
}

type Served = Awaited<ReturnType<typeof serveSessions>>;

/** A connection that says what it likes, and what has come of it. */
async function connectRaw(t: TestScope, port: number) {
  const chunks: Buffer[] = [];
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  socket.on("error", ignore).on("data", (chunk: Buffer) => chunks.push(chunk));
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return { socket, closed, frames: (): Frame[] => framesOf(Buffer.concat(chunks)) };
}

type Raw = Awaited<ReturnType<typeof connectRaw>>;

/** The code with which a connection was ended. */
function goawayOf({ frames }: Raw): number | undefined {
  return frames().findLast(({ type }) => type === GOAWAY)?.payload.readUInt32BE(4);
}

const headersOf = (stream: number, ends: boolean, block = ends ? GET : POST) =>
  frame(HEADERS, END_HEADERS | (ends ? END_STREAM : 0), stream, block);

/** Every session of the server is over, and it serves another connection. */
async function checkServes(t: TestScope, { port, sessions }: Served): Promise<void> {
  await until(() => sessions.every(({ destroyed }) => destroyed), "the end of a session");
  const client = await connectNode(t, port);
  const request = client.request({ ":method": "POST", ":path": "/check" });
  request.end("still there");
  assert.equal((await answerOf(request)).body.toString(), "still there");
}

test("what is no HTTP/2 ends the connection", async (t) => {
  const server = await serveEcho(t);
  const garbage = [
    Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    someBytes(100_000),
    Buffer.concat([PREFACE, Buffer.alloc(1000, 0xff)]),
    Buffer.concat([PREFACE, headersOf(1, true)]),
    Buffer.concat([GREETING, headersOf(2, true)]),
    Buffer.concat([GREETING, headersOf(1, true, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff]))]),
    Buffer.concat([GREETING, frame(DATA, 0, 1, Buffer.alloc(10))]),
    Buffer.concat([GREETING, frame(PING, 0, 0, Buffer.alloc(7))]),
    Buffer.concat([GREETING, frame(SETTINGS_FRAME, ACK, 0, Buffer.alloc(6))]),
    Buffer.concat([GREETING, frame(WINDOW_UPDATE, 0, 0, word(0))]),
    Buffer.concat([GREETING, frame(WINDOW_UPDATE, 0, 0, word(0x7fffffff))]),
    Buffer.concat([GREETING, frame(HEADERS, END_HEADERS, 1, Buffer.alloc((1 << 16) + 1))]),
  ];
  for (const [i, bytes] of garbage.entries()) {
    const raw = await connectRaw(t, server.port);
    raw.socket.write(bytes);
    await raw.closed;
    assert.notEqual(goawayOf(raw), NGHTTP2_NO_ERROR, `${i}`);
  }
  await checkServes(t, server);
  assert.ok(server.errors.every((error) => (error as NodeJS.ErrnoException).code === "ERR_HTTP2_ERROR"));
});

test("floods of what must be answered do not gather for a peer that does not read", async (t) => {
  const server = await serveEcho(t);
  for (const one of [frame(SETTINGS_FRAME), frame(PING, 0, 0, Buffer.alloc(8))]) {
    const raw = await connectRaw(t, server.port);
    raw.socket.pause();
    raw.socket.write(GREETING);
    const some = Buffer.concat(Array<Buffer>(10_000).fill(one));
    const { sessions } = server;
    await until(() => sessions.at(-1)?.socket.remotePort === raw.socket.localPort);
    let most = 0;
    for (let i = 0; i < 100 && !raw.socket.destroyed; i++) {
      await Promise.race([new Promise((resolve) => raw.socket.write(some, resolve)), wait(20)]);
      most = Math.max(most, sessions.at(-1)!.socket.writableLength);
    }
    assert.ok(most < 4 << 20, `${most} bytes wait for a peer that does not read`);
    raw.socket.destroy();
  }
  await checkServes(t, server);
});

test("some hundred settings and pings at once are answered, each", async (t) => {
  const { port } = await serveEcho(t);
  const raw = await connectRaw(t, port);
  const some = [frame(SETTINGS_FRAME), frame(PING, 0, 0, Buffer.from("velas ok"))];
  raw.socket.write(Buffer.concat([GREETING, ...Array<Buffer[]>(300).fill(some).flat()]));
  const acks = (of: number) => raw.frames().filter(({ type, flags }) => type === of && flags === ACK);
  await until(() => acks(SETTINGS_FRAME).length === 301 && acks(PING).length === 300);
  assert.ok(acks(PING).every(({ payload }) => payload.toString() === "velas ok"));
});

test("a client that opens and resets streams again and again is sent away", async (t) => {
  let served = 0;
  const server = await serveEcho(t, (stream) => {
    served++;
    echo(stream);
  });
  const raw = await connectRaw(t, server.port);
  raw.socket.write(GREETING);
  for (let id = 1; id < 40_000; id += 2) {
    raw.socket.write(Buffer.concat([headersOf(id, true), frame(RST_STREAM, 0, id, word(NGHTTP2_CANCEL))]));
  }
  await raw.closed;
  assert.ok(served < 10_000, `${served}`);
  await checkServes(t, server);
});

test("headers that go on and on end the connection", async (t) => {
  const server = await serveEcho(t);
  for (const more of [Buffer.alloc(0), Buffer.concat(Array<Buffer>(100).fill(Buffer.from([0, 1, 0x61, 1, 0x62])))]) {
    const raw = await connectRaw(t, server.port);
    raw.socket.write(Buffer.concat([GREETING, frame(HEADERS, 0, 1, GET)]));
    for (let i = 0; i < 5000; i++) raw.socket.write(frame(CONTINUATION, 0, 1, more));
    await raw.closed;
  }
  await checkServes(t, server);
});

test("a body beyond its window is reset, or ends the connection, and does not gather", async (t) => {
  const server = await serveEcho(t, ignore);
  const raw = await connectRaw(t, server.port);
  raw.socket.write(Buffer.concat([GREETING, headersOf(1, false)]));
  const part = frame(DATA, 0, 1, Buffer.alloc(16 << 10));
  const answerCode = () =>
    goawayOf(raw) ?? raw.frames().find(({ type }) => type === RST_STREAM)?.payload.readUInt32BE();
  let sent = 0;
  for (; sent < 100 << 20 && answerCode() === undefined; sent += 16 << 10) {
    await Promise.race([new Promise((resolve) => raw.socket.write(part, resolve)), raw.closed]);
  }
  assert.equal(answerCode(), NGHTTP2_FLOW_CONTROL_ERROR);
  assert.ok(sent > SETTINGS.streamWindowBytes, `${sent}`);
  raw.socket.destroy();
  await checkServes(t, server);
});

test("frames that come byte by byte are as good as whole ones", async (t) => {
  const { port } = await serveEcho(t);
  const raw = await connectRaw(t, port);
  const body = Buffer.from("byte by byte");
  const bytes = Buffer.concat([GREETING, headersOf(1, false), frame(DATA, END_STREAM, 1, body)]);
  for (const byte of bytes) {
    raw.socket.write(Uint8Array.of(byte));
    await wait(1);
  }
  const data = () => raw.frames().filter(({ type }) => type === DATA);
  await until(() => data().some(({ flags }) => (flags & END_STREAM) !== 0));
  assert.equal(Buffer.concat(data().map(({ payload }) => payload)).toString(), "byte by byte");
});

test("what comes after a GOAWAY opens no stream, and what was open goes on", async (t) => {
  const paths: unknown[] = [];
  const server = await serveSessions(t, (stream, headers) => {
    paths.push(headers[":method"]);
    stream.respond();
    stream.pipe(stream);
  });
  const raw = await connectRaw(t, server.port);
  raw.socket.write(Buffer.concat([GREETING, headersOf(1, false)]));
  await until(() => paths.length === 1);
  server.sessions[0]!.close();
  await until(() => goawayOf(raw) === NGHTTP2_NO_ERROR);
  raw.socket.write(Buffer.concat([headersOf(3, true), headersOf(5, false), frame(DATA, END_STREAM, 5)]));
  raw.socket.write(frame(DATA, END_STREAM, 1, Buffer.from("late")));
  await raw.closed;
  const data = raw.frames().filter(({ type }) => type === DATA);
  assert.ok(data.every(({ stream }) => stream === 1));
  assert.equal(Buffer.concat(data.map(({ payload }) => payload)).toString(), "late");
  assert.deepEqual(paths, ["POST"]);
});

test("answers to a peer that reads nothing do not gather without bound", async (t) => {
  // Without a body a stream is over at once, so that none of it counts for how many may be open.
  const { port, sessions } = await serveSessions(t, (stream) => {
    stream.respond({ ":status": 204, "x-long": "a".repeat(4100) });
  }, { maxConcurrentStreams: 10_000 });
  const { socket } = await connectRaw(t, port);
  socket.pause();
  socket.write(GREETING);
  const unsent = () => sessions[0]?.socket.writableLength ?? 0;
  for (let i = 0, id = 1; i < 1000 && unsent() < 8 << 20; i++) {
    const some = Array.from({ length: 40 }, () => headersOf((id += 2) - 2, true));
    socket.write(Buffer.concat(some));
    if (i % 10 === 0) await wait(1);
  }
  const most = await settled(unsent);
  assert.ok(most < 4 << 20, `${most} bytes wait for a peer that does not read`);
});

const MUTATIONS = 300;

/** What a client says that makes no mistake. */
const GOOD = [
  ...[frame(SETTINGS_FRAME, 0, 0, Buffer.from([0, 4, 0, 1, 0, 0])), frame(SETTINGS_FRAME, ACK)],
  ...[headersOf(1, false), frame(DATA, 0, 1, someBytes(3000)), frame(PING, 0, 0, Buffer.alloc(8))],
  ...[headersOf(3, true), frame(WINDOW_UPDATE, 0, 3, word(1000)), frame(WINDOW_UPDATE, 0, 0, word(1000))],
  ...[frame(DATA, END_STREAM, 1, someBytes(100)), frame(HEADERS, 0, 5, POST.subarray(0, 3))],
  ...[frame(CONTINUATION, END_HEADERS, 5, POST.subarray(3)), frame(RST_STREAM, 0, 5, word(NGHTTP2_CANCEL))],
  ...[headersOf(7, true), frame(GOAWAY, 0, 0, Buffer.alloc(8))],
];

test("a conversation with anything wrong in it throws nothing, and ends with its connection", async (t) => {
  const server = await serveEcho(t);
  for (let seed = 1; seed <= MUTATIONS; seed++) {
    const below = numbers(seed);
    const bytes = Buffer.concat([PREFACE, mutate(GOOD, below)]);
    const raw = await connectRaw(t, server.port);
    for (let at = 0; at < bytes.length;) {
      const length = 1 + below(bytes.length);
      raw.socket.write(bytes.subarray(at, at += length));
      if (below(2) === 0) await new Promise(setImmediate);
    }
    if (below(2) === 0) raw.socket.end();
    else await Promise.race([raw.closed, wait(below(5))]);
    raw.socket.destroy();
    await raw.closed;
  }
  await until(() => server.sessions.length === MUTATIONS);
  await checkServes(t, server);
});
