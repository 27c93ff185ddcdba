import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import http2 from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { Writable } from "node:stream";
import { NodeError, parseTarget, systemClock } from "../../src/core/mod.ts";
import { DEFAULT_PEER_LIMITS } from "../../src/rpc/client/peers.ts";
import { MessageBody, type RequestBody, StreamBody } from "../../src/rpc/client/request-body.ts";
import { PeerSession } from "../../src/rpc/client/session.ts";
import { answerFrame } from "../../src/rpc/grpc-answer.ts";
import { inPieces, PIECE_BYTES, piecesOf, writePieces } from "../../src/rpc/pieces.ts";
import { test, type TestScope } from "../testing.ts";

const MIB = 1 << 20;
/** What may be under way to a peer that reads nothing: its window, what waits for the connection, and one message. */
const MOST_UNDER_WAY_BYTES = 4 * MIB;

test("only what is larger than a piece is written in pieces, and only where that is needed", () => {
  assert.deepEqual([PIECE_BYTES, PIECE_BYTES + 1].map((size) => inPieces(size, true)), [false, true]);
  assert.equal(inPieces(PIECE_BYTES + 1, false), false);
});

test("pieces hold the parts in their order, whole but for the last", () => {
  const of = (...sizes: number[]) =>
    [...piecesOf(sizes.map((size) => new Uint8Array(size)))].map((piece) => piece.map(({ length }) => length));
  assert.deepEqual(of(), []);
  assert.deepEqual(of(0, 5, 0), [[5]]);
  assert.deepEqual(of(5, PIECE_BYTES - 5), [[5, PIECE_BYTES - 5]]);
  assert.deepEqual(of(5, PIECE_BYTES), [[5, PIECE_BYTES - 5], [5]]);
  assert.deepEqual(of(2 * PIECE_BYTES + 1, 1), [[PIECE_BYTES], [PIECE_BYTES], [1, 1]]);
  assert.deepEqual([...piecesOf([new Uint8Array(7)], 3)].map((piece) => piece[0]!.length), [3, 3, 1]);
});

test("a piece is written when the one before has gone, so that no more than one is in the stream", async () => {
  const taken: number[] = [];
  let waiting = 0;
  const stream = new Writable({
    write(chunk: Uint8Array, _encoding, done) {
      taken.push(chunk.length);
      waiting += chunk.length;
      assert(waiting <= PIECE_BYTES, `${waiting} bytes wait`);
      setImmediate(() => {
        waiting -= chunk.length;
        done();
      });
    },
  });
  assert.equal(await writePieces(stream, [new Uint8Array(5), new Uint8Array(3 * PIECE_BYTES)]), true);
  assert.equal(taken.reduce((sum, size) => sum + size, 0), 5 + 3 * PIECE_BYTES);
});

test("writing ends with a stream that is destroyed while a piece is on its way", async () => {
  const stream = new Writable({ write: () => setImmediate(() => stream.destroy()) });
  assert.equal(await writePieces(stream, [new Uint8Array(3 * PIECE_BYTES)]), false);
  assert.equal(await writePieces(stream, [new Uint8Array(1)]), false);
});

/** A peer whose streams go to `onStream`, and a request to it with a body. */
async function requestTo(t: TestScope, body: RequestBody, onStream: (stream: ServerHttp2Stream) => void) {
  const server = http2.createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    onStream(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = parseTarget(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  const session = new PeerSession(address, { ...DEFAULT_PEER_LIMITS, clock: systemClock, random: Math.random });
  t.after(() => session.close(new NodeError("shutting_down", "The test is over")));
  const stream = session.request({ ":method": "POST", ":path": "/" }, MIB);
  stream.on("error", () => {});
  body.send(stream);
  return stream;
}

/** The digest of what comes on a stream. */
function digestOf(stream: http2.Http2Stream): Promise<string> {
  const hash = createHash("sha256");
  return new Promise((resolve) => {
    stream.on("data", (chunk: Uint8Array) => hash.update(chunk)).on("end", () => resolve(hash.digest("hex")));
  });
}

test("no more is asked of a source than a little while the peer reads nothing, and all comes once it reads", async (t) => {
  const messages = 32;
  const hash = createHash("sha256");
  const sent: Uint8Array[] = [];
  let asked = 0;
  let askedAt = performance.now();
  async function* source() {
    for (let i = 0; i < messages; i++) {
      asked++;
      askedAt = performance.now();
      const message = new Uint8Array(MIB).fill(i);
      hash.update(message);
      sent.push(message);
      yield [message];
    }
  }
  const peers = Promise.withResolvers<ServerHttp2Stream>();
  await requestTo(t, new StreamBody(source(), MIB), (stream) => peers.resolve(stream));
  const stream = await peers.promise;
  // Until the source has not been asked for a while; one that is read without end is through long before.
  while (performance.now() - askedAt < 500 && asked < messages) await new Promise((resolve) => setTimeout(resolve, 20));
  assert(asked * MIB <= MOST_UNDER_WAY_BYTES, `the source was asked for ${asked} MiB`);
  assert.equal(await digestOf(stream), hash.digest("hex"));
  assert.equal(asked, messages);
  assert.deepEqual(sent.map(({ length }) => length), sent.map(() => 0), "the memory of what was sent is given back");
});

test("large messages come whole: a request's and an answer's, in one part and in several", async (t) => {
  const message = new Uint8Array(2 * MIB + 1).map((_, i) => i * 7);
  const digest = (parts: readonly Uint8Array[]) =>
    parts.reduce((hash, part) => hash.update(part), createHash("sha256")).digest("hex");
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  for (const frame of [message, [head, message.subarray(0, 3), message.subarray(3)]]) {
    const came = Promise.withResolvers<string>();
    const request = await requestTo(t, new MessageBody(message, false), (stream) => {
      digestOf(stream).then((body) => {
        came.resolve(body);
        answerFrame(stream, frame);
      });
    });
    const trailers = new Promise<Record<string, unknown>>((resolve) => request.once("trailers", resolve));
    assert.equal(await digestOf(request), digest(frame instanceof Uint8Array ? [frame] : frame));
    assert.equal(await came.promise, digest([head, message]));
    assert.equal((await trailers)["grpc-status"], "0");
  }
});
