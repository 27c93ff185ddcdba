import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import { isDeno } from "../../src/core/mod.ts";
import { ServerSession } from "../../src/http2/server-session.ts";
import type { ServerStream } from "../../src/http2/server-stream.ts";
import { Door } from "../../src/rpc/fronts/door.ts";
import { InnerSession } from "../../src/rpc/fronts/forward.ts";
import { answerStatus } from "../../src/rpc/grpc-answer.ts";
import { answerOf, connectNode, ignore, serveSessions, SETTINGS } from "../http2/harness.ts";
import { test, type TestScope } from "../testing.ts";

/** Tests of what Deno has not. */
const onNode: typeof test = isDeno ? () => {} : test;

/** A connection to a port that forwards what comes to whoever answers it. */
async function forwardTo(t: TestScope, answer: (stream: ServerStream) => void): Promise<ClientHttp2Session> {
  const door = new Door({
    greetingMs: 10_000,
    onConnection: (socket) => {
      const session = new ServerSession(socket, SETTINGS).on("error", ignore);
      session.on("stream", (stream: ServerStream) => answer(stream.on("error", ignore)));
      t.after(() => session.destroy());
    },
  });
  await door.open();
  t.after(() => door.close());
  const inner = new InnerSession(door.key, "127.0.0.1");
  t.after(() => inner.close());
  const { port } = await serveSessions(t, (stream, headers) => inner.forward(stream as never, headers));
  return await connectNode(t, port);
}

onNode("a call that is refused while its body still comes ends with the refusal", async (t) => {
  const session = await forwardTo(t, (stream) => answerStatus(stream as never, { "grpc-status": "8" }));
  const stream = session.request({ ":method": "POST" });
  const answer = answerOf(stream);
  stream.write(Buffer.alloc(1 << 20));
  await once(stream, "response");
  for (let i = 0; i < 20; i++) await new Promise((resolve) => session.ping(resolve));
  assert.ok(stream.destroyed);
  const { headers, rstCode } = await answer;
  assert.deepEqual([headers["grpc-status"], rstCode], ["8", 0]);
});

onNode("whoever waits to be told to send its body is told", async (t) => {
  const session = await forwardTo(t, (stream) => {
    stream.additionalHeaders({ ":status": 100 });
    stream.respond();
    stream.pipe(stream);
  });
  const stream = session.request({ ":method": "POST", expect: "100-continue" });
  const before: unknown[] = [];
  stream.on("headers", (headers: IncomingHttpHeaders) => before.push(headers[":status"]));
  stream.on("response", () => {
    before.push("answer");
    stream.end("body");
  });
  const { body } = await answerOf(stream);
  assert.deepEqual([before, body.toString()], [[100, "answer"], "body"]);
});
