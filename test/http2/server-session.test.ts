import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import http2, { constants } from "node:http2";
import type { ServerStream } from "../../src/http2/server-stream.ts";
import { test } from "../testing.ts";
import { answerOf, connectNode, ignore, serveSessions, until } from "./harness.ts";

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

test("a unary request has its answer with a body and trailers", async (t) => {
  const { port } = await serveSessions(t, (stream, headers) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      stream.respond({ ":status": 201, "x-path": headers[":path"], "set-cookie": ["a=1", "b=2"] }, {
        waitForTrailers: true,
      });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-trailer": "after" }));
      stream.end(Buffer.concat(chunks));
    });
  });
  const client = await connectNode(t, port);
  const request = client.request({ ":method": "POST", ":path": "/a?b" });
  request.end("hello");
  const { status, headers, trailers, body, rstCode, error } = await answerOf(request);
  assert.deepEqual([status, headers["x-path"], headers["set-cookie"]], [201, "/a?b", ["a=1", "b=2"]]);
  assert.ok(!Number.isNaN(Date.parse(headers.date!)));
  assert.equal(trailers?.["x-trailer"], "after");
  assert.deepEqual([body.toString(), rstCode, error], ["hello", NGHTTP2_NO_ERROR, undefined]);
});

test("trailers of a request reach the server", async (t) => {
  let trailers: http2.IncomingHttpHeaders = {};
  const { port } = await serveSessions(t, (stream) => {
    stream.on("trailers", (given: http2.IncomingHttpHeaders) => trailers = given);
    stream.on("end", () => stream.respond({}, { endStream: true }));
    stream.resume();
  });
  const client = await connectNode(t, port);
  const request = client.request({ ":method": "POST" }, { waitForTrailers: true });
  request.on("wantTrailers", () => request.sendTrailers({ "x-trailer": "up" }));
  request.end("body");
  assert.equal((await answerOf(request)).status, 200);
  assert.equal(trailers["x-trailer"], "up");
});

test("both sides stream at the same time", async (t) => {
  const { port } = await serveSessions(t, (stream) => {
    stream.respond();
    stream.on("data", (chunk: Buffer) => stream.write(`got ${chunk}`));
    stream.on("end", () => stream.end());
  });
  const client = await connectNode(t, port);
  const request = client.request({ ":method": "POST" });
  request.setEncoding("utf8");
  for (let i = 0; i < 50; i++) {
    request.write(`${i}`);
    assert.deepEqual(await once(request, "data"), [`got ${i}`]);
  }
  request.end();
  request.resume();
  await once(request, "close");
  assert.equal(request.rstCode, NGHTTP2_NO_ERROR);
});

test("an answer to HEAD, and one with 204 or 304, has no body whatever is written", async (t) => {
  const { port } = await serveSessions(t, (stream, headers) => {
    stream.respond({ ":status": Number(headers["x-status"]), "content-type": "text/plain" });
    stream.end("dropped");
    stream.resume();
  });
  const client = await connectNode(t, port);
  for (const [method, status] of [["HEAD", 200], ["GET", 204], ["GET", 304], ["POST", 204]] as const) {
    const request = client.request({ ":method": method, "x-status": status });
    request.end();
    const answer = await answerOf(request);
    assert.deepEqual([answer.status, answer.body.length, answer.rstCode], [status, 0, NGHTTP2_NO_ERROR]);
  }
});

test("informational headers come before the answer", async (t) => {
  const { port } = await serveSessions(t, (stream) => {
    stream.additionalHeaders({ ":status": 103, link: "</a>" });
    stream.respond({ ":status": 200 });
    stream.end("x");
  });
  const client = await connectNode(t, port);
  const request = client.request();
  const told: unknown[] = [];
  request.on("headers", (headers) => told.push(headers[":status"], headers["link"]));
  request.on("response", (headers) => told.push(headers[":status"]));
  await answerOf(request);
  assert.deepEqual(told, [103, "</a>", 200]);
});

test("an answer whose trailers are empty, or that nobody gives any, ends", async (t) => {
  const { port } = await serveSessions(t, (stream, headers) => {
    stream.respond({}, { waitForTrailers: true });
    if (headers[":path"] === "/empty") stream.on("wantTrailers", () => stream.sendTrailers({}));
    if (headers[":path"] === "/bodiless") stream.end();
    else stream.end("body");
  });
  const client = await connectNode(t, port);
  for (const path of ["/empty", "/none", "/bodiless"]) {
    const { body, rstCode } = await answerOf(client.request({ ":path": path }));
    assert.deepEqual([body.toString(), rstCode], [path === "/bodiless" ? "" : "body", NGHTTP2_NO_ERROR], path);
  }
});

test("headers beyond the limit are told, and the stream is reset when they have 64 KiB more", async (t) => {
  const told: number[] = [];
  const { port, sessions } = await serveSessions(t, (stream, headers) => {
    told.push((headers["x-long"] as string).length);
    stream.respond({}, { endStream: true });
  }, { maxHeaderBytes: 4096 });
  const client = await connectNode(t, port, { maxSendHeaderBlockLength: 1 << 20 });
  await until(() => client.remoteSettings.maxHeaderListSize === 4096);
  assert.equal((await answerOf(client.request({ "x-long": "a".repeat(3000) }))).status, 200);
  assert.equal((await answerOf(client.request({ "x-long": "a".repeat(20_000) }))).status, 200);
  const long: http2.OutgoingHttpHeaders = { "x-long": "a".repeat(20_000) };
  for (let i = 0; i < 5; i++) long[`x-${i}`] = "b".repeat(12_000);
  const { status, rstCode, error } = await answerOf(client.request(long));
  assert.deepEqual([status, rstCode], [undefined, NGHTTP2_ENHANCE_YOUR_CALM]);
  assert.equal(error?.code, "ERR_HTTP2_STREAM_ERROR");
  assert.equal((await answerOf(client.request({ "x-long": "a" }))).status, 200);
  assert.deepEqual(told, [3000, 20_000, 1]);
  assert.equal(sessions[0]!.destroyed, false);
});

test("a client is told how many streams it may open, and keeps to it", async (t) => {
  let open = 0;
  let most = 0;
  const { port } = await serveSessions(t, (stream) => {
    most = Math.max(most, ++open);
    setTimeout(() => {
      open--;
      stream.respond({}, { endStream: true });
    }, 20);
  }, { maxConcurrentStreams: 3 });
  const client = await connectNode(t, port);
  await until(() => client.remoteSettings.maxConcurrentStreams === 3);
  const answers = await Promise.all(Array.from({ length: 10 }, () => answerOf(client.request())));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(most, 3);
});

test("a request that its client resets is aborted, closed and destroyed, and its answer is dropped", async (t) => {
  const events: string[] = [];
  const streams: ServerStream[] = [];
  const { port } = await serveSessions(t, (stream) => {
    streams.push(stream);
    for (const event of ["aborted", "error", "end", "close"]) stream.on(event, () => events.push(event));
    stream.resume();
    stream.respond();
    stream.write("begun");
  });
  const client = await connectNode(t, port);
  const request = client.request({ ":method": "POST" }).on("error", ignore);
  await once(request, "data");
  request.close(NGHTTP2_CANCEL);
  await until(() => streams[0]!.destroyed && events.includes("close"));
  const [stream] = streams as [ServerStream];
  assert.deepEqual([stream.rstCode, stream.aborted, stream.closed], [NGHTTP2_CANCEL, true, true]);
  assert.ok(events.includes("aborted"));
  assert.ok(!events.includes("error"), "a client that cancels is no error");
  assert.throws(() => stream.respond({}), Error);
  stream.write("dropped");
  stream.end();
  const second = client.request();
  await once(second, "response");
  second.close();
});

test("an answer that is closed with NO_ERROR while its request still comes is whole", async (t) => {
  const { port } = await serveSessions(t, (stream) => {
    stream.respond({ ":status": 413 });
    stream.end("too much");
    stream.close(NGHTTP2_NO_ERROR);
  });
  const client = await connectNode(t, port);
  const request = client.request({ ":method": "POST" });
  const writer = setInterval(() => request.writable && request.write(Buffer.alloc(1000)), 1);
  t.after(() => clearInterval(writer));
  const { status, body, rstCode } = await answerOf(request);
  assert.deepEqual([status, body.toString(), rstCode], [413, "too much", NGHTTP2_NO_ERROR]);
});

test("a stream that is closed with a code, or destroyed, is reset", async (t) => {
  const { port } = await serveSessions(t, (stream, headers) => {
    if (headers[":path"] === "/answered") {
      stream.respond();
      stream.write("part");
    }
    if (headers[":path"] === "/destroyed") stream.destroy(new Error("It broke"));
    else if (headers[":path"] === "/let-go") stream.destroy();
    else setTimeout(() => stream.close(NGHTTP2_CANCEL), 20);
  });
  const client = await connectNode(t, port);
  const codes = { "/": NGHTTP2_CANCEL, "/answered": NGHTTP2_CANCEL, "/destroyed": NGHTTP2_INTERNAL_ERROR };
  for (const [path, code] of Object.entries(codes)) {
    const { rstCode, body } = await answerOf(client.request({ ":path": path }));
    assert.deepEqual([rstCode, body.toString()], [code, path === "/answered" ? "part" : ""], path);
  }
  assert.equal((await answerOf(client.request({ ":path": "/let-go" }))).status, undefined);
});

test("a session that is closed lets its stream end, takes no other, and ends the connection", async (t) => {
  const { port, sessions } = await serveSessions(t, (stream) => {
    stream.respond();
    stream.write("before ");
    setTimeout(() => stream.end("after"), 100);
  });
  const client = await connectNode(t, port);
  const goaway = once(client, "goaway");
  const request = client.request();
  await once(request, "response");
  const ended = once(sessions[0]!, "close");
  sessions[0]!.close();
  assert.equal(sessions[0]!.closed, true);
  assert.equal(sessions[0]!.destroyed, false);
  const [code] = await goaway;
  assert.equal(code, NGHTTP2_NO_ERROR);
  assert.equal((await answerOf(request)).body.toString(), "before after");
  await ended;
  assert.equal(sessions[0]!.destroyed, true);
  await until(() => client.destroyed);
});

test("a session that is destroyed ends its streams and its connection at once", async (t) => {
  const streams: ServerStream[] = [];
  const { port, sessions, errors } = await serveSessions(t, (stream) => {
    streams.push(stream);
    stream.respond();
    stream.write("part");
  });
  const client = await connectNode(t, port);
  const request = client.request();
  await once(request, "data");
  const session = sessions[0]!;
  const closed = once(session, "close");
  session.destroy();
  await closed;
  assert.deepEqual([session.destroyed, streams[0]!.destroyed, streams[0]!.rstCode], [true, true, NGHTTP2_CANCEL]);
  assert.deepEqual(errors, []);
  await until(() => client.destroyed);
  let answered: Error | null | undefined;
  session.ping((error) => answered = error);
  session.close();
  session.destroy();
  assert.equal(answered, undefined);
});

test("a ping is answered, and told an error when the connection ends before", async (t) => {
  const { port, sessions } = await serveSessions(t, () => {});
  const client = await connectNode(t, port);
  await until(() => sessions.length === 1);
  const [error] = await new Promise<unknown[]>((resolve) => sessions[0]!.ping((...args) => resolve(args)));
  assert.equal(error, null);
  await new Promise<void>((resolve, reject) => client.ping((error) => error ? reject(error) : resolve()));
  let late: Error | null = null;
  sessions[0]!.ping((error) => late = error);
  sessions[0]!.destroy();
  assert.ok((late as Error | null) instanceof Error);
});

test("headers that cannot be sent throw a TypeError, and the stream can answer something else", async (t) => {
  const bad: http2.OutgoingHttpHeaders[] = [
    ...[{ "a b": "1" }, { "": "1" }, { "ä": "1" }, { "a\n": "1" }, { connection: "close" }],
    ...[{ "transfer-encoding": "chunked" }, { a: "1\r\n2" }, { a: "\0" }, { a: "\x7f" }, { a: "€" }],
  ];
  const { port } = await serveSessions(t, (stream) => {
    for (const headers of bad) {
      assert.throws(() => stream.respond(headers), TypeError);
      assert.throws(() => stream.additionalHeaders({ ":status": 103, ...headers }), TypeError);
      assert.equal(stream.headersSent, false);
    }
    stream.respond({ "x-latin": "ä\xff", "X-Upper": " trimmed " }, { waitForTrailers: true });
    assert.throws(() => stream.respond({}), Error);
    assert.throws(() => stream.sendTrailers({ a: "early" }), Error);
    stream.on("wantTrailers", () => {
      for (const headers of bad) assert.throws(() => stream.sendTrailers(headers), TypeError);
      stream.sendTrailers({ a: "2" });
      assert.throws(() => stream.sendTrailers({ a: "again" }), Error);
    });
    stream.end("else");
  });
  const client = await connectNode(t, port);
  const { status, headers, trailers, body } = await answerOf(client.request());
  assert.deepEqual([status, headers["x-upper"], body.toString(), trailers?.["a"]], [200, "trimmed", "else", "2"]);
  assert.equal(Buffer.from(headers["x-latin"] as string, "latin1").toString("hex"), "e4ff");
});
