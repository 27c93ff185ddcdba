import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeError } from "../../src/core/mod.ts";
import type { TaskQuery, TaskSpec } from "../../src/core/mod.ts";
import { ProblemSchema } from "../../src/rest/problem-schema.ts";
import { Task, TaskPage, TaskResult } from "../../src/rest/task-schemas.ts";
import { aborted, gate, NODE_ID, NOW, postJson, serve, taskRecord, text, USAGE, Wire } from "./harness.ts";

test("POST /v1/tasks queues a task and answers 202 with its record and place", async (t) => {
  const { url, tasks } = await serve(t);
  const answer = await postJson(`${url}/v1/tasks`, {
    id: "job-1",
    plugin: "demo",
    function: "greet",
    input: "grüße",
    limits: { timeoutMs: 5, outputBytes: 7 },
    priority: -100,
    target: "127.0.0.1:8081",
  });
  assert.equal(answer.status, 202);
  assert.equal(answer.headers.get("location"), "/v1/tasks/job-1?target=127.0.0.1%3A8081");
  const record = Task.parse(await answer.json());
  assert.equal(record.createdAt, new Date(NOW).toISOString());
  const [call] = tasks.calls;
  assert.deepEqual([call?.method, call?.target, call?.ctx.requester], ["submit", "127.0.0.1:8081", NODE_ID]);
  const { input, ...spec } = call?.args[0] as TaskSpec;
  assert.equal(text(input), "grüße");
  assert.deepEqual(spec, {
    id: "job-1",
    plugin: "demo",
    function: "greet",
    contentType: "text/plain",
    limits: { timeoutMs: 5, outputBytes: 7 },
    priority: -100,
  });
});

test("POST /v1/tasks takes an empty spec and input as base64", async (t) => {
  const { url, tasks } = await serve(t);
  const empty = await postJson(`${url}/v1/tasks`, {});
  assert.equal(empty.headers.get("location"), "/v1/tasks/drawn");
  await empty.body?.cancel();
  await (await postJson(`${url}/v1/tasks`, { inputBase64: "/wA=", contentType: "image/png" })).body?.cancel();
  const specs = tasks.calls.map(({ args }) => args[0] as TaskSpec);
  assert.deepEqual([specs[0]!.id, specs[0]!.input.length, specs[0]!.contentType], ["", 0, ""]);
  assert.deepEqual([[...specs[1]!.input], specs[1]!.contentType], [[255, 0], "image/png"]);
});

test("POST /v1/tasks refuses each malformed member by name", async (t) => {
  const { url, tasks } = await serve(t);
  const cases: [body: unknown, names: RegExp][] = [
    [{ id: "a/b" }, /id/],
    [{ id: "x".repeat(129) }, /id/],
    [{ plugin: 7 }, /plugin/],
    [{ plugin: "x".repeat(161) }, /plugin/],
    [{ function: "x".repeat(129) }, /function/],
    [{ input: "a", inputBase64: "aGVsbG8=" }, /not both/],
    [{ inputBase64: "not base64!" }, /inputBase64/],
    [{ contentType: "text/plain\r\nX: y" }, /contentType/],
    [{ limits: { timeoutMs: 0 } }, /limits\.timeoutMs/],
    [{ limits: { timeoutMs: 86_400_001 } }, /limits\.timeoutMs/],
    [{ limits: { memoryBytes: 4_294_967_297 } }, /limits\.memoryBytes/],
    [{ limits: { outputBytes: 1.5 } }, /limits\.outputBytes/],
    [{ limits: { timeout: 5 } }, /timeout/],
    [{ priority: 101 }, /priority/],
    [{ priority: -101 }, /priority/],
    [{ prioritty: 1 }, /prioritty/],
    [[], /object/],
    [null, /object/],
    ["{", /line 1, column 2/],
    ["", /empty/],
  ];
  for (const [body, names] of cases) {
    const answer = await postJson(`${url}/v1/tasks`, body);
    const problem = ProblemSchema.parse(await answer.json());
    assert.equal(answer.status, 400, JSON.stringify(body));
    assert.equal(problem.code, "invalid_argument");
    assert.match(problem.detail, names);
  }
  assert.equal(tasks.calls.length, 0);
});

test("the limits of each member are accepted", async (t) => {
  const { url } = await serve(t);
  const answer = await postJson(`${url}/v1/tasks`, {
    id: "x".repeat(128),
    plugin: "x".repeat(160),
    function: "x".repeat(128),
    limits: { timeoutMs: 86_400_000, memoryBytes: 4_294_967_296, outputBytes: 1 },
    priority: 100,
  });
  assert.equal(answer.status, 202, await answer.text());
});

test("a body that is not JSON by its media type is 415 with the type to send", async (t) => {
  const { url } = await serve(t);
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]) {
    const answer = await fetch(`${url}/v1/tasks`, { method: "POST", headers: { "content-type": type }, body: "{}" });
    assert.equal(answer.status, 415, type);
    assert.match((await answer.json()).detail, /application\/json/);
  }
  const suffix = await postJson(`${url}/v1/tasks`, {}, {
    "content-type": "application/merge-patch+json; charset=utf-8",
  });
  assert.equal(suffix.status, 202, await suffix.text());
});

test("POST /v1/tasks/run answers with text, or with base64 when the output is no text", async (t) => {
  const { url, tasks } = await serve(t);
  const run = async () => {
    const answer = await postJson(`${url}/v1/tasks/run`, { input: "hello" });
    assert.equal(answer.status, 200);
    return TaskResult.parse(await answer.json());
  };
  const usage = USAGE;
  assert.deepEqual(await run(), { id: "drawn", output: "world", contentType: "text/plain", usage, replayed: false });
  tasks.script.run = () =>
    Promise.resolve({ id: "x", output: new Uint8Array([255, 0]), contentType: "image/png", usage, replayed: true });
  assert.deepEqual(await run(), { id: "x", outputBase64: "/wA=", contentType: "image/png", usage, replayed: true });
});

test("POST /v1/tasks/run aborts the call when its time is over", async (t) => {
  const { url, tasks } = await serve(t);
  tasks.script.run = async (_, ctx) => {
    assert.equal(ctx.deadlineAt, NOW + 20);
    throw await aborted(ctx.signal);
  };
  const answer = await postJson(`${url}/v1/tasks/run?timeoutMs=20`, {});
  assert.equal(answer.status, 504);
  assert.deepEqual((await answer.json()).data, { timeoutMs: 20 });
});

test("a client that goes away cancels its synchronous task", async (t) => {
  const { port, tasks } = await serve(t);
  const started = gate();
  const reason = gate<NodeError>();
  tasks.script.run = async (_, ctx) => {
    started.resolve();
    reason.resolve(await aborted(ctx.signal));
    throw ctx.signal.reason;
  };
  for (const path of ["/task", "/v1/tasks/run"]) {
    const wire = await Wire.open(t, port);
    wire.send(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`);
    await started.promise;
    wire.socket.destroy();
    assert.equal((await reason.promise).code, "canceled", path);
  }
});

test("GET /v1/tasks passes the query on and pages", async (t) => {
  const { url, tasks } = await serve(t);
  const first = await fetch(`${url}/v1/tasks`);
  const page = TaskPage.parse(await first.json());
  assert.deepEqual([page.tasks.length, page.nextPageToken], [1, "next"]);
  const queries = [
    "?state=queued&state=failed&pageSize=1&pageToken=abc&target=h:1",
    "?state=queued,failed&pageSize=1000",
    "?state=queued",
  ];
  for (const query of queries) await (await fetch(`${url}/v1/tasks${query}`)).body?.cancel();
  assert.deepEqual(tasks.calls.map(({ args, target }) => ({ ...args[0] as TaskQuery, target })), [
    { states: [], pageSize: 50, pageToken: "", target: "" },
    { states: ["queued", "failed"], pageSize: 1, pageToken: "abc", target: "h:1" },
    { states: ["queued", "failed"], pageSize: 1000, pageToken: "", target: "" },
    { states: ["queued"], pageSize: 50, pageToken: "", target: "" },
  ]);
});

test("GET /v1/tasks refuses bad queries by name", async (t) => {
  const { url } = await serve(t);
  const cases: [query: string, names: RegExp][] = [
    ["pageSize=0", /pageSize/],
    ["pageSize=1001", /pageSize/],
    ["pageSize=x", /pageSize/],
    ["pageSize=", /pageSize/],
    ["pageSize=1&pageSize=2", /pageSize/],
    ["state=done", /state/],
    ["state=", /state/],
    ["pagesize=1", /pagesize/],
    [`pageToken=${"x".repeat(513)}`, /pageToken/],
  ];
  for (const [query, names] of cases) {
    const answer = await fetch(`${url}/v1/tasks?${query}`);
    assert.equal(answer.status, 400, query);
    assert.match((await answer.json()).detail, names);
  }
});

test("GET /v1/tasks/{id} shows a record with its times as text", async (t) => {
  const { url, tasks } = await serve(t);
  tasks.script.get = () =>
    Promise.resolve(taskRecord({
      state: "failed",
      reason: "plugin_trapped",
      message: "unreachable",
      startedAt: NOW,
      finishedAt: NOW + 1,
      expiresAt: NOW + 2,
      target: "h:1",
      usage: USAGE,
    }));
  const answer = await fetch(`${url}/v1/tasks/a.b~c:d-e_f?target=h:1`);
  const record = Task.parse(await answer.json());
  assert.equal(record.finishedAt, new Date(NOW + 1).toISOString());
  assert.equal(record.reason, "plugin_trapped");
  assert.deepEqual([tasks.calls[0]?.target, tasks.calls[0]?.args[0]], ["h:1", "a.b~c:d-e_f"]);
});

test("an unknown task is 404, a strange id 400", async (t) => {
  const { url } = await serve(t);
  const unknown = await fetch(`${url}/v1/tasks/missing-1`);
  assert.equal(unknown.status, 404);
  assert.match((await unknown.json()).detail, /missing-1/);
  for (const id of ["a%2Fb", "%ff", "x".repeat(129), "a b"]) {
    const strange = await fetch(`${url}/v1/tasks/${id}`);
    assert.equal(strange.status, 400, id);
    await strange.body?.cancel();
  }
});

test("GET /v1/tasks/{id}/output sends the bytes, of any size, locked away from the node's origin", async (t) => {
  const { url, tasks } = await serve(t);
  const output = new Uint8Array(3 << 20).map((_, i) => i % 251);
  tasks.script.output = (id) => Promise.resolve({ id, output, contentType: "text/html", usage: USAGE, replayed: true });
  const answer = await fetch(`${url}/v1/tasks/t1/output`);
  assert.equal(answer.headers.get("content-type"), "text/html");
  assert.equal(answer.headers.get("content-length"), String(output.length));
  assert.equal(answer.headers.get("x-velas-task-id"), "t1");
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  assert.match(answer.headers.get("content-security-policy") ?? "", /^sandbox/);
  assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), output);
});

test("GET /v1/tasks/{id}/output of a task without output is 409", async (t) => {
  const { url, tasks } = await serve(t);
  tasks.script.output = () => Promise.reject(new NodeError("failed_precondition", "The task is still queued"));
  const answer = await fetch(`${url}/v1/tasks/t1/output`);
  assert.equal(answer.status, 409);
  assert.equal((await answer.json()).code, "failed_precondition");
});

test("POST /v1/tasks/{id}/cancel takes the target from query or body", async (t) => {
  const { url, tasks } = await serve(t);
  const plain = await fetch(`${url}/v1/tasks/t1/cancel`, { method: "POST" });
  assert.equal(Task.parse(await plain.json()).state, "canceled");
  await (await fetch(`${url}/v1/tasks/t1/cancel?target=q:1`, { method: "POST" })).body?.cancel();
  await (await postJson(`${url}/v1/tasks/t1/cancel`, { target: "b:1" })).body?.cancel();
  assert.deepEqual(tasks.calls.map(({ target }) => target), ["", "q:1", "b:1"]);
});

test("a target that cannot be read is refused with the value", async (t) => {
  const { url } = await serve(t);
  const answer = await postJson(`${url}/v1/tasks/run`, { target: "no-port" });
  assert.equal(answer.status, 400);
  assert.match((await answer.json()).detail, /no-port/);
});
