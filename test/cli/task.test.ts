import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventText, problem, startFake, taskJson, USAGE } from "./fake-node.ts";
import { runHere, scratch } from "./harness.ts";
import { test } from "../testing.ts";

test("task watch connects again where the stream broke off, and its exit code is the task's", async (t) => {
  let connections = 0;
  const { url, seen } = await startFake(t, {
    "GET /v1/tasks/t1/events": {
      write(response) {
        response.writeHead(200, { "content-type": "text/event-stream" });
        if (connections++ === 0) {
          response.write(
            `retry: 1\n\n${eventText([["state", taskJson({ state: "running" })]])}`,
            () => response.destroy(),
          );
        } else {
          const failed = taskJson({ state: "failed", reason: "plugin_trapped", message: "It divided by zero" });
          response.end(eventText([["state", failed, "end"]]));
        }
      },
    },
  });
  const { code, stderr } = await runHere(["task", "watch", "t1", "--url", url]);
  assert.equal(code, 8);
  assert.equal(stderr, "error: It divided by zero (plugin_trapped)\n");
  assert.deepEqual(seen.map(({ headers }) => headers["last-event-id"]), [undefined, "1"]);
});

test("task watch gives up when the stream never says anything", async (t) => {
  const { url, seen } = await startFake(t, {
    "GET /v1/tasks/t1/events": { headers: { "content-type": "text/event-stream" }, body: "retry: 1\n\n" },
  });
  const { code, stderr } = await runHere(["task", "watch", "t1", "--url", url]);
  assert.equal(code, 11);
  assert.match(stderr, /keeps breaking the stream of events off/);
  assert.equal(seen.length, 11);
});

test("task submit, get, cancel and output ask for what they say", async (t) => {
  const folder = scratch(t);
  const done = taskJson({
    state: "succeeded",
    usage: USAGE,
    startedAt: "2026-11-23T20:38:17.000Z",
    finishedAt: "2026-11-23T20:38:18.000Z",
    target: "p:1",
  });
  const { url, seen } = await startFake(t, {
    "POST /v1/tasks": { status: 202, json: taskJson() },
    "GET /v1/tasks/t1": { json: done },
    "POST /v1/tasks/t1/cancel": { json: taskJson({ state: "canceled" }) },
    "GET /v1/tasks/t1/output": { body: "world", headers: { "content-type": "text/plain" } },
  });
  assert.equal((await runHere(["task", "submit", "demo", "greet", "hello", "--url", url])).stdout, "t1\n");
  const { stdout } = await runHere(["task", "get", "t1", "--url", url]);
  assert.match(stdout, /^id +t1\nstate +succeeded\nplugin +demo@1\.0\.0 greet\ntarget +p:1\n/);
  assert.match(stdout, /limits +30s, 64MiB memory, 1MiB output\n/);
  assert.deepEqual(JSON.parse((await runHere(["task", "get", "t1", "--json", "--url", url])).stdout), done);
  assert.match((await runHere(["task", "cancel", "t1", "--url", url, "--target", "p:1"])).stdout, /canceled/);
  assert.equal(seen.at(-1)!.path, "/v1/tasks/t1/cancel?target=p%3A1");
  assert.equal((await runHere(["task", "output", "t1", "--url", url])).stdout, "world");
  assert.deepEqual(JSON.parse((await runHere(["task", "output", "t1", "--json", "--url", url])).stdout), {
    id: "t1",
    output: "world",
    contentType: "text/plain",
  });
  await runHere(["task", "output", "t1", "--output-file", "o", "--url", url], { cwd: folder });
  assert.equal(readFileSync(join(folder, "o"), "utf8"), "world");
});

test("task list shows a page and how to go on, or all pages", async (t) => {
  const { url, seen } = await startFake(t, {
    "GET /v1/tasks": ({ path }) => {
      const last = path.includes("pageToken=p2");
      return {
        json: { tasks: [taskJson({ id: last ? "b" : "a", message: "m\u202e" })], nextPageToken: last ? "" : "p2" },
      };
    },
  });
  const first = await runHere(["task", "list", "--state", "queued", "running", "--limit", "1", "--url", url]);
  assert.match(
    first.stdout,
    /^ID +STATE +PLUGIN +CREATED\na +queued +demo@1\.0\.0 greet +2026-11-23T20:38:16\.000Z +m\uFFFD\n$/,
  );
  assert.equal(first.stderr, "There are more: add --page-token p2, or --all\n");
  assert.equal(seen[0]!.path, "/v1/tasks?state=queued%2Crunning&pageSize=1");
  const all = JSON.parse((await runHere(["task", "list", "--all", "--json", "--url", url])).stdout);
  assert.deepEqual(all.tasks.map(({ id }: { id: string }) => id), ["a", "b"]);
  assert.equal(all.nextPageToken, "");
});

test("a node's problem becomes one line and the exit code of its error", async (t) => {
  const { url } = await startFake(t, {
    "GET /v1/tasks/x": problem("not_found", 'No task "x" here: task list shows yours', 404),
    "GET /v1/tasks/y": problem("overloaded", "The queue is full", 503, { retryable: true, retryAfterMs: 1500 }),
    "GET /v1/tasks/z": problem("from_the_future", "?", 418),
  });
  assert.deepEqual(await runHere(["task", "get", "x", "--url", url]), {
    code: 4,
    stdout: "",
    stderr: 'error: No task "x" here: task list shows yours (not_found)\n',
  });
  const { code, stderr } = await runHere(["task", "get", "y", "--json", "--url", url]);
  assert.equal(code, 10);
  assert.deepEqual(JSON.parse(stderr), {
    error: { code: "overloaded", message: "The queue is full", retryable: true, retryAfterMs: 1500, data: {} },
  });
  assert.equal((await runHere(["task", "get", "z", "--url", url])).code, 11);
});

test("the token comes from a file or the environment, and is sent as a bearer token", async (t) => {
  const folder = scratch(t);
  writeFileSync(join(folder, "token"), "from-file\n");
  const { url, seen } = await startFake(t, { "GET /v1/tasks/t1": { json: taskJson() } });
  const get = (args: string[], env: Record<string, string>) =>
    runHere(["task", "get", "t1", "--url", url, ...args], { env, cwd: folder });
  await get(["--token-file", "token"], { VELAS_SPHERE_TOKEN: "no" });
  await get([], { VELAS_SPHERE_TOKEN: "from-env", VELAS_SPHERE_REST_TOKEN: "no" });
  await get([], { VELAS_SPHERE_TOKEN_FILE: "token", VELAS_SPHERE_REST_TOKEN: "no" });
  await get([], { VELAS_SPHERE_REST_TOKEN: "the-nodes-own" });
  await get([], {});
  assert.deepEqual(seen.map(({ headers }) => headers.authorization), [
    "Bearer from-file",
    "Bearer from-env",
    "Bearer from-file",
    "Bearer the-nodes-own",
    undefined,
  ]);
  assert.equal((await get(["--token-file", "absent"], {})).code, 4);
});

test("what is no node, and what is not there, are told apart", async (t) => {
  const { url } = await startFake(t, {
    "GET /v1/tasks/t1": { body: "<html>hello</html>", headers: { "content-type": "text/html" } },
  });
  const foreign = await runHere(["task", "get", "t1", "--url", url]);
  assert.equal(foreign.code, 11);
  assert.match(foreign.stderr, /answered GET \/v1\/tasks\/t1 with something that is not JSON/);
  const nobody = await runHere(["task", "get", "t1", "--url", "127.0.0.1:1"]);
  assert.equal(nobody.code, 10);
  assert.match(
    nobody.stderr,
    /No node answers at http:\/\/127\.0\.0\.1:1: start one with "velas-sphere node", or name another with --url/,
  );
  for (const bad of ["", "ftp://x", "http://", "a b"]) {
    const { code, stderr } = await runHere(["task", "get", "t1", "--url", bad]);
    assert.equal(code, 2, bad);
    assert.match(stderr, /is not the address of a node/);
  }
});
