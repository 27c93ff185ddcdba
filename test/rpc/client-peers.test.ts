import assert from "node:assert/strict";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import {
  type ErrorCode,
  newSecretKey,
  nodeKeyOf,
  noMetrics,
  silentLog,
  systemClock,
  type TaskEvent,
} from "../../src/core/mod.ts";
import { GetInfoRequestSchema } from "../../src/gen/velas/sphere/v1/node_pb.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { encodeNodeInfo, nodeInfoMessage } from "../../src/rpc/node-convert.ts";
import { CONNECT_CODES } from "../../src/rpc/errors.ts";
import { createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../../src/rpc/mod.ts";
import { createRouteServer, type RpcServer } from "../../src/rpc/server.ts";
import { legacyRoutes } from "../../src/rpc/services/legacy.ts";
import { GetInfoResponseSchema } from "../../src/gen/velas/sphere/v1/node_pb.ts";
import { create, toBinary } from "@bufbuild/protobuf";
import { serveStreams } from "../plugins/external-servers.ts";
import {
  answer,
  bytes,
  caller,
  failing,
  frame,
  openPeers,
  readRequest,
  runFrame,
  spec,
  text,
} from "./client-harness.ts";
import { fakeNode, FakeTasks, record } from "./fake-tasks.ts";
import { FRONTS } from "./harness.ts";

const COMMON = {
  health: new HealthState(),
  log: silentLog,
  metrics: noMetrics,
  clock: systemClock,
  limits: DEFAULT_RPC_LIMITS,
  frontThreads: FRONTS,
};

async function listen(t: TestScope, server: RpcServer): Promise<string> {
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  t.after(() => server.close({ graceMs: 0 }));
  return `127.0.0.1:${port}`;
}

/** A node over fake tasks, and the way to it. */
async function node(t: TestScope, limits: Parameters<typeof openPeers>[0] = {}) {
  const tasks = new FakeTasks();
  const target = await listen(t, createRpcServer({ ...COMMON, tasks, node: fakeNode }));
  const peers = openPeers(limits);
  t.after(() => peers.close());
  return { tasks, target, peers, remote: peers.dial(target) };
}

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

async function collect(events: AsyncIterable<TaskEvent>): Promise<TaskEvent[]> {
  const all: TaskEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
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

test("info() gives what the node says, when the node has signed it for this question", async (t) => {
  const key = nodeKeyOf(newSecretKey());
  const described = { ...fakeNode.describe(), nodeId: key.nodeId };
  const target = await listen(
    t,
    createRpcServer({
      ...COMMON,
      tasks: new FakeTasks(),
      node: { describe: () => described, sign: (message) => key.sign(message) },
    }),
  );
  const peers = openPeers();
  t.after(() => peers.close());
  assert.deepEqual(await peers.info(target, new AbortController().signal), described);
  await assert.rejects(peers.info(target, AbortSignal.abort()), failing("canceled"));
});

test("info() refuses a forged, a replayed and a broken description", async () => {
  const key = nodeKeyOf(newSecretKey());
  const other = nodeKeyOf(newSecretKey());
  const described = { ...fakeNode.describe(), nodeId: key.nodeId };
  const cases: [RegExp, (nonce: Uint8Array) => { info: Uint8Array; signature: Uint8Array }][] = [
    [/is signed by/, (nonce) => {
      const info = encodeNodeInfo(described, nonce);
      return { info, signature: other.sign(nodeInfoMessage(info)) };
    }],
    [/nonce differs/, () => {
      const info = encodeNodeInfo(described, new Uint8Array(16));
      return { info, signature: key.sign(nodeInfoMessage(info)) };
    }],
    [/signature is none/, (nonce) => ({ info: encodeNodeInfo(described, nonce), signature: new Uint8Array(65) })],
    [/cannot be read/, () => ({ info: Uint8Array.of(0xff), signature: new Uint8Array(65) })],
  ];
  for (const [message, forge] of cases) {
    const server = await serveStreams((stream) => {
      void readRequest(stream, GetInfoRequestSchema).then(({ nonce }) => {
        const { info, signature } = forge(nonce);
        const response = create(GetInfoResponseSchema, {
          info: Uint8Array.from(info),
          signature: Uint8Array.from(signature),
        });
        answer(stream, [frame(toBinary(GetInfoResponseSchema, response))]);
      });
    });
    const peers = openPeers();
    await assert.rejects(
      peers.info(server.address, new AbortController().signal),
      failing("target_misbehaved", message),
    );
    await peers.close();
    await server.kill();
  }
});

test("connections are bounded: the longest unused goes, one with a call stays", async (t) => {
  const servers = await Promise.all([1, 2, 3].map(() =>
    serveStreams((stream) => {
      sessions.add(stream.session);
      if (!hanging) answer(stream, [runFrame()]);
    })
  ));
  const sessions = new Set<unknown>();
  let hanging = false;
  const peers = openPeers({ maxSessions: 2 });
  t.after(async () => {
    await peers.close();
    await Promise.all(servers.map((server) => server.kill()));
  });
  const [a, b, c] = servers.map((server) => peers.dial(server.address));
  for (const tasks of [a, b, c, b, c]) await tasks!.run(spec(), caller());
  assert.equal(sessions.size, 3);
  await a!.run(spec(), caller());
  assert.equal(sessions.size, 4);
  hanging = true;
  const controller = new AbortController();
  const open = [a!, c!].map((tasks) => tasks.run(spec(), caller({ signal: controller.signal })));
  await assert.rejects(b!.run(spec(), caller()), failing("overloaded", /2 peers/));
  controller.abort();
  for (const result of open) await assert.rejects(result, failing("canceled"));
  hanging = false;
  // A canceled call's stream is gone a moment after the call.
  while (await b!.run(spec(), caller()).then(() => false, () => true)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
});

test("an unused connection is closed, and opened again when it is needed", async (t) => {
  const closed = Promise.withResolvers<void>();
  const server = await serveStreams((stream) => {
    stream.session!.once("close", () => closed.resolve());
    answer(stream, [runFrame()]);
  });
  const peers = openPeers({ idleTimeoutMs: 20 });
  t.after(async () => {
    await peers.close();
    await server.kill();
  });
  const tasks = peers.dial(server.address);
  await tasks.run(spec(), caller());
  await closed.promise;
  await tasks.run(spec(), caller());
});

test("close() ends open calls and refuses new ones", async () => {
  const server = await serveStreams(() => {});
  const peers = openPeers();
  const tasks = peers.dial(server.address);
  const open = [tasks.run(spec(), caller()), collect(tasks.watch("x", caller()))];
  const ended = open.map((result) => assert.rejects(result, failing("shutting_down")));
  await peers.close();
  await Promise.all(ended);
  await assert.rejects(tasks.run(spec(), caller()), failing("shutting_down"));
  await server.kill();
});

test("many calls at once share one connection, and large ones too", async (t) => {
  const { tasks, remote } = await node(t);
  const inputs = Array.from({ length: 300 }, (_, i) => `${i}`.repeat(1 + i % 50));
  const results = await Promise.all(inputs.map((input) => remote.run(spec(input, { function: "echo" }), caller())));
  assert.deepEqual(results.map((result) => text(result.output)), inputs);
  assert.equal(tasks.specs.length, 300);
  const large = new Uint8Array(8 << 20).fill(9);
  const [one, two] = await Promise.all([1, 2].map(() => remote.run(spec(large, { function: "echo" }), caller())));
  assert.equal(Buffer.compare(one!.output, large), 0);
  assert.equal(Buffer.compare(two!.output, large), 0);
});

test("a server that drains lets its calls end, and the client comes back to the next one on the port", async () => {
  const first = createRpcServer({ ...COMMON, tasks: new FakeTasks(), node: fakeNode });
  const { port } = await first.listen({ host: "127.0.0.1", port: 0 });
  const peers = openPeers();
  const tasks = peers.dial(`127.0.0.1:${port}`);
  await tasks.run(spec(), caller());
  await first.close({ graceMs: 1000 });
  const second = createRpcServer({ ...COMMON, tasks: new FakeTasks(), node: fakeNode });
  await second.listen({ host: "127.0.0.1", port });
  assert.equal(text((await tasks.run(spec(), caller())).output), "world");
  await peers.close();
  await second.close({ graceMs: 0 });
});
