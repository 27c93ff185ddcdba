import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { constants } from "node:http2";
import net, { type AddressInfo } from "node:net";
import { test } from "../testing.ts";
import {
  ACK,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  GOAWAY,
  HEADERS,
  PING,
  RST_STREAM,
  SETTINGS_FRAME,
  WINDOW_UPDATE,
  word,
} from "./frames.ts";
import { ignore, openClient, someBytes, until } from "./harness.ts";
import { mutate, numbers } from "./mutations.ts";

const { NGHTTP2_CANCEL } = constants;

const MUTATIONS = 300;

/** `:status: 200` by its index in the static table, and a trailer `a: b` (RFC 7541). */
const OK = Buffer.from([0x88]);
const TRAILERS = Buffer.from([0, 1, 0x61, 1, 0x62]);

/** What a server that takes two streams says to four requests, of which the second is cancelled, without a mistake. */
const GOOD = [
  ...[frame(SETTINGS_FRAME, 0, 0, Buffer.from([0, 3, 0, 0, 0, 2])), frame(SETTINGS_FRAME, ACK)],
  ...[frame(HEADERS, END_HEADERS, 1, OK), frame(DATA, 0, 1, someBytes(3000)), frame(PING, 0, 0, Buffer.alloc(8))],
  ...[frame(PING, ACK, 0, Buffer.alloc(8)), frame(WINDOW_UPDATE, 0, 1, word(1000)), frame(DATA, 0, 1, someBytes(100))],
  ...[frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS), frame(HEADERS, 0, 5, OK)],
  ...[frame(CONTINUATION, END_HEADERS, 5), frame(DATA, END_STREAM, 5, someBytes(10))],
  ...[frame(RST_STREAM, 0, 7, word(NGHTTP2_CANCEL)), frame(GOAWAY, 0, 0, Buffer.concat([word(7), word(0)]))],
];

test("answers with anything wrong in them throw nothing, and end with their connection", async (t) => {
  let below = numbers(0);
  const server = net.createServer(async (socket) => {
    socket.on("error", ignore).resume();
    const bytes = mutate(GOOD, below);
    for (let at = 0; at < bytes.length;) {
      const length = 1 + below(bytes.length);
      socket.write(bytes.subarray(at, at += length));
      if (below(2) === 0) await new Promise(setImmediate);
    }
    socket.end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => new Promise((resolve) => server.close(resolve)));
  const { port } = server.address() as AddressInfo;
  for (let seed = 1; seed <= MUTATIONS; seed++) {
    below = numbers(seed);
    const session = openClient(t, port);
    const closed = new Promise((resolve) => session.once("close", resolve));
    let open = 0;
    const requests = Array.from({ length: 4 }, (_, i) => {
      open++;
      const request = session.request({ ":method": i < 2 ? "POST" : "GET" });
      request.on("error", ignore).on("close", () => open--).resume();
      return request;
    });
    requests[0]!.end(someBytes(5000));
    requests[1]!.write("some");
    requests[1]!.close(NGHTTP2_CANCEL);
    session.ping(() => open--);
    open++;
    await closed;
    await until(() => open === 0, "the end of a stream or of a ping");
    assert.ok(session.destroyed, `${seed}`);
  }
});
