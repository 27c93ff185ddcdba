import assert from "node:assert/strict";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import { NodeError } from "../../src/core/mod.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { Plugin as OriginalPlugin } from "../../src/gen/resources/plugin_pb.ts";
import { ErrorDetailSchema } from "../../src/gen/velas/sphere/v1/error_pb.ts";
import { LogLevel } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { type ExecuteResponseSchema, PluginService } from "../../src/gen/velas/sphere/v1/plugin_pb.ts";
import type { ExternalPlugin, ExternalPluginOptions } from "../../src/plugins/external-plugin.ts";
import { connectExternalPlugin } from "../../src/plugins/external-plugin.ts";
import { silentLog } from "../../src/core/mod.ts";
import { bytes, call, collector, connect, text, until } from "./external-calls.ts";
import { freePort, serveRoutes, serveSockets, serveStreams, type TestServer } from "./external-servers.ts";

type Execute = ServiceImpl<typeof PluginService>["execute"];

type Response = MessageInitShape<typeof ExecuteResponseSchema>;

const chunk = (value: Uint8Array): Response => ({
  message: { case: "chunk", value: value as Uint8Array<ArrayBuffer> },
});
const log = (message: string, level: LogLevel = LogLevel.INFO): Response => ({
  message: { case: "log", value: { level, message } },
});
const finish = (contentType = ""): Response => ({ message: { case: "result", value: { contentType } } });

const MANIFEST = {
  name: "served",
  version: "1.2.3",
  description: "for tests",
  functions: [
    { name: "first", inputContentType: "", outputContentType: "text/x-first", description: "" },
    { name: "second", inputContentType: "", outputContentType: "", description: "" },
  ],
};

async function* streamOf(...pieces: string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield await Promise.resolve(bytes(piece));
}

/** What the plugin of most tests does, by function. */
const serve: Execute = async function* (requests, context) {
  const source = requests[Symbol.asyncIterator]();
  const { message } = (await source.next()).value!;
  assert(message.case === "start");
  const start = message.value;
  if (start.function === "second") {
    yield log(`limit ${start.limits?.timeoutMs}`, LogLevel.WARN);
    yield { message: { case: "progress", value: { fraction: 7, message: "over" } } };
  }
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    if (next.value.message.case === "chunk") yield chunk(next.value.message.value);
  }
  context.signal.throwIfAborted();
  yield finish(start.function === "second" ? "text/x-second" : "");
};

async function servePlugin(
  impl: { execute?: Execute; cancel?: ServiceImpl<typeof PluginService>["cancel"]; maxConcurrency?: number },
  port = 0,
): Promise<TestServer> {
  const { execute = serve, cancel = () => ({}), maxConcurrency = 0 } = impl;
  return await serveRoutes(
    (router) => router.service(PluginService, { describe: () => ({ ...MANIFEST, maxConcurrency }), execute, cancel }),
    port,
  );
}

/** A plugin that is closed with the test, and its server, if it still runs, too. */
async function connected(
  t: TestScope,
  server: TestServer,
  options: Partial<ExternalPluginOptions> = {},
): Promise<ExternalPlugin> {
  const plugin = await connect(server.address, options);
  t.after(async () => {
    await plugin.close();
    await server.kill().catch(() => {});
  });
  return plugin;
}

const failing = (code: string, pattern = /./) => (reason: unknown) => {
  assert(reason instanceof NodeError, `${reason}`);
  assert.equal(reason.code, code, reason.message);
  assert.match(reason.message, pattern);
  return true;
};

test("a plugin is known by its configured name and by what it says of itself", async (t) => {
  const server = await servePlugin({});
  const plugin = await connected(t, server);
  assert.deepEqual(plugin.info(), {
    name: "tested",
    version: "1.2.3",
    sha256: "",
    runtime: "grpc",
    functions: MANIFEST.functions,
    description: "for tests",
    isDefault: false,
    enabled: true,
    ready: true,
    address: server.address,
  });
});

test("execute() sends the input and gives the output, its type and the usage", async (t) => {
  const plugin = await connected(t, await servePlugin({}));
  const outcome = await plugin.execute(call(bytes("abc")), "first");
  assert.equal(text(outcome.output), "abc");
  assert.equal(outcome.contentType, "text/x-first");
  assert.equal(outcome.usage.inputBytes, 3);
  assert.equal(outcome.usage.outputBytes, 3);
  assert(outcome.usage.wallMicros > 0);
});

test("execute() carries empty input, and input larger than gRPC's usual message limit", async (t) => {
  const plugin = await connected(t, await servePlugin({}));
  assert.equal((await plugin.execute(call(new Uint8Array(0)), "first")).output.length, 0);
  const large = new Uint8Array(6 << 20).fill(7);
  const limits = { timeoutMs: 30_000, memoryBytes: 1, outputBytes: large.length };
  const { output } = await plugin.execute(call(large, { limits }), "first");
  assert(large.every((byte, i) => byte === output[i]) && output.length === large.length);
});

test("execute() streams input in and output, log lines and progress out, in order and within bounds", async (t) => {
  const plugin = await connected(t, await servePlugin({}));
  const { events, onEvent } = collector();
  const outcome = await plugin.execute(call(streamOf("one ", "two"), { onEvent, streamOutput: true }), "second");
  assert.equal(outcome.output.length, 0);
  assert.equal(outcome.contentType, "text/x-second");
  assert.equal(outcome.usage.outputBytes, 7);
  assert.deepEqual(events.map(({ type }) => type), ["log", "progress", "chunk", "chunk"]);
  const [log, progress] = events;
  assert(log?.type === "log" && log.level === "warn" && log.message === "limit 10000");
  assert(progress?.type === "progress" && progress.fraction === 1);
  assert.equal(events.map((event) => event.type === "chunk" ? text(event.bytes) : "").join(""), "one two");
});

test("execute() waits for a reader that is behind before it reads on", async (t) => {
  const plugin = await connected(t, await servePlugin({}));
  let open = 0;
  let most = 0;
  const onEvent = async () => {
    most = Math.max(most, ++open);
    await new Promise((resolve) => setImmediate(resolve));
    open--;
  };
  await plugin.execute(call(streamOf(..."abcdefghijklmnop"), { onEvent, streamOutput: true }), "first");
  assert.equal(most, 1);
});

test("an input that fails ends the call with its own error", async (t) => {
  const plugin = await connected(t, await servePlugin({}));
  async function* input() {
    yield await Promise.resolve(bytes("begin"));
    throw new NodeError("input_too_large", "too much");
  }
  await assert.rejects(plugin.execute(call(input()), "first"), failing("input_too_large", /too much/));
});

test("the time limit stops a plugin that stalls, and tells it", async (t) => {
  const canceled = Promise.withResolvers<string>();
  const aborted = Promise.withResolvers<void>();
  let started = "";
  const server = await servePlugin({
    async *execute(requests, context) {
      for await (const { message } of requests) if (message.case === "start") started = message.value.executionId;
      context.signal.addEventListener("abort", () => aborted.resolve());
      await aborted.promise;
      yield finish();
    },
    cancel({ executionId }) {
      canceled.resolve(executionId);
      return {};
    },
  });
  const plugin = await connected(t, server);
  const limits = { timeoutMs: 30, memoryBytes: 1, outputBytes: 1 };
  await assert.rejects(plugin.execute(call(bytes("x"), { limits }), "first"), failing("deadline_exceeded", /30 ms/));
  await aborted.promise;
  assert.equal(await canceled.promise, started);
  assert.equal(plugin.info().ready, true);
});

test("canceling stops the plugin, whatever it is doing", async (t) => {
  const running = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const server = await servePlugin({
    async *execute(_, context) {
      context.signal.addEventListener("abort", () => aborted.resolve());
      running.resolve();
      await aborted.promise;
      yield finish();
    },
  });
  const plugin = await connected(t, server);
  const controller = new AbortController();
  const result = plugin.execute(call(bytes("x"), { signal: controller.signal }), "first");
  await running.promise;
  controller.abort();
  await assert.rejects(result, failing("canceled"));
  await aborted.promise;
  await assert.rejects(plugin.execute(call(bytes("x"), { signal: controller.signal }), "first"), failing("canceled"));
});

test("close() ends running calls and refuses new ones", async () => {
  const running = Promise.withResolvers<void>();
  const server = await servePlugin({
    async *execute(_, context) {
      running.resolve();
      await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
      yield finish();
    },
  });
  const plugin = await connect(server.address);
  const result = plugin.execute(call(bytes("x")), "first");
  await running.promise;
  const ended = assert.rejects(result, failing("shutting_down"));
  await plugin.close();
  await ended;
  await assert.rejects(plugin.execute(call(bytes("x")), "first"), failing("shutting_down"));
  await server.kill();
});

for (const size of [99, 100, 101]) {
  test(`an output limit of 100 bytes ${size > 100 ? "stops" : "allows"} an output of ${size}`, async (t) => {
    const plugin = await connected(t, await servePlugin({}));
    const limits = { timeoutMs: 10_000, memoryBytes: 1, outputBytes: 100 };
    for (const streamOutput of [false, true]) {
      const result = plugin.execute(call(new Uint8Array(size), { limits, streamOutput }), "first");
      if (size > 100) await assert.rejects(result, failing("output_too_large", /100/));
      else assert.equal((await result).usage.outputBytes, size);
    }
  });
}

test("one message far over the output limit is refused before it is held", async (t) => {
  const server = await servePlugin({
    async *execute() {
      yield await Promise.resolve(chunk(new Uint8Array(8 << 20)));
    },
  });
  const plugin = await connected(t, server);
  const limits = { timeoutMs: 10_000, memoryBytes: 1, outputBytes: 1000 };
  await assert.rejects(plugin.execute(call(bytes("x"), { limits }), "first"), failing("output_too_large", /1000/));
});

test("a flood of log lines is cut, and the output still comes", async (t) => {
  const server = await servePlugin({
    async *execute() {
      for (let i = 0; i < 5000; i++) yield log(`line ${i}`);
      yield await Promise.resolve(chunk(bytes("done")));
      yield finish();
    },
  });
  const plugin = await connected(t, server);
  const { events, onEvent } = collector();
  const outcome = await plugin.execute(call(bytes("x"), { onEvent }), "first");
  assert.equal(text(outcome.output), "done");
  assert.equal(events.length, 1001);
  const last = events.at(-1);
  assert(last?.type === "log" && /cut here/.test(last.message));
});

test("each plain status of gRPC is one of our codes, with the plugin's own message and the status", async (t) => {
  const cases: readonly (readonly [Code, string, string, RegExp?])[] = [
    [Code.Canceled, "CANCELLED", "plugin_failed"],
    [Code.Unknown, "UNKNOWN", "plugin_failed"],
    [Code.InvalidArgument, "INVALID_ARGUMENT", "invalid_argument"],
    [Code.DeadlineExceeded, "DEADLINE_EXCEEDED", "deadline_exceeded", /over: no such picture \(.*limit is \d+ ms/],
    [Code.NotFound, "NOT_FOUND", "plugin_failed"],
    [Code.AlreadyExists, "ALREADY_EXISTS", "plugin_failed"],
    [Code.PermissionDenied, "PERMISSION_DENIED", "plugin_failed"],
    [Code.ResourceExhausted, "RESOURCE_EXHAUSTED", "overloaded"],
    [Code.FailedPrecondition, "FAILED_PRECONDITION", "plugin_failed"],
    [Code.Aborted, "ABORTED", "plugin_failed"],
    [Code.OutOfRange, "OUT_OF_RANGE", "invalid_argument"],
    [Code.Unimplemented, "UNIMPLEMENTED", "plugin_failed", /broke its protocol: no such picture$/],
    [Code.Internal, "INTERNAL", "plugin_failed"],
    [Code.Unavailable, "UNAVAILABLE", "plugin_unavailable"],
    [Code.DataLoss, "DATA_LOSS", "plugin_failed"],
    [Code.Unauthenticated, "UNAUTHENTICATED", "plugin_failed"],
  ];
  let answer = { message: "", code: Code.Unknown };
  const server = await servePlugin({
    // deno-lint-ignore require-yield
    async *execute() {
      throw await Promise.resolve(new ConnectError(answer.message, answer.code));
    },
  });
  const plugin = await connected(t, server);
  assert.deepEqual(cases.map(([status]) => status), Array.from({ length: 16 }, (_, place) => place + 1));
  for (const [status, name, code, message = /^no such picture$/] of cases) {
    answer = { message: "no such picture", code: status };
    await assert.rejects(plugin.execute(call(bytes("x")), "first"), (error: NodeError) => {
      assert.deepEqual([error.code, error.data["grpcStatus"]], [code, name]);
      assert.match(error.message, message);
      return true;
    });
    // After UNAVAILABLE its health is asked, and it is well.
    await until(plugin, true);
  }
  answer = { message: "", code: Code.PermissionDenied };
  const silent = failing("plugin_failed", /without saying why \(PERMISSION_DENIED\)/);
  await assert.rejects(plugin.execute(call(bytes("x")), "first"), silent);
  // What grpc-go and grpcio say of a message over their own limit.
  for (
    const message of [
      "grpc: received message larger than max (5242880 vs. 4194304)",
      "SERVER: Received message larger than max (5242880 vs. 4194304)",
    ]
  ) {
    answer = { message, code: Code.ResourceExhausted };
    await assert.rejects(plugin.execute(call(bytes("x")), "first"), failing("input_too_large", /larger than max/));
  }
});

test("an error detail gives the code, but only one that a plugin may have", async (t) => {
  const cases = {
    plugin_trapped: "plugin_trapped",
    overloaded: "overloaded",
    invalid_argument: "invalid_argument",
    memory_exceeded: "memory_exceeded",
    output_too_large: "output_too_large",
    deadline_exceeded: "deadline_exceeded",
    shutting_down: "plugin_unavailable",
    plugin_unavailable: "plugin_unavailable",
    storage_locked: "plugin_failed",
    nonsense: "plugin_failed",
  };
  for (const [sent, expected] of Object.entries(cases)) {
    const server = await servePlugin({
      // deno-lint-ignore require-yield
      async *execute() {
        const value = create(ErrorDetailSchema, { code: sent });
        throw await Promise.resolve(
          new ConnectError("so it is", Code.Unknown, undefined, [{ desc: ErrorDetailSchema, value }]),
        );
      },
    });
    const plugin = await connected(t, server);
    await assert.rejects(plugin.execute(call(bytes("x")), "first"), failing(expected, /so it is/));
  }
});

test("an answer without a result, or with more after it, is a breach of the protocol", async (t) => {
  for (const count of [0, 2]) {
    const server = await servePlugin({
      async *execute() {
        for (let i = 0; i < count; i++) yield await Promise.resolve(finish());
      },
    });
    const plugin = await connected(t, server);
    await assert.rejects(plugin.execute(call(bytes("x")), "first"), failing("plugin_failed", /protocol/));
  }
});

test("malformed protobuf in an answer is plugin_failed", async (t) => {
  const server = await serveStreams((stream, path) => {
    const answer = (...frames: Uint8Array[]) => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      for (const frame of frames) stream.write(frame);
      stream.end();
    };
    if (path.endsWith("/Describe")) {
      const fn = [0x0a, 1, 0x66]; // name "f"
      const manifest = [0x12, 5, ...bytes("1.0.0"), 0x22, fn.length, ...fn];
      answer(Uint8Array.from([0, 0, 0, 0, manifest.length, ...manifest]));
    } else if (path.endsWith("/Execute")) {
      answer(Uint8Array.from([0, 0, 0, 0, 3, 0xff, 0xff, 0xff]));
    } else {
      stream.respond({ ":status": 200, "content-type": "application/grpc", "grpc-status": "12" }, { endStream: true });
    }
  });
  const plugin = await connected(t, server);
  assert.equal(plugin.info().ready, true, plugin.info().problem);
  await assert.rejects(plugin.execute(call(bytes("x")), "f"), failing("plugin_failed", /protocol/));
});

test("a plugin that dies in a call makes it plugin_unavailable, and is back once it runs again", async (t) => {
  const running = Promise.withResolvers<void>();
  const server = await servePlugin({
    async *execute() {
      running.resolve();
      yield await new Promise<never>(() => {});
    },
  });
  const plugin = await connected(t, server);
  // The server in this process keeps the deadline's timer of a call that it never ends; a short one lets the process end.
  const limits = { timeoutMs: 2000, memoryBytes: 1, outputBytes: 1 };
  const result = plugin.execute(call(bytes("x"), { limits }), "first");
  await running.promise;
  const failed = assert.rejects(result, failing("plugin_unavailable"));
  await server.kill();
  await failed;
  await until(plugin, false);
  assert.match(plugin.info().problem!, /connection/i);
  await assert.rejects(plugin.execute(call(bytes("x")), "first"), failing("plugin_unavailable"));
  const again = await servePlugin({}, server.port);
  await until(plugin, true);
  assert.equal(text((await plugin.execute(call(bytes("back")), "first")).output), "back");
  await plugin.close();
  await again.kill();
});

test("a plugin that is down at the start is found when it comes up", async () => {
  const port = await freePort();
  const plugin = await connect(`127.0.0.1:${port}`);
  assert.equal(plugin.info().ready, false);
  assert.match(plugin.info().problem!, /ECONNREFUSED/);
  await assert.rejects(plugin.execute(call(bytes("x")), "first"), (reason) => {
    failing("plugin_unavailable", /ECONNREFUSED/)(reason);
    assert((reason as NodeError).retryAfterMs! > 0);
    return (reason as NodeError).retryable;
  });
  const server = await servePlugin({}, port);
  await until(plugin, true);
  await plugin.close();
  await server.kill();
});

test("a plugin that accepts and says nothing is not ready, and close() does not wait for it", async (t) => {
  const plugin = await connected(t, await serveSockets(() => {}), { probeTimeoutMs: 30 });
  assert.equal(plugin.info().ready, false);
  assert.match(plugin.info().problem!, /No answer .* within 30 ms/);
});

test("a server that is no gRPC server is not ready, and its problem says so", async (t) => {
  const http1 = await serveSockets((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  assert.equal((await connected(t, http1)).info().ready, false);
  const http2 = await serveStreams((stream) => {
    stream.respond({ ":status": 200, "content-type": "text/html" });
    stream.end("<html>");
  });
  const plugin = await connected(t, http2);
  assert.equal(plugin.info().ready, false);
  assert.match(plugin.info().problem!, /does not speak gRPC/);
});

test("a plugin whose description breaks the rules is not ready, and its problem names the rule", async (t) => {
  const cases = [
    [{ ...MANIFEST, version: "one" }, /version "one"/],
    [{ ...MANIFEST, functions: [] }, /0 functions/],
    [{ ...MANIFEST, functions: [{ name: "a b" }] }, /"a b"/],
    [{ ...MANIFEST, functions: [{ name: "a" }, { name: "a" }] }, /"a" twice/],
  ] as const;
  for (const [manifest, problem] of cases) {
    const server = await serveRoutes((router) =>
      router.service(PluginService, { describe: () => manifest as typeof MANIFEST })
    );
    const plugin = await connected(t, server);
    assert.equal(plugin.info().ready, false);
    assert.match(plugin.info().problem!, problem);
  }
});

test("a plugin that reports itself as not serving takes no calls until it serves", async (t) => {
  let status: Status = Status.NOT_SERVING;
  const server = await serveRoutes((router) => {
    router.service(PluginService, { describe: () => MANIFEST, execute: serve });
    router.service(Health, { check: () => ({ status }) });
  });
  const plugin = await connected(t, server, { healthIntervalMs: 5 });
  assert.equal(plugin.info().ready, false);
  assert.match(plugin.info().problem!, /not serving/);
  status = Status.SERVING;
  await until(plugin, true);
  status = Status.NOT_SERVING;
  await until(plugin, false);
});

test("a plugin that is too busy to answer questions keeps its calls", async (t) => {
  let busy = false;
  const running = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let unanswered = 0;
  const asked = Promise.withResolvers<void>();
  const server = await serveRoutes((router) =>
    router.service(PluginService, {
      async describe() {
        if (busy && ++unanswered === 2) asked.resolve();
        if (busy) await release.promise;
        return MANIFEST;
      },
      async *execute() {
        busy = true;
        running.resolve();
        await release.promise;
        yield chunk(bytes("late"));
        yield finish();
      },
    })
  );
  const plugin = await connected(t, server, { healthIntervalMs: 5, probeTimeoutMs: 1500 });
  const result = plugin.execute(call(bytes("x")), "first");
  await Promise.race([running.promise, result]);
  await Promise.race([asked.promise, result]);
  assert.equal(plugin.info().ready, true);
  busy = false;
  release.resolve();
  assert.equal(text((await result).output), "late");
});

test("a plugin gets no more calls at once than it takes; the others wait, and may leave the line", async (t) => {
  let open = 0;
  let most = 0 as number;
  const gates: (() => void)[] = [];
  const arrived = Promise.withResolvers<void>();
  const server = await servePlugin({
    maxConcurrency: 2,
    async *execute() {
      most = Math.max(most, ++open);
      await new Promise<void>((resolve) => {
        gates.push(resolve);
        if (gates.length === 2) arrived.resolve();
      });
      open--;
      yield finish();
    },
  });
  const plugin = await connected(t, server);
  const running = [plugin.execute(call(bytes("1")), "first"), plugin.execute(call(bytes("2")), "first")];
  await arrived.promise;
  const controller = new AbortController();
  const leaving = plugin.execute(call(bytes("3"), { signal: controller.signal }), "first");
  const waiting = plugin.execute(call(bytes("4")), "first");
  controller.abort();
  await assert.rejects(leaving, failing("canceled"));
  gates.shift()!();
  await Promise.race(running);
  while (gates.length < 2) await new Promise((resolve) => setImmediate(resolve));
  for (const gate of gates) gate();
  await Promise.all([...running, waiting]);
  assert.equal(most, 2);
});

test("auto takes the original protocol when that is all the server knows", async (t) => {
  const server = await serveRoutes((router) =>
    router.service(OriginalPlugin, { requestJobExecution: ({ id, input }) => ({ id, output: `${input}!` }) })
  );
  for (const protocol of ["auto", "original"] as const) {
    const plugin = await connect(server.address, { protocol });
    assert.equal(plugin.info().ready, true, plugin.info().problem);
    assert.deepEqual(plugin.info().functions.map(({ name }) => name), ["run"]);
    const { events, onEvent } = collector();
    const outcome = await plugin.execute(call(bytes("grüße"), { onEvent, streamOutput: true }), "run");
    assert.equal(outcome.usage.outputBytes, 8);
    assert(events[0]?.type === "chunk" && text(events[0].bytes) === "grüße!");
    assert.equal(text((await plugin.execute(call(streamOf("a", "b")), "run")).output), "ab!");
    const limits = { timeoutMs: 10_000, memoryBytes: 1, outputBytes: 3 };
    await assert.rejects(plugin.execute(call(bytes("abc"), { limits }), "run"), failing("output_too_large"));
    await assert.rejects(plugin.execute(call(Uint8Array.of(0xff)), "run"), failing("plugin_failed", /UTF-8/));
    await plugin.close();
  }
  const plugin = await connected(t, server, { protocol: "velas" });
  assert.match(plugin.info().problem!, /set its protocol to "original"/);
});

test("a plugin of the original protocol that stalls is stopped by the time limit", async (t) => {
  const server = await serveRoutes((router) =>
    router.service(OriginalPlugin, { requestJobExecution: () => new Promise<never>(() => {}) })
  );
  const plugin = await connected(t, server);
  const limits = { timeoutMs: 20, memoryBytes: 1, outputBytes: 3 };
  await assert.rejects(plugin.execute(call(bytes("x"), { limits }), "run"), failing("deadline_exceeded"));
});

test("an address that cannot be read is refused at once", () => {
  const options = { name: "x", protocol: "auto", log: silentLog } as const;
  assert.throws(() => connectExternalPlugin({ ...options, address: "nowhere" }), failing("invalid_argument", /port/));
});

test("a function that the plugin does not list is function_not_found", async (t) => {
  const plugin = await connected(t, await servePlugin({}));
  await assert.rejects(plugin.execute(call(bytes("x")), "third"), failing("function_not_found", /third/));
});
