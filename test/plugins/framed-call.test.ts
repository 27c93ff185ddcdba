import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { constants } from "node:http2";
import type { OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { parseTarget } from "../../src/core/mod.ts";
import { ExternalSession } from "../../src/plugins/external-session.ts";
import { callFramed, type FramedCallInit } from "../../src/plugins/framed-call.ts";
import { test, type TestScope } from "../testing.ts";
import { serveStreams } from "./external-servers.ts";

const OK: OutgoingHttpHeaders = { ":status": 200, "content-type": "application/grpc+proto" };

/** A gRPC frame of the text. */
function frame(text: string, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(Buffer.byteLength(text), 1);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** Answers with headers, bytes, and trailers. */
function answer(
  stream: ServerHttp2Stream,
  pieces: Uint8Array[],
  trailers: OutgoingHttpHeaders = { "grpc-status": "0" },
) {
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.respond(OK, { waitForTrailers: true });
  for (const piece of pieces) stream.write(piece);
  stream.end();
}

type Serve = (stream: ServerHttp2Stream) => void;

/** A session with a server whose streams are served by hand, and a way to call it. */
async function connected(t: TestScope, serve: Serve) {
  const server = await serveStreams(serve);
  t.after(() => server.kill());
  const session = new ExternalSession(parseTarget(server.address), 5000);
  t.after(() => session.close());
  const taken: string[] = [];
  return {
    server,
    taken,
    call: (init: Partial<FramedCallInit> = {}) =>
      callFramed({
        session,
        headers: { ":method": "POST", ":path": "/s/m", "content-type": "application/grpc+proto", "te": "trailers" },
        requests: frame("asked"),
        signal: new AbortController().signal,
        readMaxBytes: 1000,
        take: (message) => void taken.push(Buffer.from(message).toString()),
        ...init,
      }),
  };
}

const failsWith = (code: Code, message: RegExp) => (reason: unknown) => {
  assert(reason instanceof ConnectError, String(reason));
  assert.equal(Code[reason.code], Code[code], reason.message);
  assert.match(reason.rawMessage, message);
  return true;
};

test("messages are taken in order, however the network cuts them", async (t) => {
  const messages = ["", "a", "b".repeat(300), "ü", "c".repeat(1000)];
  const all = Buffer.concat(messages.map((text) => frame(text)));
  let size = 1;
  const it = await connected(t, (stream) => {
    const pieces: Buffer[] = [];
    for (let at = 0; at < all.length; at += size) pieces.push(all.subarray(at, at + size));
    answer(stream, pieces);
  });
  for (size of [1, 4, 5, 6, 7, 299, all.length]) {
    it.taken.length = 0;
    await it.call();
    assert.deepEqual(it.taken, messages, `pieces of ${size}`);
  }
});

test("a status is the peer's own, in trailers and in headers, and after messages", async (t) => {
  const status = { "grpc-status": String(Code.NotFound), "grpc-message": "no%20such" };
  let serve: Serve = () => {};
  const it = await connected(t, (stream) => serve(stream));
  serve = (stream) => answer(stream, [frame("first")], status);
  await assert.rejects(it.call(), failsWith(Code.NotFound, /^no such$/));
  assert.deepEqual(it.taken, ["first"]);
  serve = (stream) => stream.respond({ ...OK, ...status }, { endStream: true });
  await assert.rejects(it.call(), failsWith(Code.NotFound, /^no such$/));
  serve = (stream) => answer(stream, [], {});
  await assert.rejects(it.call(), failsWith(Code.Internal, /missing status/));
});

test("what is no gRPC is told from what is: statuses of HTTP, media types, compression, flags, length, a message cut off", async (t) => {
  let serve: Serve = () => {};
  const it = await connected(t, (stream) => serve(stream));
  const cases: [Serve, Code, RegExp][] = [
    [(stream) => stream.respond({ ":status": 404 }, { endStream: true }), Code.Unimplemented, /^HTTP 404$/],
    [
      (stream) => stream.respond({ ":status": 200, "content-type": "text/html" }),
      Code.Unknown,
      /content type text\/html/,
    ],
    [(stream) => stream.respond({ ...OK, "grpc-encoding": "gzip" }), Code.Internal, /encoding "gzip"/],
    [(stream) => answer(stream, [frame("x", 1)]), Code.Internal, /compressed/],
    [(stream) => answer(stream, [frame("x", 128)]), Code.Internal, /flags 128/],
    [(stream) => answer(stream, [frame("y".repeat(1001))]), Code.ResourceExhausted, /1001/],
    [(stream) => answer(stream, [frame("whole").subarray(0, 7)]), Code.InvalidArgument, /incomplete/],
    [(stream) => answer(stream, [frame("").subarray(0, 3)]), Code.InvalidArgument, /incomplete/],
  ];
  for (const [served, code, message] of cases) {
    serve = served;
    await assert.rejects(it.call(), failsWith(code, message));
    assert.deepEqual(it.taken, []);
  }
  serve = (stream) => answer(stream, [frame("still here")]);
  await it.call();
  assert.deepEqual(it.taken, ["still here"]);
});

test("resets and a lost connection are no answers", async (t) => {
  const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM } = constants;
  let serve: Serve = () => {};
  const it = await connected(t, (stream) => serve(stream));
  const reset = (code: number): Serve => (stream) => {
    // Trailers that never come keep node:http2 from ending the stream before it resets it.
    stream.respond(OK, { waitForTrailers: true });
    stream.write(frame("begun"), () => stream.close(code));
  };
  serve = reset(NGHTTP2_CANCEL);
  await assert.rejects(it.call(), failsWith(Code.Canceled, /./));
  serve = reset(NGHTTP2_REFUSED_STREAM);
  await assert.rejects(it.call(), (reason) => reason instanceof ConnectError);
  serve = (stream) => stream.session!.destroy();
  await assert.rejects(it.call(), (reason) => reason instanceof ConnectError);
  serve = (stream) => answer(stream, [frame("again")]);
  it.taken.length = 0;
  await it.call();
  assert.deepEqual(it.taken, ["again"], "on a new connection");
});

test("nothing more is taken, and little more is read, while a message is waited for", async (t) => {
  let sent = 0;
  const it = await connected(t, (stream) => {
    const big = frame("z".repeat(60_000));
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.respond(OK, { waitForTrailers: true });
    const more = () => {
      while (sent < 400) {
        sent++;
        if (!stream.write(big)) return void stream.once("drain", more);
      }
      stream.end();
    };
    more();
  });
  let taken = 0;
  const first = Promise.withResolvers<void>();
  const call = it.call({ readMaxBytes: 1 << 20, take: () => ++taken === 1 ? first.promise : undefined });
  // The sender comes to a stop below what a stream and its buffers hold, if backpressure is known to its runtime.
  for (let before = -1; before !== sent || taken === 0;) {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(taken, 1);
  if (!("Deno" in globalThis)) assert(sent < 150, `${sent} messages were sent`);
  first.resolve();
  await call;
  assert.equal(taken, 400);
});

test("a taker that throws, or whose promise rejects, ends the call with that, and resets it", async (t) => {
  const resets: number[] = [];
  const it = await connected(t, (stream) => {
    stream.on("close", () => resets.push(stream.rstCode!));
    stream.respond(OK);
    stream.write(Buffer.concat([frame("one"), frame("two")]));
  });
  const mine = new Error("mine");
  await assert.rejects(
    it.call({
      take() {
        throw mine;
      },
    }),
    mine,
  );
  await assert.rejects(it.call({ take: () => Promise.reject(mine) }), mine);
  while (resets.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
  if (!("Deno" in globalThis)) assert.deepEqual(resets, [constants.NGHTTP2_CANCEL, constants.NGHTTP2_CANCEL]);
});

test("the signal ends a call at every stage, and an answer that comes early lets go of the requests", async (t) => {
  let serve: Serve = () => {};
  const it = await connected(t, (stream) => serve(stream));
  const stop = new AbortController();
  const why = new Error("stopped");
  serve = (stream) => {
    stream.respond(OK);
    stop.abort(why);
  };
  await assert.rejects(it.call({ signal: stop.signal }), why);
  await assert.rejects(it.call({ signal: stop.signal }), why, "before it begins");

  let left = false;
  async function* endless(): AsyncGenerator<Uint8Array[]> {
    try {
      for (;;) yield await Promise.resolve([frame("w".repeat(1000))]);
    } finally {
      left = true;
    }
  }
  serve = (stream) => answer(stream, [frame("enough")]);
  await it.call({ requests: endless() });
  while (!left) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.deepEqual(it.taken, ["enough"]);
});
