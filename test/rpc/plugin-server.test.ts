import assert from "node:assert/strict";
import { test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { demoFunctions } from "../../grpc-plugins/demo/functions.ts";
import { NodeError } from "../../src/core/mod.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { Plugin } from "../../src/gen/resources/plugin_pb.ts";
import { type ExecuteRequestSchema, PluginService } from "../../src/gen/velas/sphere/v1/plugin_pb.ts";
import { createPluginServer, fromConnectError, type PluginImplementation } from "../../src/rpc/mod.ts";
import { bytes, text } from "./fake-tasks.ts";

type Message = MessageInitShape<typeof ExecuteRequestSchema>["message"];

/** What `endless` has given. */
let pulled = 0;

/** Functions that do what tests need to provoke. */
const testing: Record<string, PluginImplementation> = {
  ...demoFunctions,
  hang: { run: () => new Promise<string>(() => {}) },
  obey: {
    run: (_input, { signal }) =>
      new Promise<string>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  },
  fail: { run: () => Promise.reject<string>(new Error("the plugin's own words")) },
  throw: {
    run() {
      throw new NodeError("failed_precondition", "not now");
    },
  },
  endless: {
    async *run(_input, { signal }) {
      for (; !signal.aborted; pulled++) yield await Promise.resolve(new Uint8Array(64 << 10));
    },
  },
  breaks: {
    async *run() {
      yield await Promise.resolve(bytes("half"));
      throw new NodeError("overloaded", "no more", { retryAfterMs: 7 });
    },
  },
  big: { run: () => Promise.resolve(new Uint8Array((1 << 20) + 5)) },
  talk: {
    async *run(_input, execution) {
      execution.log("info", "one");
      execution.progress(0.5, "half");
      yield bytes("a");
      execution.log("error", "two");
      yield bytes("b");
    },
  },
  shout: {
    run(_input, execution) {
      for (let i = 0; i < 5000; i++) execution.log("debug", `${i}`);
      return Promise.resolve("done");
    },
  },
};

async function connected() {
  const server = createPluginServer({
    name: "demo",
    version: "1.0.0",
    description: "For tests",
    functions: testing,
    maxInputBytes: 100_000,
    maxConcurrency: 3,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const baseUrl = `http://127.0.0.1:${port}`;
  const sessionManager = new Http2SessionManager(baseUrl);
  const transport = createGrpcTransport({ baseUrl, sessionManager });
  return {
    server,
    transport,
    client: createClient(PluginService, transport),
    manager: sessionManager,
    async [Symbol.asyncDispose]() {
      sessionManager.abort();
      await server.close({ graceMs: 0 });
    },
  };
}

async function* messages(...each: Message[]) {
  for (const message of each) yield await Promise.resolve({ message } as MessageInitShape<typeof ExecuteRequestSchema>);
}

const start = (fn: string, more: object = {}): Message => ({ case: "start", value: { function: fn, ...more } });
const chunk = (value: string): Message => ({ case: "chunk", value: bytes(value) });

/** Runs a function and gathers what it said. */
async function execute(client: Client<typeof PluginService>, ...each: Message[]) {
  let output = "";
  const kinds: string[] = [];
  for await (const { message } of client.execute(messages(...each))) {
    kinds.push(message.case ?? "none");
    if (message.case === "chunk") output += text(message.value);
    if (message.case === "log" || message.case === "progress") kinds.push(message.value.message);
  }
  return { output, kinds };
}

async function failure(work: Promise<unknown>): Promise<NodeError> {
  try {
    await work;
  } catch (error) {
    return fromConnectError(error);
  }
  throw new Error("It did not fail");
}

test("Describe gives the manifest, in the order of the functions", async () => {
  await using it = await connected();
  const manifest = await it.client.describe({});
  assert.equal(manifest.name, "demo");
  assert.equal(manifest.version, "1.0.0");
  assert.equal(manifest.maxConcurrency, 3);
  assert.deepEqual(manifest.functions.slice(0, 3).map((fn) => fn.name), ["greet", "echo", "wordcount"]);
  assert.equal(manifest.functions[2]!.outputContentType, "application/json");
});

test("the demo functions answer as those in WASM do", async () => {
  await using it = await connected();
  const run = async (fn: string, ...pieces: string[]) =>
    (await execute(it.client, start(fn), ...pieces.map(chunk))).output;
  assert.equal(await run("greet", "hello"), "world");
  assert.equal(await run("greet", "Ana"), "hello, Ana");
  assert.equal(await run("greet"), "hello, ");
  assert.equal(await run("", "hello"), "world");
  assert.equal(await run("echo", "a", "b", "ü"), "abü");
  assert.equal(await run("echo"), "");
  assert.equal(await run("wordcount", "hello wo", "rld\n"), '{"lines":1,"words":2,"bytes":12}');
  assert.equal(await run("wordcount"), '{"lines":0,"words":0,"bytes":0}');
  assert.equal(await run("wordcount", "\u0085a\u00a0b\ufeffc\u3000d "), '{"lines":0,"words":3,"bytes":15}');
});

test("a text function refuses bytes that are not UTF-8", async () => {
  await using it = await connected();
  const bad: Message = { case: "chunk", value: new Uint8Array([0x61, 0xff]) };
  assert.equal((await failure(execute(it.client, start("greet"), bad))).code, "invalid_argument");
  const cut: Message = { case: "chunk", value: new Uint8Array([0x61, 0xc3]) };
  assert.equal((await failure(execute(it.client, start("wordcount"), cut))).code, "plugin_failed");
});

test("log lines, progress and output come in order, the result last", async () => {
  await using it = await connected();
  const { output, kinds } = await execute(it.client, start("talk"));
  assert.equal(output, "ab");
  assert.deepEqual(kinds, ["log", "one", "progress", "half", "chunk", "log", "two", "chunk", "result"]);
});

test("a flood of log lines is cut, and the cut is told", async () => {
  await using it = await connected();
  const { output, kinds } = await execute(it.client, start("shout"));
  assert.equal(output, "done");
  assert.equal(kinds.filter((kind) => kind === "log").length, 1025);
  assert.ok(kinds.some((kind) => kind.startsWith("3976 log lines were dropped")));
});

test("a large output is sent in several messages", async () => {
  await using it = await connected();
  const { output, kinds } = await execute(it.client, start("big"));
  assert.equal(output.length, (1 << 20) + 5);
  assert.deepEqual(kinds, ["chunk", "chunk", "result"]);
});

test("an answer waits for its reader, and ends with who reads it", async () => {
  await using it = await connected();
  const answers = it.client.execute(messages(start("endless")))[Symbol.asyncIterator]();
  await answers.next();
  for (let before = -1; before !== pulled;) {
    before = pulled;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert(pulled < 500, `${pulled} pieces of 64 KiB wait for the reader`);
  for (let i = 0; i < 1000; i++) assert.equal((await answers.next()).done, false);
  it.manager.abort();
  for (let before = -1; before !== pulled;) {
    before = pulled;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});

test("a function that fails after it gave output ends with its status behind the output", async () => {
  await using it = await connected();
  const seen: string[] = [];
  const failed = await failure((async () => {
    for await (const { message } of it.client.execute(messages(start("breaks")))) {
      if (message.case === "chunk") seen.push(text(message.value));
    }
  })());
  assert.deepEqual(seen, ["half"]);
  assert.equal(failed.code, "overloaded");
  assert.equal(failed.message, "no more");
  assert.equal(failed.retryAfterMs, 7);
});

test("failures keep their kind", async () => {
  await using it = await connected();
  const own = await failure(execute(it.client, start("fail")));
  assert.equal(own.code, "plugin_failed");
  assert.equal(own.message, "the plugin's own words");
  assert.equal((await failure(execute(it.client, start("throw")))).code, "failed_precondition");
  const unknown = await failure(execute(it.client, start("nope")));
  assert.equal(unknown.code, "function_not_found");
  assert.match(unknown.message, /greet, echo, wordcount/);
  assert.equal((await failure(execute(it.client, start("toString")))).code, "function_not_found");
});

test("limits on time, output and input are enforced", async () => {
  await using it = await connected();
  const late = await failure(execute(it.client, start("hang", { limits: { timeoutMs: 20n } })));
  assert.equal(late.code, "deadline_exceeded");
  const limits = { limits: { outputBytes: 3n } };
  assert.equal((await execute(it.client, start("echo", limits), chunk("abc"))).output, "abc");
  assert.equal((await failure(execute(it.client, start("echo", limits), chunk("abcd")))).code, "output_too_large");
  const large = await failure(execute(it.client, start("greet"), chunk("x".repeat(100_001))));
  assert.equal(large.code, "input_too_large");
  assert.equal((await execute(it.client, start("echo"), chunk("x".repeat(100_001)))).output.length, 100_001);
});

test("messages in a wrong order are refused", async () => {
  await using it = await connected();
  for (const wrong of [[], [chunk("x")], [start("echo"), start("echo")]] as Message[][]) {
    assert.equal((await failure(execute(it.client, ...wrong))).code, "invalid_argument");
  }
});

test("Cancel stops a running execution, whether the function obeys or not", async () => {
  await using it = await connected();
  for (const fn of ["obey", "hang"]) {
    const running = failure(execute(it.client, start(fn, { executionId: "e1" })));
    // The second start with the same id is refused from the moment that the first runs.
    for (;;) {
      const error = await failure(execute(it.client, start("fail", { executionId: "e1" })));
      if (error.code === "already_exists") break;
    }
    await it.client.cancel({ executionId: "e1" });
    assert.equal((await running).code, "canceled");
  }
  await it.client.cancel({ executionId: "unknown" });
});

test("the original's plugin call runs the first function and gives the id back", async () => {
  await using it = await connected();
  const legacy = createClient(Plugin, it.transport);
  const answer = await legacy.requestJobExecution({ id: "7", input: "hello" });
  assert.equal(answer.id, "7");
  assert.equal(answer.output, "world");
});

test("a plugin server is healthy", async () => {
  await using it = await connected();
  const health = createClient(Health, it.transport);
  assert.equal((await health.check({ service: "velas.sphere.v1.PluginService" })).status, Status.SERVING);
});
