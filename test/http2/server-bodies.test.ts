import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { constants } from "node:http2";
import { release } from "../../src/core/mod.ts";
import type { ServerStream } from "../../src/http2/server-stream.ts";
import { test } from "../testing.ts";
import { answerOf, connectNode, hashOf, ignore, serveSessions, SETTINGS, settled, someBytes, wait } from "./harness.ts";

const { NGHTTP2_NO_ERROR } = constants;

const KIB = 1 << 10;
const SIZES = [0, 1, 16 * KIB - 1, 16 * KIB, 16 * KIB + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 8 << 20];

test("bodies of all sizes arrive intact at the server and at the client", async (t) => {
  const { port } = await serveSessions(t, (stream) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      const body = Buffer.concat(chunks);
      stream.respond({ "x-hash": hashOf(body) });
      stream.end(body);
    });
  });
  const client = await connectNode(t, port);
  for (const size of SIZES) {
    const bytes = someBytes(size);
    const request = client.request({ ":method": "POST" });
    request.end(bytes);
    const { headers, body, rstCode } = await answerOf(request);
    assert.deepEqual(
      [headers["x-hash"], hashOf(body), rstCode],
      [hashOf(bytes), hashOf(bytes), NGHTTP2_NO_ERROR],
      `${size}`,
    );
  }
});

test("many requests at once have each its own body", async (t) => {
  const { port } = await serveSessions(t, (stream) => {
    stream.respond();
    stream.pipe(stream);
  });
  const client = await connectNode(t, port);
  await Promise.all(Array.from({ length: 30 }, async (_, i) => {
    const bytes = someBytes(100_000 + i);
    const request = client.request({ ":method": "POST" });
    request.end(bytes);
    assert.equal(hashOf((await answerOf(request)).body), hashOf(bytes));
  }));
});

test("a reader may give back the memory of each chunk while it reads it", async (t) => {
  const { port } = await serveSessions(t, (stream) => {
    const hash = createHash("sha256");
    stream.on("data", (chunk: Buffer) => {
      hash.update(chunk);
      release(chunk);
    });
    stream.on("end", () => {
      stream.respond({}, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-hash": hash.digest("hex") }));
      stream.end();
    });
  }, { streamWindowBytes: 64 * KIB, connectionWindowBytes: 128 * KIB });
  const client = await connectNode(t, port);
  const bytes = someBytes(3_000_000);
  // Small and large frames both.
  for (const part of [100, 1000, 3000, 100_000]) {
    const request = client.request({ ":method": "POST" });
    for (let at = 0; at < bytes.length && at < part * 1000; at += part) request.write(bytes.subarray(at, at + part));
    request.end();
    const { trailers } = await answerOf(request);
    assert.equal(trailers?.["x-hash"], hashOf(bytes.subarray(0, part * 1000)), `${part}`);
  }
});

test("a writer may use its memory again when its write is done", async (t) => {
  const { port } = await serveSessions(t, async (stream) => {
    stream.respond();
    const bytes = Buffer.alloc(10_000);
    for (let i = 0; i < 200; i++) {
      bytes.fill(i);
      await new Promise((resolve) => stream.write(bytes, resolve));
    }
    stream.end();
  });
  const client = await connectNode(t, port);
  const { body } = await answerOf(client.request());
  assert.equal(body.length, 2_000_000);
  for (let i = 0; i < 200; i++) assert.ok(body.subarray(i * 10_000, (i + 1) * 10_000).every((byte) => byte === i));
});

test("many small writes are joined in order, and texts and empty writes among them", async (t) => {
  const { port } = await serveSessions(t, (stream) => {
    stream.respond();
    for (let i = 0; i < 5000; i++) {
      stream.write(i % 2 === 0 ? `${i},` : Buffer.from(`${i},`));
      if (i % 100 === 0) stream.write("");
    }
    stream.end();
  });
  const client = await connectNode(t, port);
  const { body } = await answerOf(client.request());
  assert.equal(body.toString(), Array.from({ length: 5000 }, (_, i) => `${i},`).join(""));
});

test("a client that does not read holds writes back, and gets all when it reads", async (t) => {
  let written = 0;
  const chunk = someBytes(32 * KIB);
  const count = 512;
  const { port } = await serveSessions(t, async (stream) => {
    stream.respond();
    for (let i = 0; i < count; i++) {
      const goesOn = stream.write(chunk);
      written += chunk.length;
      if (!goesOn) await once(stream, "drain");
    }
    stream.end();
  });
  const client = await connectNode(t, port, { settings: { initialWindowSize: 64 * KIB - 1 } });
  const request = client.request();
  await once(request, "response");
  const held = await settled(() => written);
  assert.ok(held < 512 * KIB, `${held} bytes were written`);
  assert.equal(hashOf((await answerOf(request)).body), hashOf(...Array(count).fill(chunk)));
});

test("a connection whose socket is not read holds the writes of all its streams back", async (t) => {
  let written = 0;
  const chunk = someBytes(64 * KIB);
  const { port, sessions } = await serveSessions(t, async (stream) => {
    stream.respond();
    for (let i = 0; i < 512; i++) {
      const goesOn = stream.write(chunk);
      written += chunk.length;
      if (!goesOn) await once(stream, "drain");
    }
    stream.end();
  });
  const client = await connectNode(t, port, { settings: { initialWindowSize: 2 ** 31 - 1 } });
  client.setLocalWindowSize(2 ** 31 - 1);
  await new Promise((resolve) => client.ping(resolve));
  const requests = [client.request(), client.request()];
  const answers = requests.map(answerOf);
  // What the sockets and the client take is not bounded here, only what the session leaves in its socket.
  let most = 0;
  const watch = setInterval(() => most = Math.max(most, sessions[0]!.socket.writableLength), 1);
  t.after(() => clearInterval(watch));
  for (const { body } of await Promise.all(answers)) assert.equal(body.length, 512 * chunk.length);
  assert.equal(written, 2 * 512 * chunk.length);
  assert.ok(most <= 2 * SETTINGS.maxUnsentBytes, `${most} bytes waited in the socket`);
});

test("a server that does not read holds its client back, and gets all when it reads", async (t) => {
  const streams: ServerStream[] = [];
  const { port } = await serveSessions(t, (stream) => void streams.push(stream));
  const client = await connectNode(t, port);
  const request = client.request({ ":method": "POST" }).on("error", ignore);
  const bytes = someBytes(4 << 20);
  request.end(bytes);
  const answer = answerOf(request);
  await settled(() => streams[0]?.readableLength ?? 0);
  const [stream] = streams as [ServerStream];
  assert.ok(stream.readableLength <= SETTINGS.streamWindowBytes + 64 * KIB, `${stream.readableLength}`);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  assert.equal(hashOf(...chunks), hashOf(bytes));
  stream.respond({}, { endStream: true });
  assert.equal((await answer).status, 200);
});

test("a stream that nobody reads does not hold up the others of its connection", async (t) => {
  let unread: ServerStream | undefined;
  const { port } = await serveSessions(t, (stream, headers) => {
    if (headers[":path"] === "/unread") unread = stream;
    else stream.resume().on("end", () => stream.respond({}, { endStream: true }));
  }, { streamWindowBytes: 256 * KIB, connectionWindowBytes: 256 * KIB });
  const client = await connectNode(t, port);
  const held = client.request({ ":method": "POST", ":path": "/unread" }).on("error", ignore);
  held.end(someBytes(1 << 20));
  await settled(() => unread?.readableLength ?? 0);
  const request = client.request({ ":method": "POST", ":path": "/read" });
  request.end(someBytes(1 << 20));
  assert.equal((await answerOf(request)).status, 200);
  unread!.close();
});

test("a body that its server destroys unread gives its window back", async (t) => {
  let drop = true;
  const { port } = await serveSessions(t, (stream) => {
    if (drop) setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 5);
    else stream.resume().on("end", () => stream.respond({}, { endStream: true }));
  }, { streamWindowBytes: 64 * KIB, connectionWindowBytes: 64 * KIB });
  const client = await connectNode(t, port);
  for (let i = 0; i < 20; i++) {
    const request = client.request({ ":method": "POST" });
    request.end(someBytes(256 * KIB));
    await answerOf(request);
  }
  drop = false;
  const request = client.request({ ":method": "POST" });
  request.end(someBytes(256 * KIB));
  assert.equal((await answerOf(request)).status, 200);
});

test("a slow reader with pauses gets a whole body", async (t) => {
  const bytes = someBytes(1_500_000);
  const { port } = await serveSessions(t, (stream) => {
    stream.respond();
    stream.end(bytes);
  });
  const client = await connectNode(t, port, { settings: { initialWindowSize: 20_000 } });
  const request = client.request();
  const chunks: Buffer[] = [];
  for await (const chunk of request) {
    chunks.push(chunk as Buffer);
    if (chunks.length % 10 === 0) await wait(1);
  }
  assert.equal(hashOf(...chunks), hashOf(bytes));
});

test("a write of no bytes is done, and what is written after it goes out", async (t) => {
  let isDone = false;
  const { port } = await serveSessions(t, async (stream) => {
    stream.respond();
    await new Promise((resolve) => stream.write(Buffer.alloc(0), resolve));
    isDone = true;
    stream.write("a");
    await wait(10);
    stream.end("b");
  });
  const client = await connectNode(t, port);
  const { body } = await answerOf(client.request());
  assert.deepEqual([isDone, body.toString()], [true, "ab"]);
});
