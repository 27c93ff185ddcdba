import assert from "node:assert/strict";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { NodeError, parseTarget, systemClock } from "../../src/core/mod.ts";
import { DEFAULT_PEER_LIMITS } from "../../src/rpc/client/peers.ts";
import { PeerSession } from "../../src/rpc/client/session.ts";
import { test } from "../testing.ts";
import { bytes, caller, openPeers, spec } from "./client-harness.ts";

test("a stream that was reset in the middle of its request is counted as open no more", async (t) => {
  const server = http2.createServer();
  server.on("stream", (stream) => stream.on("error", () => {}).resume());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const address = parseTarget(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  const options = { ...DEFAULT_PEER_LIMITS, clock: systemClock, random: Math.random };
  const session = new PeerSession(address, options);
  t.after(() => session.close(new NodeError("shutting_down", "The test is over")));
  const stream = session.request({ ":method": "POST", ":path": "/" }, 1 << 20);
  stream.on("error", () => {});
  stream.write(new Uint8Array(100));
  assert.equal(session.openStreams, 1);
  const closed = new Promise((resolve) => stream.once("close", resolve));
  setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), 20);
  await closed;
  assert.equal(session.openStreams, 0);
  assert.equal(stream.connection.largeBytes, 0);
});

test("a streamed input that is given up is reset and not ended: nobody takes the part that was sent for the whole", async (t) => {
  const ends: string[] = [];
  let closed = Promise.withResolvers<void>();
  const server = http2.createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.on("data", () => {});
    // Node's server says that a reset request has ended, too.
    stream.once("end", () => stream.rstCode === 0 && ends.push("whole"));
    stream.once("close", () => {
      ends.push(`code ${stream.rstCode}`);
      closed.resolve();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const peers = openPeers();
  t.after(() => peers.close());
  const target = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (let round = 0; round < 5; round++) {
    const stop = new AbortController();
    closed = Promise.withResolvers<void>();
    const input = async function* () {
      for (let sent = 0;; sent++) {
        yield bytes("a part of it");
        if (sent === 3) setTimeout(() => stop.abort(new Error("The caller left")), 10);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    };
    await assert.rejects(async () => {
      for await (const _ of peers.dial(target).runStream(spec(""), input(), caller({ signal: stop.signal })));
    });
    await closed.promise;
  }
  assert.deepEqual(ends, Array.from({ length: 5 }, () => `code ${http2.constants.NGHTTP2_CANCEL}`));
});
