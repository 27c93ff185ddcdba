import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeError } from "../../src/core/mod.ts";
import type { TaskEvent, TaskSpec } from "../../src/core/mod.ts";
import { aborted, bytes, gate, serve, taskRecord, text, Wire } from "./harness.ts";

const RUN = "/v1/run/demo/greet";

async function* ended(...events: TaskEvent[]): AsyncIterable<TaskEvent> {
  yield { type: "state", task: taskRecord({ id: "t1", state: "running", outputContentType: "text/x-out" }) };
  yield* events;
}

const SUCCESS: TaskEvent = { type: "state", task: taskRecord({ id: "t1", state: "succeeded" }) };
const FAILURE: TaskEvent = {
  type: "state",
  task: taskRecord({ id: "t1", state: "failed", reason: "plugin_trapped", message: "It trapped: unreachable" }),
};

test("POST /v1/run echoes a body of several MiB, streamed both ways", async (t) => {
  const { url, tasks } = await serve(t);
  const body = new Uint8Array(5 << 20).map((_, i) => i % 253);
  const answer = await fetch(
    `${url}${RUN}?id=my-id&target=h:1&timeoutMs=60000&memoryBytes=9&outputBytes=8&priority=-5`,
    {
      method: "POST",
      headers: { "content-type": "image/png" },
      body,
    },
  );
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "text/x-echo");
  assert.equal(answer.headers.get("x-velas-task-id"), "my-id");
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), body);
  const { input: _, ...spec } = tasks.calls[0]?.args[0] as TaskSpec;
  assert.equal(tasks.calls[0]?.target, "h:1");
  assert.deepEqual(spec, {
    id: "my-id",
    plugin: "demo",
    function: "greet",
    contentType: "image/png",
    limits: { timeoutMs: 60_000, memoryBytes: 9, outputBytes: 8 },
    priority: -5,
  });
});

test("POST /v1/run sends output before the input has ended", async (t) => {
  const { port } = await serve(t);
  const wire = await Wire.open(t, port);
  wire.send(`POST ${RUN} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n`);
  assert.match(await wire.until(/first/), /^HTTP\/1\.1 200 OK/);
  wire.send("6\r\nsecond\r\n0\r\n\r\n");
  assert.match(await wire.until(/\r\n0\r\n\r\n/), /second/);
});

test("POST /v1/run takes no body and gives no output", async (t) => {
  const { url, tasks } = await serve(t);
  tasks.script.runStream = () => ended(SUCCESS);
  const answer = await fetch(url + RUN, { method: "POST" });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get("content-type"), "application/octet-stream");
  assert.equal(await answer.text(), "");
});

test("a run that fails before its first output has the failure's status", async (t) => {
  const { url, tasks } = await serve(t);
  tasks.script.runStream = () => ended(FAILURE);
  const answer = await fetch(url + RUN, { method: "POST", body: "x" });
  assert.equal(answer.status, 422);
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.equal(answer.headers.get("x-velas-task-id"), "t1");
  const problem = await answer.json();
  assert.deepEqual([problem.code, problem.detail, problem.data], [
    "plugin_trapped",
    "It trapped: unreachable",
    { taskId: "t1" },
  ]);
});

test("a run that fails after output has begun cuts the connection", async (t) => {
  const { port, tasks } = await serve(t);
  const seen = gate();
  tasks.script.runStream = async function* () {
    yield* ended({ type: "chunk", bytes: bytes("part") });
    await seen.promise;
    yield FAILURE;
  };
  const wire = await Wire.open(t, port);
  await wire.send(`POST ${RUN} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`).until(/part/);
  seen.resolve();
  const answer = await wire.end();
  assert.match(answer, /^HTTP\/1\.1 200 OK/);
  assert.match(answer, /part/);
  assert.doesNotMatch(answer, /\r\n0\r\n\r\n/);
});

test("a service that throws, before or after output, does not take the node down", async (t) => {
  const { url, tasks, log } = await serve(t);
  const seen = gate();
  tasks.script.runStream = () => {
    throw new NodeError("overloaded", "The queue is full", { retryAfterMs: 1500 });
  };
  const full = await fetch(url + RUN, { method: "POST", body: "x" });
  assert.deepEqual([full.status, full.headers.get("retry-after")], [503, "2"]);
  await full.body?.cancel();
  tasks.script.runStream = async function* () {
    yield* ended({ type: "chunk", bytes: bytes("part") });
    await seen.promise;
    throw new Error("secret path /etc/shadow");
  };
  const broken = await fetch(url + RUN, { method: "POST", body: "x" });
  seen.resolve();
  await assert.rejects(broken.text());
  assert.equal(log.lines.length, 1);
  tasks.script.runStream = () => ended();
  const silent = await fetch(url + RUN, { method: "POST", body: "x" });
  assert.equal(silent.status, 500);
  assert.equal((await silent.json()).code, "internal");
});

test("a client that goes away cancels the run and ends its input", async (t) => {
  const { port, tasks } = await serve(t);
  const inputEnd = gate<unknown>();
  const reason = gate<NodeError>();
  tasks.script.runStream = async function* (_, input, ctx) {
    yield* ended({ type: "chunk", bytes: bytes("begun") });
    try {
      for await (const chunk of input) yield { type: "chunk", bytes: chunk };
    } catch (error) {
      inputEnd.resolve(error);
    }
    reason.resolve(await aborted(ctx.signal));
  };
  const wire = await Wire.open(t, port);
  wire.send(`POST ${RUN} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx`);
  await wire.until(/begun/);
  wire.socket.destroy();
  assert.equal((await inputEnd.promise as NodeError).code, "canceled");
  assert.equal((await reason.promise).code, "canceled");
});

test("a body over the limit fails the run with 413, declared or not", async (t) => {
  const { port, tasks } = await serve(t, { limits: { maxBodyBytes: 10 } });
  const seen: string[] = [];
  tasks.script.runStream = async function* (_, input) {
    yield* ended();
    try {
      for await (const chunk of input) seen.push(text(chunk));
      yield SUCCESS;
    } catch {
      yield { type: "state", task: taskRecord({ state: "failed", reason: "internal", message: "input broke" }) };
    }
  };
  const declared = await Wire.open(t, port);
  declared.send(`POST ${RUN} HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n`);
  assert.match(await declared.until(/input_too_large/), /^HTTP\/1\.1 413/);
  const chunked = await Wire.open(t, port);
  chunked.send(`POST ${RUN} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\nx\r\n`);
  assert.match(await chunked.until(/input_too_large/), /^HTTP\/1\.1 413/);
  assert.equal(seen.join("").startsWith("0123456789"), seen.length > 0);
});

test("a body that stalls fails the run with 408", async (t) => {
  const { port } = await serve(t, { limits: { idleTimeoutMs: 40 } });
  const wire = await Wire.open(t, port);
  wire.send(`POST ${RUN} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n`);
  const answer = await wire.until(/deadline_exceeded/);
  assert.match(answer, /^HTTP\/1\.1 408/);
});

test("the time of the whole call ends a run that hangs", async (t) => {
  const { url, tasks } = await serve(t);
  tasks.script.runStream = async function* (_, __, ctx) {
    yield* ended();
    throw await aborted(ctx.signal);
  };
  const answer = await fetch(`${url}${RUN}?timeoutMs=20`, { method: "POST", body: "x" });
  assert.equal(answer.status, 504);
  await answer.body?.cancel();
});

test("a reader that reads nothing holds the output back, then is cut off", async (t) => {
  const { port, tasks } = await serve(t, { limits: { idleTimeoutMs: 50 } });
  const finished = gate();
  let produced = 0;
  tasks.script.runStream = async function* () {
    try {
      yield* ended();
      for (;; produced++) yield { type: "chunk", bytes: new Uint8Array(1 << 20) };
    } finally {
      finished.resolve();
    }
  };
  const wire = await Wire.open(t, port);
  wire.socket.pause();
  wire.send(`POST ${RUN} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
  await finished.promise;
  assert.ok(produced < 60, `${produced} MiB produced for a reader that reads nothing`);
});

test("POST /v1/run refuses strange parameters by name", async (t) => {
  const { url } = await serve(t);
  for (
    const [path, names] of [
      [`${RUN}?timeoutMs=0`, /timeoutMs/],
      [`${RUN}?timeoutMs=1s`, /timeoutMs/],
      [`${RUN}?priority=200`, /priority/],
      [`${RUN}?id=a/b`, /id/],
      [`${RUN}?nonsense=1`, /nonsense/],
      [`/v1/run/${"x".repeat(161)}/f`, /plugin/],
      [`/v1/run/p/${"x".repeat(129)}`, /function/],
    ] as const
  ) {
    const answer = await fetch(url + path, { method: "POST", body: "x" });
    assert.equal(answer.status, 400, path);
    assert.match((await answer.json()).detail, names);
  }
});
