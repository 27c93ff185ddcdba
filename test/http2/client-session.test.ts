import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type EventEmitter, once } from "node:events";
import http2, { constants } from "node:http2";
import net, { type AddressInfo } from "node:net";
import type { ClientStream } from "../../src/http2/client-stream.ts";
import { test, type TestScope } from "../testing.ts";
import {
  answerOf,
  hashOf,
  ignore,
  openClient,
  serveNode,
  SETTINGS,
  settled,
  someBytes,
  until,
  wait,
} from "./harness.ts";

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = constants;

/** A port of the loopback that does with its connections what it is told. */
async function serveSockets(t: TestScope, onSocket: (socket: net.Socket) => void) {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket.on("error", ignore));
    onSocket(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

/** What a caller is told of a session until it is closed. */
async function endOf(session: EventEmitter): Promise<NodeJS.ErrnoException | undefined> {
  let error: NodeJS.ErrnoException | undefined;
  session.on("error", (given) => error = given);
  await new Promise((resolve) => session.once("close", resolve));
  return error;
}

test("requests that are made before there is a connection go out once there is, in order", async (t) => {
  const paths: unknown[] = [];
  const { port } = await serveNode(t, (stream, headers) => {
    paths.push(headers[":path"]);
    stream.respond();
    stream.pipe(stream);
  });
  const session = openClient(t, port);
  let connects = 0;
  session.on("connect", () => connects++);
  const requests = ["/1", "/2", "/3"].map((path) => session.request({ ":method": "POST", ":path": path }));
  assert.deepEqual([session.connecting, requests.map(({ pending }) => pending)], [true, [true, true, true]]);
  requests.forEach((request, i) => request.end(`body ${i}`));
  const answers = await Promise.all(requests.map(answerOf));
  assert.deepEqual(answers.map(({ body }) => body.toString()), ["body 0", "body 1", "body 2"]);
  assert.deepEqual(paths, ["/1", "/2", "/3"]);
  assert.deepEqual([session.connecting, requests[0]!.pending, connects], [false, false, 1]);
});

test("a refused connection is the error of its session and of what was asked", async (t) => {
  const server = net.createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const session = openClient(t, port);
  const end = endOf(session);
  const { status, error } = await answerOf(session.request({}));
  assert.deepEqual([status, error?.code, (await end)?.code], [undefined, "ECONNREFUSED", "ECONNREFUSED"]);
  assert.ok(session.destroyed && session.closed);
  assert.throws(() => session.request({}), Error);
});

test("a server that does not speak HTTP/2 is an error", async (t) => {
  const greetings = [
    "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
    "\0".repeat(100),
    "220 mail\r\n".repeat(10),
  ];
  for (const greeting of greetings) {
    const port = await serveSockets(t, (socket) => socket.resume().write(greeting));
    const session = openClient(t, port);
    const end = endOf(session);
    const { status, rstCode, error } = await answerOf(session.request({}));
    assert.equal((await end)?.code, "ERR_HTTP2_ERROR", greeting);
    assert.deepEqual([status, rstCode, error?.code], [undefined, NGHTTP2_CANCEL, "ERR_HTTP2_ERROR"], greeting);
  }
});

test("a server that asks to leave is asked no more, and what is open goes on", async (t) => {
  const { port, sessions } = await serveNode(t, (stream) => {
    stream.respond();
    stream.write("before ");
    setTimeout(() => stream.end("after"), 50);
  });
  const session = openClient(t, port);
  const end = endOf(session);
  const request = session.request({});
  const answer = answerOf(request);
  await once(request, "response");
  const goaway = once(session, "goaway");
  sessions[0]!.close();
  assert.equal((await goaway)[0], NGHTTP2_NO_ERROR);
  assert.deepEqual([session.closed, session.destroyed], [true, false]);
  assert.throws(() => session.request({}), Error);
  const { body, rstCode, error } = await answer;
  assert.deepEqual([body.toString(), rstCode, error], ["before after", NGHTTP2_NO_ERROR, undefined]);
  assert.equal(await end, undefined);
});

test("a server that leaves with a code ends the session and its streams with an error", async (t) => {
  const { port, sessions } = await serveNode(t, (stream) => stream.respond());
  const session = openClient(t, port);
  const end = endOf(session);
  const request = session.request({});
  const answer = answerOf(request);
  await once(request, "response");
  sessions[0]!.goaway(NGHTTP2_ENHANCE_YOUR_CALM);
  const { rstCode, error } = await answer;
  assert.deepEqual([rstCode, error?.code], [NGHTTP2_CANCEL, "ERR_HTTP2_SESSION_ERROR"]);
  assert.match((await end)!.message, /\b11\b/);
});

test("a connection that is lost closes its streams and its session", async (t) => {
  const { port, sockets } = await serveNode(t, (stream) => {
    stream.respond();
    stream.write("part");
  });
  const session = openClient(t, port);
  const end = endOf(session);
  const begun = session.request({ ":method": "POST" });
  const answer = answerOf(begun);
  await once(begun, "data");
  let pinged: Error | null = null;
  sockets[0]!.destroy();
  session.ping((error) => pinged = error);
  const unanswered = answerOf(session.request({}));
  assert.equal((await answer).rstCode, NGHTTP2_CANCEL);
  assert.equal((await unanswered).rstCode, NGHTTP2_CANCEL);
  await end;
  assert.ok(session.destroyed);
  assert.ok((pinged as Error | null) instanceof Error);
});

test("an answer has a status that is a number, headers and trailers, also when it has nothing else", async (t) => {
  const { port } = await serveNode(t, (stream, headers) => {
    if (headers[":path"] === "/only") {
      stream.respond({ "grpc-status": "5", "set-cookie": ["a=1"] }, { endStream: true });
    } else {
      stream.respond({ ":status": 404 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "6" }));
      stream.end();
    }
  });
  const session = openClient(t, port);
  const only = await answerOf(session.request({ ":path": "/only" }));
  assert.deepEqual([only.status, only.headers["grpc-status"], only.headers["set-cookie"]], [200, "5", ["a=1"]]);
  assert.deepEqual([only.trailers, only.body.length, only.rstCode], [undefined, 0, NGHTTP2_NO_ERROR]);
  const both = await answerOf(session.request({ ":path": "/both" }));
  assert.deepEqual([both.status, both.trailers?.["grpc-status"], both.rstCode], [404, "6", NGHTTP2_NO_ERROR]);
});

test("an answer that came whole is there for who begins to read it later", async (t) => {
  const { port } = await serveNode(t, (stream) => {
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.end("whole");
  });
  const request = openClient(t, port).request({ ":method": "POST" });
  request.end();
  await once(request, "trailers");
  await wait(50);
  assert.deepEqual([request.closed, request.destroyed], [false, false]);
  const read: Uint8Array[] = [];
  for await (const bytes of request) read.push(bytes as Uint8Array);
  assert.equal(Buffer.concat(read).toString(), "whole");
  if (!request.destroyed) await once(request, "close");
  assert.equal(request.closed, true);
});

test("requests beyond what the server takes wait for their turn", async (t) => {
  let open = 0;
  let most = 0;
  const { port } = await serveNode(t, (stream) => {
    most = Math.max(most, ++open);
    stream.on("close", () => open--);
    setTimeout(() => stream.respond({}, { endStream: true }), 20);
  }, { maxConcurrentStreams: 3 });
  const session = openClient(t, port);
  await once(session, "remoteSettings");
  const requests = Array.from({ length: 12 }, () => session.request({}));
  const answers = await Promise.all(requests.map(answerOf));
  assert.ok(answers.every(({ status, rstCode }) => status === 200 && rstCode === NGHTTP2_NO_ERROR));
  assert.equal(most, 3);
});

test("a request that is cancelled while it waits for its turn is not sent", async (t) => {
  const open = new Map<unknown, http2.ServerHttp2Stream>();
  const { port } = await serveNode(t, (stream, headers) => void open.set(headers[":path"], stream.resume()), {
    maxConcurrentStreams: 1,
  });
  const session = openClient(t, port);
  await once(session, "remoteSettings");
  const ask = (path: string) =>
    session.request({ ":method": "POST", ":path": path }).on("error", ignore) as ClientStream;
  const first = ask("/1");
  await until(() => open.has("/1"));
  const second = ask("/2");
  second.write("some");
  const third = ask("/3");
  await wait(20);
  second.close(NGHTTP2_CANCEL);
  const cancelled = answerOf(second);
  first.end();
  first.resume();
  open.get("/1")!.respond({}, { endStream: true });
  await until(() => open.has("/3"));
  open.get("/3")!.respond({}, { endStream: true });
  third.end();
  assert.equal((await answerOf(third)).status, 200);
  assert.equal((await cancelled).rstCode, NGHTTP2_CANCEL);
  assert.deepEqual([...open.keys()], ["/1", "/3"]);
});

test("what a client cancels is reset at its server", async (t) => {
  const codes: number[] = [];
  const { port } = await serveNode(t, (stream) => {
    stream.respond();
    stream.write("part");
    stream.on("close", () => codes.push(stream.rstCode));
  });
  const session = openClient(t, port);
  const request = session.request({ ":method": "POST" });
  await once(request, "data");
  let isClosed = false;
  request.close(NGHTTP2_CANCEL, () => isClosed = true);
  request.close();
  const { rstCode, error } = await answerOf(request);
  assert.deepEqual([rstCode, error, isClosed], [NGHTTP2_CANCEL, undefined, true]);
  await until(() => codes.length === 1);
  assert.deepEqual(codes, [NGHTTP2_CANCEL]);
});

test("sensitive headers arrive, each time", async (t) => {
  const { port } = await serveNode(t, (stream, headers) => {
    stream.respond({ "x-got": `${headers["authorization"]} ${headers["x-plain"]}` }, { endStream: true });
  });
  const session = openClient(t, port);
  for (let i = 0; i < 3; i++) {
    const request = session.request({
      authorization: `secret ${i}`,
      "x-plain": "open",
      [http2.sensitiveHeaders]: ["authorization"],
    });
    assert.equal((await answerOf(request)).headers["x-got"], `secret ${i} open`);
  }
});

test("headers that cannot be sent throw a TypeError and open no stream", async (t) => {
  const { port } = await serveNode(t, (stream) => stream.respond({}, { endStream: true }));
  const session = openClient(t, port);
  for (const headers of [{ "a b": "1" }, { connection: "close" }, { a: "1\n2" }, { ":path": "/€" }]) {
    assert.throws(() => session.request(headers), TypeError);
  }
  const request = session.request({});
  assert.equal((await answerOf(request)).status, 200);
  assert.equal(request.id, 1);
});

test("bodies of 8 MiB arrive intact at both ends", async (t) => {
  const { port } = await serveNode(t, (stream) => {
    stream.respond();
    stream.pipe(stream);
  });
  const session = openClient(t, port);
  const bytes = someBytes(8 << 20);
  const answers = await Promise.all([1, 2].map(async (i) => {
    const request = session.request({ ":method": "POST" });
    const part = bytes.subarray(0, bytes.length - i);
    request.end(part);
    return [hashOf((await answerOf(request)).body), hashOf(part)];
  }));
  for (const [got, sent] of answers) assert.equal(got, sent);
});

test("an answer that nobody reads stops at its window, and the others go on", async (t) => {
  const chunk = someBytes(32 << 10);
  const { port } = await serveNode(t, async (stream, headers) => {
    stream.respond();
    if (headers[":path"] !== "/long") {
      stream.end("short");
      return;
    }
    for (let i = 0; i < 256; i++) {
      const goesOn = stream.write(chunk);
      if (!goesOn) await once(stream, "drain");
    }
    stream.end();
  });
  const session = openClient(t, port);
  const request = session.request({ ":path": "/long" });
  await once(request, "response");
  await settled(() => request.readableLength);
  assert.ok(request.readableLength <= SETTINGS.streamWindowBytes, `${request.readableLength}`);
  assert.equal((await answerOf(session.request({}))).body.toString(), "short");
  assert.equal(hashOf((await answerOf(request)).body), hashOf(...Array(256).fill(chunk)));
});

test("a ping is answered", async (t) => {
  const { port } = await serveNode(t, ignore);
  const session = openClient(t, port);
  const answers: unknown[] = [];
  await new Promise<void>((resolve) => {
    session.ping((error) => answers.push(1, error));
    session.ping((error) => {
      answers.push(2, error);
      resolve();
    });
  });
  assert.deepEqual(answers, [1, null, 2, null]);
});

test("a session that is closed ends once its streams have, and its server is told", async (t) => {
  const { port, sessions } = await serveNode(t, (stream) => void setTimeout(() => stream.end("late"), 50));
  const session = openClient(t, port);
  const end = endOf(session);
  const request = session.request({});
  await once(session, "remoteSettings");
  const goaway = once(sessions[0]!, "goaway");
  session.close();
  assert.throws(() => session.request({}), Error);
  assert.equal((await answerOf(request)).body.toString(), "late");
  assert.equal((await goaway)[0], NGHTTP2_NO_ERROR);
  assert.equal(await end, undefined);
});

test("an answer that came whole and is cancelled before it was read is closed", async (t) => {
  let sent = 0;
  const { port } = await serveNode(t, (stream) => {
    stream.on("close", () => sent++);
    stream.resume();
    stream.respond();
    stream.end(someBytes(100_000));
  });
  const session = openClient(t, port);
  const begin: readonly ((stream: ClientStream) => unknown)[] = [
    ignore,
    (stream) => stream.pause(),
    (stream) => stream[Symbol.asyncIterator]().next(),
  ];
  for (const [i, each] of begin.entries()) {
    const stream = session.request({});
    each(stream);
    await until(() => sent > i);
    await new Promise((resolve) => session.ping(resolve));
    stream.close(NGHTTP2_CANCEL);
    await until(() => stream.destroyed);
    assert.deepEqual([stream.closed, stream.rstCode], [true, NGHTTP2_NO_ERROR]);
  }
});
