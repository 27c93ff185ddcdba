import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import http from "node:http";
import http2 from "node:http2";
import tls from "node:tls";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { NodeError } from "../../src/core/mod.ts";
import { RunTaskRequestSchema } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { frameOf } from "../../src/rpc/grpc-frame.ts";
import { assertRuntimeSupported } from "../../src/rpc/mod.ts";
import { bytes } from "./fake-tasks.ts";
import { collect, grpcMessage, grpcStatus, h2Frame, PREFACE, RawClient, RawSocket, start } from "./harness.ts";
import { TEST_CERT, TEST_KEY } from "./tls-keys.ts";

const RUN = "/velas.sphere.v1.TaskService/Run";
const runFrame = (fn: string) =>
  frameOf(
    toBinary(RunTaskRequestSchema, create(RunTaskRequestSchema, { task: { function: fn, input: bytes("hello") } })),
  );

const jsonRequest = (connection: string, host = "Host: x\r\n") => {
  const body = JSON.stringify({ task: { function: "echo", input: "aGVsbG8=" } });
  return `POST ${RUN} HTTP/1.1\r\n${host}Content-Type: application/json\r\n` +
    `Content-Length: ${body.length}\r\nConnection: ${connection}\r\n\r\n${body}`;
};

async function works(port: number): Promise<void> {
  await using client = new RawClient(port);
  assert.equal(grpcStatus(await client.call(RUN, runFrame("echo"))), 0);
}

test("HTTP/1.1 connections are kept alive", async () => {
  await using running = await start();
  await using socket = new RawSocket(running.port);
  for (let i = 1; i <= 3; i++) {
    socket.socket.write(jsonRequest("keep-alive"));
    await socket.until('"output":"aGVsbG8="');
    assert.equal(running.tasks.specs.length, i);
    socket.received = Buffer.alloc(0);
  }
});

test("first bytes may come one by one, in both versions of HTTP", async () => {
  await using running = await start();
  await using one = new RawSocket(running.port);
  for (const byte of Buffer.from(jsonRequest("close"))) {
    await new Promise((resolve) => one.socket.write(Buffer.of(byte), resolve));
  }
  await one.until('"output":"aGVsbG8="');
  await using two = new RawSocket(running.port);
  for (const byte of Buffer.concat([PREFACE, h2Frame(4, 0, 0)])) {
    await new Promise((resolve) => two.socket.write(Buffer.of(byte), resolve));
  }
  // The server's SETTINGS (type 4) acknowledge that it speaks HTTP/2.
  await two.until("\u0000\u0004");
});

test("a connection that says too little for too long is closed", async () => {
  await using running = await start({ limits: { requestTimeoutMs: 50 } });
  for (const begin of ["", "P", "PR"]) {
    await using socket = new RawSocket(running.port);
    await socket.connected;
    socket.socket.write(begin);
    await socket.closed;
  }
  await works(running.port);
});

test("a connection that ends in the middle of its first bytes is closed", async () => {
  await using running = await start();
  await using socket = new RawSocket(running.port);
  await socket.connected;
  socket.socket.end("PR");
  await socket.closed;
});

test("HTTP/1.1 headers that never end are answered or closed in time", async () => {
  await using running = await start({ limits: { requestTimeoutMs: 60 } });
  await using socket = new RawSocket(running.port);
  await socket.connected;
  socket.socket.write("GET / HTTP/1.1\r\nHost: x\r\n");
  await socket.closed;
  await works(running.port);
});

test("garbage closes the connection and nothing else", async () => {
  await using running = await start();
  const garbage = [
    Buffer.from("\u0016\u0003\u0001 this is no TLS here"),
    Buffer.alloc(5000, 0xff),
    Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), Buffer.alloc(100)]),
    Buffer.concat([PREFACE, Buffer.alloc(64, 0xee)]),
    // HEADERS on stream 0, DATA on an idle stream, a frame over the size limit, a SETTINGS frame of 5 bytes.
    Buffer.concat([PREFACE, h2Frame(4, 0, 0), h2Frame(1, 4, 0, Buffer.from([0x82]))]),
    Buffer.concat([PREFACE, h2Frame(4, 0, 0), h2Frame(0, 0, 5, Buffer.alloc(10))]),
    Buffer.concat([PREFACE, h2Frame(4, 0, 0), h2Frame(0, 0, 1, Buffer.alloc(20_000))]),
    Buffer.concat([PREFACE, h2Frame(4, 0, 0, Buffer.alloc(5))]),
  ];
  for (const each of garbage) {
    await using socket = new RawSocket(running.port);
    await socket.connected;
    socket.socket.write(each);
    await socket.closed;
  }
  await works(running.port);
});

test("hosts and paths that are none are refused, and end nothing", async () => {
  await using running = await start();
  for (const host of ["Host: [[\r\n", "Host: a b\r\n", "Host: \r\n"]) {
    await using socket = new RawSocket(running.port);
    socket.socket.write(jsonRequest("close", host));
    await socket.closed;
  }
  await using old = new RawSocket(running.port);
  old.socket.write(`POST ${RUN} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`);
  await old.closed;
  await using client = new RawClient(running.port);
  const strange = client.session.request({
    ":method": "POST",
    ":path": RUN,
    ":authority": "[[",
    "content-type": "application/json",
  });
  strange.on("error", () => {});
  const answer = collect(strange);
  strange.end("{}");
  assert.equal((await answer).headers[":status"], "400");
  await works(running.port);
});

test("too many headers are refused, and end nothing", async () => {
  await using running = await start({ limits: { maxHeaderBytes: 4096 } });
  await using client = new RawClient(running.port);
  const stream = client.open(RUN, { "x-flood": "y".repeat(20_000) });
  const answer = collect(stream);
  stream.end(runFrame("echo"));
  assert.equal(grpcStatus(await answer), 8);
  await using socket = new RawSocket(running.port);
  socket.socket.write(`GET / HTTP/1.1\r\nHost: x\r\nX-Flood: ${"y".repeat(20_000)}\r\n\r\n`);
  await socket.closed;
  assert.ok(!socket.received.includes(" 200 "));
  assert.equal(running.tasks.specs.length, 0);
  await works(running.port);
});

test("a CONTINUATION flood is stopped", async () => {
  await using running = await start();
  await using socket = new RawSocket(running.port);
  await socket.connected;
  socket.socket.write(Buffer.concat([PREFACE, h2Frame(4, 0, 0), h2Frame(1, 0, 1, Buffer.from([0x82]))]));
  const header = Buffer.concat([
    Buffer.from([0x00, 0x05]),
    Buffer.from("x-pad"),
    Buffer.from([0x64]),
    Buffer.alloc(100, 0x61),
  ]);
  const flood = h2Frame(9, 0, 1, Buffer.concat(Array.from({ length: 100 }, () => header)));
  while (!socket.socket.destroyed) {
    const written = new Promise((resolve) => socket.socket.write(flood, resolve));
    await Promise.race([written, socket.closed]);
    await new Promise(setImmediate);
  }
  await works(running.port);
});

test("more streams than allowed are refused, and the others go on", async () => {
  await using running = await start({ limits: { maxConcurrentStreams: 2 } });
  await using client = new RawClient(running.port);
  await new Promise((resolve) => client.session.once("remoteSettings", resolve));
  assert.equal(client.session.remoteSettings.maxConcurrentStreams, 2);
  const answers = Array.from({ length: 6 }, () => client.call(RUN, runFrame("echo")));
  assert.ok((await Promise.all(answers)).filter((answer) => grpcStatus(answer) === 0).length >= 2);
});

test("more connections than allowed are closed at once", async () => {
  await using running = await start({ limits: { maxConnections: 2 } });
  await using one = new RawSocket(running.port);
  await using two = new RawSocket(running.port);
  await Promise.all([one.connected, two.connected]);
  one.socket.write(jsonRequest("keep-alive"));
  two.socket.write(jsonRequest("keep-alive"));
  await Promise.all([one.until("200 OK"), two.until("200 OK")]);
  await using three = new RawSocket(running.port);
  await three.closed;
  one.socket.destroy();
  await one.closed;
  // The place is free as soon as the server has seen the end of the first.
  for (let served = false; !served;) {
    await using four = new RawSocket(running.port);
    four.socket.write(jsonRequest("close"));
    await four.closed;
    served = four.received.includes("200 OK");
  }
});

test("an idle HTTP/2 connection is told to leave", async () => {
  await using running = await start({ limits: { idleTimeoutMs: 60 } });
  await using client = new RawClient(running.port);
  const left = new Promise((resolve) => client.session.on("goaway", resolve));
  await client.call(RUN, runFrame("echo"));
  await left;
});

test("an idle connection with an open call is kept while its peer answers pings", async () => {
  await using running = await start({ limits: { idleTimeoutMs: 40 } });
  await using client = new RawClient(running.port);
  let pings = 0;
  const pinged = new Promise<void>((resolve) => client.session.on("ping", () => ++pings === 3 && resolve()));
  const stream = client.open(RUN);
  stream.resume().end(runFrame("hang"));
  await pinged;
  assert.equal(stream.closed, false);
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await running.tasks.until(() => running.tasks.aborts.length === 1);
});

test("unknown methods are unimplemented in each protocol's words, other paths are the fallback's", async () => {
  const fallback: http.RequestListener = (request, response) => {
    response.end(`fallback ${request.method} ${request.url}`);
  };
  await using running = await start({ fallback });
  await using client = new RawClient(running.port);
  const answer = await client.call("/no.Such/Method", runFrame("echo"));
  assert.equal(grpcStatus(answer), 12);
  assert.match(grpcMessage(answer), /\/no\.Such\/Method/);
  const page = client.session.request({ ":path": "/page?x=1" });
  assert.equal((await collect(page)).body.toString(), "fallback GET /page?x=1");
  await using socket = new RawSocket(running.port);
  socket.socket.write("GET /page?x=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  await socket.closed;
  assert.match(socket.received.toString(), /fallback GET \/page\?x=2/);
});

test("without a fallback other paths are not found", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  const answer = await collect(client.session.request({ ":path": "/page" }));
  assert.equal(answer.headers[":status"], "404");
  assert.equal(JSON.parse(answer.body.toString()).code, "unimplemented");
});

test("wrong media types and verbs get the status that says so", async () => {
  await using running = await start();
  await using client = new RawClient(running.port);
  assert.equal((await client.call(RUN, bytes("{}"), { "content-type": "text/plain" })).headers[":status"], "415");
  assert.equal((await client.call(RUN, bytes("{}"), { ":method": "PUT" })).headers[":status"], "405");
  assert.equal(
    (await client.call(RUN, bytes("{bad"), { "content-type": "application/json" })).headers[":status"],
    "400",
  );
});

test("TLS serves HTTP/2 and HTTP/1.1 by ALPN", async () => {
  await using running = await start({ tls: { cert: TEST_CERT, key: TEST_KEY } });
  const session = http2.connect(`https://localhost:${running.port}`, { ca: TEST_CERT });
  const stream = session.request({ ":method": "POST", ":path": RUN, "content-type": "application/grpc" });
  const answer = collect(stream);
  stream.end(runFrame("echo"));
  assert.equal(grpcStatus(await answer), 0);
  session.destroy();
  for (const ALPNProtocols of [["http/1.1"], undefined]) {
    const socket = tls.connect({
      port: running.port,
      host: "127.0.0.1",
      ca: TEST_CERT,
      servername: "localhost",
      ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }),
    });
    let received = "";
    socket.on("data", (chunk: Buffer) => received += chunk);
    socket.write(jsonRequest("close"));
    await new Promise((resolve) => socket.on("close", resolve));
    assert.match(received, /"output":"aGVsbG8="/);
  }
  // Plaintext on a TLS port ends that connection only.
  await using plain = new RawSocket(running.port);
  plain.socket.write(jsonRequest("close"));
  await plain.closed;
});

test("listen() opens several ports, and names a port that is taken", async () => {
  await using running = await start();
  const second = await running.server.listen({ host: "127.0.0.1", port: 0 });
  assert.notEqual(second.port, running.port);
  await works(second.port);
  const isTaken = (error: unknown) =>
    error instanceof NodeError && error.code === "address_in_use" && error.message.includes(String(running.port));
  await assert.rejects(running.server.listen({ host: "127.0.0.1", port: running.port }), isTaken);
  await assert.rejects(running.server.listen({ host: "192.0.2.1", port: 0 }), { code: "invalid_argument" });
});

test("close() lets calls finish, refuses new ones, and tells clients to leave", async () => {
  const running = await start();
  await using client = new RawClient(running.port);
  const slow = client.open(RUN);
  const slowAnswer = collect(slow);
  slow.write(runFrame("echo"));
  await client.call(RUN, runFrame("echo"));
  const goaway = new Promise((resolve) => client.session.on("goaway", resolve));
  const closing = running.server.close({ graceMs: 5000 });
  await goaway;
  await using late = new RawSocket(running.port);
  await late.closed;
  slow.end();
  const answer = await slowAnswer;
  assert.equal(grpcStatus(answer), 0);
  await closing;
  await running.server.close({ graceMs: 0 });
});

test("close() stops watches at once", async () => {
  const running = await start();
  await using client = new RawClient(running.port);
  const watching = client.call("/grpc.health.v1.Health/Watch", frameOf(new Uint8Array(0)));
  await client.call(RUN, runFrame("echo"));
  await running.server.close({ graceMs: 60_000 });
  assert.equal(grpcStatus(await watching), 14);
});

test("close() aborts what does not finish in time", async () => {
  const running = await start();
  await using client = new RawClient(running.port);
  const hanging = client.call(RUN, runFrame("hang"));
  await running.tasks.until(() => running.tasks.specs.length === 1);
  await running.server.close({ graceMs: 20 });
  assert.equal(grpcStatus(await hanging), 14);
  assert.equal((running.tasks.aborts[0] as { code: string }).code, "shutting_down");
});

test("close() ends connections that only wait", async () => {
  const running = await start();
  await using silent = new RawSocket(running.port);
  await using kept = new RawSocket(running.port);
  await silent.connected;
  kept.socket.write(jsonRequest("keep-alive"));
  await kept.until("200 OK");
  await running.server.close({ graceMs: 10 });
  await Promise.all([silent.closed, kept.closed]);
});

test("assertRuntimeSupported() refuses the versions of Deno that a peer can crash", () => {
  for (const bad of ["2.9.4", "2.9.5", "2.9.6", "2.9.6+abc"]) {
    assert.throws(() => assertRuntimeSupported(bad), { code: "runtime_unsupported" });
  }
  for (const good of ["2.8.3", "2.9.3", "2.9.7", "2.9.40", "2.9.60", "2.10.4", "12.9.4"]) assertRuntimeSupported(good);
  assertRuntimeSupported();
});
