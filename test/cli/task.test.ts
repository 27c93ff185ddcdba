import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { eventText, problem, startFake, taskJson } from "./fake-node.ts";
import { runHere, runProcess, start } from "./harness.ts";
import { test } from "../testing.ts";

const USAGE = { wallMicros: 1500, inputBytes: 5, outputBytes: 5, instructions: 0 };

function scratch(t: { after(f: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), "velas-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("task run sends the input as it is and prints exactly the output", async (t) => {
  const { url, seen } = await startFake(t, {
    "POST /v1/run/demo/greet": { body: "world", headers: { "content-type": "text/plain" } },
  });
  const { code, stdout, stderr } = await runProcess(["task", "run", "demo", "greet", "hello"], {
    env: { VELAS_SPHERE_URL: url },
  });
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "world", stderr: "" });
  assert.equal(seen[0]!.body.toString(), "hello");
  assert.equal(seen[0]!.headers["content-type"], "text/plain");
});

test("task run passes target, id, limits and priority on", async (t) => {
  const { url, seen } = await startFake(t, { "POST /v1/run/demo%402/greet": { body: "" } });
  const flags =
    "--target 127.0.0.1:8081 --id a-1 --timeout 1.5s --memory 64MiB --max-output 1kB --priority -5 --content-type a/b";
  const { code, stderr } = await runHere(["task", "run", "demo@2", "greet", "x", "--url", url, ...flags.split(" ")]);
  assert.equal(code, 0, stderr);
  const query = new URL(seen[0]!.path, url).searchParams;
  assert.deepEqual(Object.fromEntries(query), {
    target: "127.0.0.1:8081",
    id: "a-1",
    timeoutMs: "1500",
    memoryBytes: "67108864",
    outputBytes: "1000",
    priority: "-5",
  });
  assert.equal(seen[0]!.headers["content-type"], "a/b");
});

test("task run streams a file or a pipe in, and bytes out to a file that appears when it is whole", async (t) => {
  const folder = scratch(t);
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  writeFileSync(join(folder, "in"), bytes);
  const { url } = await startFake(t, { "POST /v1/run/demo/echo": ({ body }) => ({ body }) });
  const args = ["task", "run", "demo", "echo", "--url", url, "--output-file", "out"];
  assert.equal((await runHere([...args, "--input-file", "in"], { cwd: folder })).code, 0);
  assert.deepEqual(new Uint8Array(readFileSync(join(folder, "out"))), bytes);
  const piped = await runHere([...args, "--input-file", "-"], { cwd: folder, input: "from a pipe" });
  assert.equal(piped.code, 0, piped.stderr);
  assert.equal(readFileSync(join(folder, "out"), "utf8"), "from a pipe");
  assert.equal(existsSync(join(folder, "out.part")), false);
});

test("an output that breaks off is an error, and leaves no file", async (t) => {
  const folder = scratch(t);
  const { url } = await startFake(t, {
    "POST /v1/run/demo/echo": {
      write(response) {
        response.writeHead(200, { "content-type": "text/plain" });
        response.write("half", () => response.destroy());
      },
    },
  });
  const { code, stderr } = await runHere(["task", "run", "demo", "echo", "x", "--url", url, "--output-file", "out"], {
    cwd: folder,
  });
  assert.equal(code, 11);
  assert.match(stderr, /^error: The output broke off before its end .*\(target_misbehaved\)\n$/);
  assert.equal(existsSync(join(folder, "out")), false);
  assert.equal(existsSync(join(folder, "out.part")), false);
});

test("a terminal gets a newline after the output, and is spared binary data", async (t) => {
  let body: string | Uint8Array = "world";
  const { url } = await startFake(t, {
    "POST /v1/run/demo/echo": () => ({ body, headers: { "content-type": "image/png" } }),
  });
  const args = ["task", "run", "demo", "echo", "--url", url];
  assert.equal((await runHere(args, { terminal: true })).stdout, "world\n");
  body = new Uint8Array([0x89, 0x50, 0, 1]);
  const { code, stderr } = await runHere(args, { terminal: true, env: { NO_COLOR: "1" } });
  assert.equal(code, 6);
  assert.match(stderr, /image\/png\) is binary .* --output-file/);
});

test("task run without a function, or with --json, asks for JSON", async (t) => {
  const result = { id: "t1", output: "world", contentType: "text/plain", usage: USAGE, replayed: false };
  const { url, seen } = await startFake(t, { "POST /v1/tasks/run": { json: result } });
  assert.equal((await runHere(["task", "run", "--url", url])).stdout, "world");
  assert.deepEqual(JSON.parse(seen[0]!.body.toString()), { inputBase64: "" });
  const { stdout } = await runHere([
    "task",
    "run",
    "demo",
    "greet",
    "hello",
    "--json",
    "--timeout",
    "5s",
    "--url",
    url,
  ]);
  assert.deepEqual(JSON.parse(stdout), result);
  assert.deepEqual(JSON.parse(seen[1]!.body.toString()), {
    plugin: "demo",
    function: "greet",
    input: "hello",
    limits: { timeoutMs: 5000 },
  });
});

test("an input that is given twice, or whose file is not there, is refused before anything is sent", async (t) => {
  const { url, seen } = await startFake(t, {});
  const twice = await runHere(["task", "run", "demo", "echo", "x", "--input-file", "y", "--url", url]);
  assert.equal(twice.code, 2);
  assert.match(twice.stderr, /given as text and as --input-file y/);
  const missing = await runHere(["task", "run", "demo", "echo", "--input-file", "/no/such/file", "--url", url]);
  assert.equal(missing.code, 4);
  assert.match(missing.stderr, /Cannot read the input file \/no\/such\/file: there is no such file; check the path/);
  const folder = await runHere(["task", "run", "demo", "echo", "--input-file", "/", "--url", url]);
  assert.equal(folder.code, 4);
  assert.match(folder.stderr, /Cannot read the input file \/: it is a folder; name a file/);
  assert.equal(seen.length, 0);
});

test("task run --verify prints what most say, and on standard error how many they are", async (t) => {
  const { url, seen } = await startFake(t, {
    "POST /v1/tasks/run": {
      json: {
        id: "a",
        output: "world",
        contentType: "text/plain",
        usage: USAGE,
        replayed: false,
        verification: {
          agreed: 2,
          asked: 4,
          dissenters: ["c:1"],
          failed: [{ target: "d:1", code: "overloaded" }],
          meterAgreed: false,
        },
      },
    },
  });
  const task = ["task", "run", "demo", "greet", "hello", "--url", url];
  const { code, stdout, stderr } = await runHere([
    ...task,
    "--verify",
    "4",
    "--verify-targets",
    "a:1",
    "b:1",
    "c:1",
    "d:1",
  ]);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "world");
  assert.equal(
    stderr.trim(),
    "2 of 4 providers agree; c:1 gave something else; d:1 gave nothing (overloaded); their meters differ",
  );
  assert.deepEqual((JSON.parse(seen[0]!.body.toString()) as { verify: unknown }).verify, {
    replicas: 4,
    targets: ["a:1", "b:1", "c:1", "d:1"],
  });
  const wrong = [
    ["--verify", "1"],
    ["--verify", "8"],
    ["--verify-targets", "a:1"],
    ["--verify", "2", "--target", "a:1"],
    ["--verify", "2", "--watch"],
    ["--verify", "2", "--any", "--verify-targets", "a:1", "b:1"],
  ];
  for (const flags of wrong) {
    const refused = await runHere([...task, ...flags]);
    assert.equal(refused.code, 2, `${flags.join(" ")}: ${refused.stderr}`);
  }
  assert.equal(seen.length, 1);
});

test("task run --watch submits, shows log and progress on standard error, and prints the output", async (t) => {
  const done = taskJson({ state: "succeeded", usage: USAGE, outputContentType: "text/plain" });
  const { url, seen } = await startFake(t, {
    "POST /v1/tasks": { status: 202, json: taskJson() },
    "GET /v1/tasks/t1/events": {
      headers: { "content-type": "text/event-stream" },
      body: eventText([
        ["state", taskJson({ state: "running" })],
        ["log", { level: "warn", message: "careful \x1b[31m", at: "2026-11-23T20:38:16.000Z" }],
        ["progress", { fraction: 0.5, message: "half", at: "2026-11-23T20:38:16.000Z" }],
        ["state", done, "end"],
      ]),
    },
    "GET /v1/tasks/t1/output": { body: "world", headers: { "content-type": "text/plain" } },
  });
  const args = ["task", "run", "demo", "greet", "hello", "--watch", "--url", url, "--target", "p:1"];
  const piped = await runHere(args);
  assert.deepEqual(piped, { code: 0, stdout: "world", stderr: "warn  careful ␛[31m\n" });
  assert.equal(JSON.parse(seen[0]!.body.toString()).target, "p:1");
  assert.deepEqual(seen.slice(1).map(({ path }) => path), [
    "/v1/tasks/t1/events?target=p%3A1",
    "/v1/tasks/t1/output?target=p%3A1",
  ]);

  const shown = await runHere(args, { terminal: true, env: { NO_COLOR: "1" } });
  assert.equal(shown.stdout, "world\n");
  assert.match(shown.stderr, /\[█+─+\] {2}50 % half/);
  assert.match(shown.stderr, /1\.50 ms, 5 B in, 5 B out\n$/);

  const lines = (await runHere([...args, "--json"])).stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ event }) => event), ["state", "log", "progress", "state"]);
});

test("Ctrl-C on task run --watch cancels the task on the node", async (t) => {
  const interruption = new AbortController();
  const { url, seen } = await startFake(t, {
    "POST /v1/tasks": { status: 202, json: taskJson() },
    "GET /v1/tasks/t1/events": {
      write(response) {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write(eventText([["state", taskJson({ state: "running" })]]), () => interruption.abort());
      },
    },
    "POST /v1/tasks/t1/cancel": { json: taskJson({ state: "canceled" }) },
  });
  const { code, stderr } = await runHere(["task", "run", "--watch", "--url", url], {
    interrupted: interruption.signal,
  });
  assert.equal(code, 130);
  assert.equal(stderr, "error: Canceled task t1 (canceled)\n");
  assert.equal(seen.at(-1)!.path, "/v1/tasks/t1/cancel");
});

test("Ctrl-C on task run closes the connection, which cancels it, and ends with 130", async (t) => {
  const closed = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const { url } = await startFake(t, {
    "POST /v1/run/demo/greet": {
      write(response) {
        response.on("close", () => closed.resolve());
        arrived.resolve();
      },
    },
  });
  const child = start(["task", "run", "demo", "greet", "hello", "--url", url]);
  t.after(() => child.kill("SIGKILL"));
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  await arrived.promise;
  process.kill(child.pid!, "SIGINT"); // Deno's child.kill() reports the signal instead of the exit code
  const [code] = await once(child, "close");

  await closed.promise;
  assert.equal(code, 130);
  assert.equal(stderr, "error: Canceled (canceled)\n");
});

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
