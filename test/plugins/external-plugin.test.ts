import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { NodeError, silentLog } from "../../src/core/mod.ts";
import { Plugin as OriginalPlugin } from "../../src/gen/resources/plugin_pb.ts";
import { connectExternalPlugin } from "../../src/plugins/external-plugin.ts";
import { bytes, call, collector, connect, text } from "./external-calls.ts";
import { serveRoutes } from "./external-servers.ts";
import { chunk, connected, failing, finish, log, MANIFEST, servePlugin, streamOf } from "./external-fixture.ts";

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
