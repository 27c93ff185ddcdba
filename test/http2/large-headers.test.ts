import assert from "node:assert/strict";
import { constants } from "node:http2";
import type { ServerStream } from "../../src/http2/server-stream.ts";
import { test } from "../testing.ts";
import { answerOf, connectNode, openClient, serveSessions } from "./harness.ts";

const { NGHTTP2_FRAME_SIZE_ERROR } = constants;
const TOO_LONG = { "x-long": "Z".repeat(70_000) };

test("an answer whose headers or trailers are too large to be sent is reset, and the connection goes on", async (t) => {
  const { port, sessions } = await serveSessions(t, (stream: ServerStream, headers) => {
    if (headers[":path"] === "/headers") return stream.respond(TOO_LONG);
    stream.on(
      "wantTrailers",
      () => stream.sendTrailers(headers[":path"] === "/trailers" ? TOO_LONG : { "x-end": "1" }),
    );
    stream.respond({}, { waitForTrailers: true });
    stream.end("hello");
  });
  const client = await connectNode(t, port);
  for (const path of ["/headers", "/trailers"]) {
    assert.equal((await answerOf(client.request({ ":path": path }))).rstCode, NGHTTP2_FRAME_SIZE_ERROR, path);
  }
  const { status, rstCode } = await answerOf(client.request({ ":path": "/" }));
  assert.deepEqual([status, rstCode], [200, 0]);
  assert.equal(sessions[0]!.destroyed, false);
});

test("two ends that both have more to send without bodies than may wait do not wait for each other for ever", async (t) => {
  const long = { "x-long": "a".repeat(16_000) };
  const { port } = await serveSessions(
    t,
    (stream) => stream.respond(long, { endStream: true }),
    { maxConcurrentStreams: 2000, maxHeaderBytes: 32 << 10 },
  );
  const client = openClient(t, port);
  const answers = await Promise.all(Array.from({ length: 3000 }, () => answerOf(client.request(long))));
  assert.equal(answers.filter(({ status }) => status === 200).length, 3000);
});

test("a client that leaves is no fault of it", async (t) => {
  const server = await serveSessions(t, (stream) => stream.respond({}, { endStream: true }));
  const client = openClient(t, server.port);
  assert.equal((await answerOf(client.request({}))).status, 200);
  const closed = new Promise((resolve) => server.sessions[0]!.on("close", resolve));
  client.close();
  await closed;
  assert.deepEqual(server.errors, []);
});
