import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { constants } from "node:http2";
import net, { type AddressInfo } from "node:net";
import { release } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { DATA, frame, framesOf, PING, PREFACE, RST_STREAM, SETTINGS_FRAME, WINDOW_UPDATE, word } from "./frames.ts";
import { ignore, openClient, settled, until } from "./harness.ts";

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = constants;

/** The largest windows of a stream, as a payload of SETTINGS, and what makes that of a connection as large. */
const STREAM_WINDOW = Buffer.concat([Buffer.of(0, 4), word(2 ** 31 - 1)]);
const CONNECTION_WINDOW = word(2 ** 31 - 1 - 65_535);

for (const code of [NGHTTP2_CANCEL, NGHTTP2_NO_ERROR]) {
  test(`a write whose stream is reset with the code ${code} is not done while the socket still has bytes of it`, async (t) => {
    const server = net.createServer();
    await once(server.listen(0, "127.0.0.1"), "listening");
    t.after(() => server.close());
    const client = openClient(t, (server.address() as AddressInfo).port);
    const [peer] = await once(server, "connection") as [net.Socket];
    peer.on("error", ignore);
    t.after(() => peer.destroy());
    peer.write(frame(SETTINGS_FRAME, 0, 0, STREAM_WINDOW));
    peer.write(frame(WINDOW_UPDATE, 0, 0, CONNECTION_WINDOW));

    const stream = client.request({ ":method": "POST" });
    const body = Buffer.from(new ArrayBuffer(64 << 20)).fill("a");
    // Whoever wrote them takes them back, as calls of peers do.
    stream.write(body, (error) => error || release(body));
    // The peer reads nothing, so that the socket is full.
    await settled(() => client.socket.bytesWritten);
    peer.write(frame(RST_STREAM, 0, 1, word(code)));
    await until(() => stream.aborted);
    client.ping(ignore);

    const chunks: Buffer[] = [];
    peer.on("data", (chunk) => chunks.push(chunk));
    const frames = () => framesOf(Buffer.concat(chunks).subarray(PREFACE.length));
    await until(() => frames().at(-1)?.type === PING);
    const bodies = frames().filter(({ type }) => type === DATA).map(({ payload }) => payload);
    assert.ok(bodies.length > 0 && bodies.every((bytes) => bytes.equals(Buffer.alloc(bytes.length, "a"))));
  });
}
