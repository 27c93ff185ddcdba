import assert from "node:assert/strict";
import { test, type TestScope } from "../testing.ts";
import { type ErrorCode, newSecretKey, nodeKeyOf, systemClock } from "../../src/core/mod.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { CONNECT_CODES } from "../../src/rpc/errors.ts";
import { createRouteServer } from "../../src/rpc/server.ts";
import { legacyRoutes } from "../../src/rpc/services/legacy.ts";
import { serveStreams } from "../plugins/external-servers.ts";
import { answer, bytes, caller, failing, frame, openPeers, spec, text } from "./client-harness.ts";
import { FakeTasks, record } from "./fake-tasks.ts";
import { collect, COMMON, listen, node } from "./client-nodes.ts";

/** A node that serves the original protocol only. */
async function originalNode(t: TestScope) {
  const tasks = new FakeTasks();
  const target = await listen(t, createRouteServer(legacyRoutes(tasks).slice(0, 1), COMMON));
  const peers = openPeers();
  t.after(() => peers.close());
  return { tasks, target, peers, remote: peers.dial(target) };
}

test("a call carries requester, request id and deadline", async (t) => {
  const { tasks, remote } = await node(t);
  const requester = "0x52908400098527886E0F7030069857D2E4169EE7";
  const deadlineAt = systemClock.now() + 30_000;
  await remote.run(spec(), caller({ requester, requestId: "req-7", deadlineAt }));
  await remote.get("a", caller({ requester, requestId: "req-8" }));
  for await (const _ of remote.watch("a", caller({ requester, requestId: "req-9", deadlineAt }))) { /* to its end */ }
  assert.deepEqual(tasks.contexts.map((ctx) => ctx.requester), [requester, requester, requester]);
  assert.deepEqual(tasks.contexts.map((ctx) => ctx.requestId), ["req-7", "req-8", "req-9"]);
  assert(Math.abs(tasks.contexts[0]!.deadlineAt! - deadlineAt) < 5_000);
});

test("calls of nobody in particular go out in the node's own name", async (t) => {
  const { tasks, target } = await node(t);
  const requester = nodeKeyOf(newSecretKey()).nodeId;
  const peers = createPeers({ requester });
  await peers.dial(target).run(spec(), caller());
  assert.equal(tasks.contexts[0]!.requester, requester);
  await peers.close();
});

test("all spellings of a target are one connection, and records name it", async (t) => {
  const { tasks, target, peers } = await node(t);
  const port = target.split(":")[1];
  for (const spelling of [target, `dns:///${target}`, `LOCALHOST:${port}`, `localhost:${port}`]) {
    const got = await peers.dial(spelling).get("x", caller());
    assert.equal(got.target, spelling.startsWith("127") || spelling.startsWith("dns") ? target : `localhost:${port}`);
  }
  assert.equal(tasks.contexts.length, 4);
  assert.throws(() => peers.dial("nowhere"), failing("invalid_argument", /port/));
});

test("every error of a node arrives as the same NodeError", async (t) => {
  const { remote } = await node(t);
  for (const code of Object.keys(CONNECT_CODES) as ErrorCode[]) {
    await assert.rejects(
      remote.run(spec(code, { function: "throw" }), caller()),
      failing(code, /^It failed with “ü” and 100 %$/, (error) => {
        assert.deepEqual({ ...error.data }, { limit: "5", name: "x" });
        assert.equal(error.retryAfterMs, 1500);
      }),
    );
  }
});

test("canceling reaches the server, unary and streaming, and leaving a stream does too", async (t) => {
  const { tasks, remote } = await node(t);
  for (const streaming of [false, true]) {
    const controller = new AbortController();
    const ctx = caller({ signal: controller.signal });
    const call = spec("", { function: "hang" });
    const result = streaming ? collect(remote.runStream(call, pieces(), ctx)) : remote.run(call, ctx);
    const seen = tasks.contexts.length;
    await tasks.until(() => tasks.contexts.length > seen - 1 && tasks.contexts.at(-1) !== undefined);
    await tasks.until(() => tasks.contexts.length === (streaming ? 2 : 1));
    controller.abort();
    await assert.rejects(result, failing("canceled"));
    await tasks.until(() => tasks.aborts.length === (streaming ? 2 : 1));
  }
  for await (const _ of remote.watch("endless", caller())) break;
  await tasks.until(() => tasks.aborts.length === 3);
});

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const piece of texts) yield await Promise.resolve(bytes(piece));
}

test("a streamed input goes out in pieces of any size, and its own failure is what the caller gets", async (t) => {
  const { remote } = await node(t);
  const large = "x".repeat(700_000);
  const events = await collect(remote.runStream(spec(""), pieces("a", "", large), caller()));
  const chunks = events.flatMap((event) => event.type === "chunk" ? [text(event.bytes)] : []);
  assert.equal(chunks.join(""), `a${large}`);
  assert.equal(events.at(-1)?.type, "state");
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield await Promise.resolve(bytes("a"));
    throw new RangeError("the disk is gone");
  }
  await assert.rejects(collect(remote.runStream(spec(""), broken(), caller())), /the disk is gone/);
});

test("a stream that breaks off, ends early or makes no sense is an error of the target", async (t) => {
  const cases: [string, RegExp, Parameters<typeof serveStreams>[0]][] = [
    ["target_unreachable", /lost/, (stream) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      setImmediate(() => stream.session?.destroy());
    }],
    ["target_misbehaved", /before the task had ended/, (stream) => answer(stream, [])],
    ["target_misbehaved", /incomplete/, (stream) => answer(stream, [frame(Uint8Array.of(1, 2, 3)).subarray(0, 6)])],
    [
      "target_misbehaved",
      /record is missing|no time|unknown state/,
      (stream) => answer(stream, [frame(Uint8Array.of(0x0a, 2, 0x0a, 0))]),
    ],
    ["target_misbehaved", /HTTP 502/, (stream) => stream.respond({ ":status": 502 }, { endStream: true })],
  ];
  for (const [code, message, onStream] of cases) {
    const server = await serveStreams(onStream);
    const peers = openPeers();
    await assert.rejects(collect(peers.dial(server.address).watch("x", caller())), failing(code, message));
    await peers.close();
    await server.kill();
  }
  const stalling = await serveStreams((stream) =>
    stream.respond({ ":status": 200, "content-type": "application/grpc" })
  );
  const peers = openPeers();
  const ctx = caller({ deadlineAt: systemClock.now() + 40 });
  await assert.rejects(collect(peers.dial(stalling.address).watch("x", ctx)), failing("deadline_exceeded"));
  t.after(async () => {
    await peers.close();
    await stalling.kill();
  });
});

test("list, submit, cancel and output go there and back", async (t) => {
  const { remote, target } = await node(t);
  const page = await remote.list({ states: ["queued", "canceled"], pageSize: 7, pageToken: "" }, caller());
  assert.equal(page.nextPageToken, "7");
  assert.deepEqual(page.tasks, [{ ...record("queued", "queued"), target }, {
    ...record("canceled", "canceled"),
    target,
  }]);
  assert.equal((await remote.submit(spec("x", { id: "s" }), caller())).state, "queued");
  assert.equal((await remote.cancel("c", caller())).state, "canceled");
  assert.equal(text((await remote.output("done", caller())).output), "output of done");
  await assert.rejects(remote.output("queued", caller()), failing("failed_precondition", /queued/));
  await assert.rejects(remote.get("missing", caller()), failing("not_found", /missing/));
});

test("a node of the original kind runs texts on its default plugin", async (t) => {
  const { tasks, remote, peers, target } = await originalNode(t);
  for (let i = 0; i < 2; i++) {
    const result = await remote.run(spec("hello", { id: "7" }), caller());
    assert.equal(text(result.output), "world");
    assert.equal(result.id, "7");
    assert.deepEqual({ ...result.usage, wallMicros: 0 }, {
      wallMicros: 0,
      inputBytes: 5,
      outputBytes: 5,
      instructions: 0,
    });
  }
  assert.match((await remote.run(spec("grüße"), caller())).id, /^[0-9A-Z]{26}$/);
  assert.equal(tasks.specs.length, 3);
  const beyond = [
    remote.run(spec("x", { plugin: "ocr" }), caller()),
    remote.run(spec("x", { function: "echo" }), caller()),
    remote.run(spec(Uint8Array.of(0xff)), caller()),
    remote.submit(spec(), caller()),
    remote.get("7", caller()),
    collect(remote.watch("7", caller())),
    collect(remote.runStream(spec(""), pieces("a"), caller())),
    peers.info(target, new AbortController().signal),
  ];
  await Promise.all(beyond.map((result) => assert.rejects(result, failing("unimplemented", /original protocol/))));
  await assert.rejects(
    remote.run(spec("four", { limits: { outputBytes: 3 } }), caller()),
    failing("output_too_large", /limit of 3/),
  );
  assert.equal(tasks.specs.length, 4);
});

test("a task's time limit is held against a node of the original kind here", async (t) => {
  const seen: string[] = [];
  const server = await serveStreams((stream, path) => {
    seen.push(path);
    if (!path.startsWith("/velas")) return;
    stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "12" }, { endStream: true });
  });
  const peers = openPeers();
  t.after(async () => {
    await peers.close();
    await server.kill();
  });
  const tasks = peers.dial(server.address);
  for (let i = 0; i < 2; i++) {
    await assert.rejects(
      tasks.run(spec("x", { limits: { timeoutMs: 30 } }), caller()),
      failing("deadline_exceeded", /30 ms/),
    );
  }
  // It was asked for the present protocol once, and remembered.
  assert.equal(seen.filter((path) => path.startsWith("/velas")).length, 1);
});
