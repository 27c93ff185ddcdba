import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { eventText, startFake, taskJson, USAGE } from "./fake-node.ts";
import { runHere, runProcess, scratch, start } from "./harness.ts";
import { test } from "../testing.ts";

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
