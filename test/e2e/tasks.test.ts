import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { join } from "node:path";
import { isTaskReceiptSigned, sha256Hex, type TaskReceipt } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { post, run, scratch, startNode, taskThat } from "./harness.ts";
import { MISBEHAVING, plantMisbehaving, startPair } from "./fixtures.ts";

test("the original's POST /task runs on the target and answers byte for byte", async (t) => {
  const { requester, provider } = await startPair(t);
  const body = JSON.stringify({ target: provider.rpc, id: "1", input: "hello" });
  const sent = request(`${requester.rest}/task`, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
  }).end(body);
  const [answer] = await once(sent, "response");
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer) chunks.push(chunk);
  assert.equal(answer.statusCode, 200);
  assert.equal(answer.headers["content-type"], "application/json");
  assert.equal(Buffer.concat(chunks).toString(), '{"id":"1","output":"world"}');
});

test("the original's POST /task without a target runs on the node itself, and again with other input under the same id", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  assert.equal((await post(`${node.rest}/task`, { id: "1", input: "hello" })).text, '{"id":"1","output":"world"}');
  assert.equal((await post(`${node.rest}/task`, { id: "1", input: "you" })).text, '{"id":"1","output":"hello, you"}');
});

test("a submitted task runs on the target and its output is read through the requester", async (t) => {
  const { requester, provider } = await startPair(t);
  const submitted = await post(`${requester.rest}/v1/tasks`, {
    id: "count-1",
    plugin: "demo",
    function: "wordcount",
    input: "one two\nthree",
    target: provider.rpc,
  });
  assert.equal(submitted.status, 202, submitted.text);
  const done = await taskThat((task) => task.state === "succeeded", { rest: requester.rest, id: "count-1" });
  assert.equal(done.target, provider.rpc);
  const output = await (await fetch(`${requester.rest}/v1/tasks/count-1/output`)).json();
  assert.deepEqual(output, { lines: 1, words: 3, bytes: 13 });

  const shown = await run(["task", "receipt", "count-1", "--url", requester.rest, "--json"]);
  assert.equal(shown.code, 0, shown.stderr);
  const receipt = JSON.parse(shown.stdout) as TaskReceipt;
  assert.ok(isTaskReceiptSigned(receipt));
  assert.equal(receipt.provider, provider.nodeId);
  assert.equal(receipt.requester, requester.nodeId);
  assert.equal(receipt.inputSha256, sha256Hex(new TextEncoder().encode("one two\nthree")));
  assert.ok(receipt.usage.instructions > 0);
  assert.equal(receipt.terms, undefined);
  const inWords = await run(["task", "receipt", "count-1", "--url", requester.rest]);
  assert.match(inWords.stdout, /price +free/);
  assert.match(inWords.stdout, /signature +good/);
  // It was kept here: the provider is not asked again.
  await provider.stop();
  const kept = await run(["task", "get", "count-1", "--url", requester.rest]);
  assert.match(kept.stdout, new RegExp(`receipt +signed by ${provider.nodeId}`));
});

test("a task that fails has no receipt, and the command says why", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  await post(`${node.rest}/v1/tasks`, { id: "f1", plugin: "demo", function: "primes", input: "many" });
  await taskThat((task) => task.state === "failed", { rest: node.rest, id: "f1" });
  const shown = await run(["task", "receipt", "f1", "--url", node.rest]);
  assert.notEqual(shown.code, 0);
  assert.match(shown.stderr, /Task f1 has no receipt: it is failed/);
});

test("a task with an id runs once, also after kill -9, and another input under it is refused", async (t) => {
  const dataDir = join(scratch(t), "data");
  const spec = { id: "once", plugin: "demo", function: "greet", input: "hello" };
  const first = await startNode(t, { dataDir });
  const before = JSON.parse((await post(`${first.rest}/v1/tasks/run`, spec)).text);
  assert.equal(before.output, "world");
  assert.equal(before.replayed, false);
  await first.stop("SIGKILL");

  const second = await startNode(t, { dataDir });
  const after = JSON.parse((await post(`${second.rest}/v1/tasks/run`, spec)).text);
  assert.equal(after.output, "world");
  assert.equal(after.replayed, true);
  const other = await post(`${second.rest}/v1/tasks/run`, { ...spec, input: "other" });
  assert.equal(other.status, 409);
  assert.equal(JSON.parse(other.text).code, "already_exists");
});

test("queued and running tasks survive kill -9 of the node", async (t) => {
  const dataDir = join(scratch(t), "data");
  const config = { tasks: { maxRunning: 1, maxAttempts: 1, defaultTimeoutMs: 60_000 } };
  plantMisbehaving(dataDir);
  const first = await startNode(t, { dataDir, config });
  const submit = (id: string, plugin: string, fn: string) =>
    post(`${first.rest}/v1/tasks`, { id, plugin, function: fn, input: "hello" });
  await submit("hog", MISBEHAVING, "loop");
  await taskThat((task) => task.state === "running", { rest: first.rest, id: "hog" });
  assert.equal((await submit("waiting", "demo", "greet")).status, 202);
  await first.stop("SIGKILL");

  const second = await startNode(t, { dataDir, config });
  const ended = (id: string) => taskThat((task) => task.finishedAt !== undefined, { rest: second.rest, id });
  const hog = await ended("hog");
  assert.equal(hog.state, "failed");
  assert.equal(hog.reason, "interrupted");
  assert.equal((await ended("waiting")).state, "succeeded");
});

test("canceling a task stops a plugin that loops for ever, and others notice nothing", async (t) => {
  const dataDir = join(scratch(t), "data");
  plantMisbehaving(dataDir);
  const node = await startNode(t, { dataDir });
  await post(`${node.rest}/v1/tasks`, { id: "loop", plugin: MISBEHAVING, function: "loop" });
  await taskThat((task) => task.state === "running", { rest: node.rest, id: "loop" });
  assert.equal((await post(`${node.rest}/task`, { input: "hello" })).text, '{"output":"world"}');
  const canceled = await post(`${node.rest}/v1/tasks/loop/cancel`, {});
  assert.equal(JSON.parse(canceled.text).state, "canceled");
  assert.equal((await post(`${node.rest}/task`, { input: "hello" })).text, '{"output":"world"}');
});

test("a loop is stopped at its time limit with deadline_exceeded", async (t) => {
  const dataDir = join(scratch(t), "data");
  plantMisbehaving(dataDir);
  const node = await startNode(t, { dataDir });
  const answer = await post(`${node.rest}/v1/tasks/run`, {
    plugin: MISBEHAVING,
    function: "loop",
    limits: { timeoutMs: 200 },
  });
  assert.equal(answer.status, 504, answer.text);
  assert.equal(JSON.parse(answer.text).code, "deadline_exceeded");
});

test("raw bytes stream through POST /v1/run to the target and back", async (t) => {
  const { requester, provider } = await startPair(t);
  const bytes = crypto.getRandomValues(new Uint8Array(50_000));
  const answer = await fetch(`${requester.rest}/v1/run/demo/echo?target=${provider.rpc}`, {
    method: "POST",
    body: bytes,
  });
  assert.equal(answer.status, 200);
  assert.deepEqual(new Uint8Array(await answer.arrayBuffer()), bytes);
});

test("the CLI runs, submits, lists, watches and cancels tasks", async (t) => {
  const { requester, provider } = await startPair(t);
  const env = { VELAS_SPHERE_URL: requester.rest };
  const greeting = await run(["task", "run", "demo", "greet", "hello", "--target", provider.rpc], { env });
  assert.equal(greeting.code, 0, greeting.stderr);
  assert.equal(greeting.stdout.trimEnd(), "world");

  const submitted = await run(["task", "submit", "demo", "wordcount", "a b c", "--id", "cli-1", "--json"], { env });
  assert.equal(submitted.code, 0, submitted.stderr);
  assert.equal(JSON.parse(submitted.stdout).id, "cli-1");
  assert.equal((await run(["task", "watch", "cli-1"], { env })).code, 0);
  const listed = JSON.parse((await run(["task", "list", "--json"], { env })).stdout);
  assert.ok(JSON.stringify(listed).includes('"cli-1"'));
  const unknown = await run(["task", "get", "no-such-task"], { env });
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /no-such-task/);
});

test("bad tasks get a typed error that names the value, through both nodes", async (t) => {
  const { requester, provider } = await startPair(t);
  const cases: [body: Record<string, unknown>, status: number, code: string, names: RegExp][] = [
    [{ plugin: "nowhere", target: provider.rpc }, 404, "plugin_not_found", /nowhere/],
    [{ plugin: "demo", function: "dance", target: provider.rpc }, 404, "function_not_found", /dance/],
    [
      { plugin: "demo", limits: { timeoutMs: 86_400_000 }, target: provider.rpc },
      400,
      "invalid_argument",
      /86400000|86,400,000/,
    ],
    [{ plugin: "demo", target: "127.0.0.1:1" }, 502, "target_unreachable", /127\.0\.0\.1:1/],
    [{ plugin: "demo", target: "no-port" }, 400, "invalid_argument", /no-port/],
    [{ plugin: "demo", id: "a/b" }, 400, "invalid_argument", /id/],
  ];
  for (const [body, status, code, names] of cases) {
    const answer = await post(`${requester.rest}/v1/tasks/run`, { input: "hello", ...body });
    const problem = JSON.parse(answer.text);
    assert.equal(problem.code, code, answer.text);
    assert.equal(answer.status, status, answer.text);
    assert.match(problem.detail, names);
  }
});
