import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import type { Settings } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { RawClient } from "../rpc/harness.ts";
import { test, type TestScope } from "../testing.ts";
import { commandLine, get, post, run, scratch, startNode, taskThat, until } from "./harness.ts";

interface PluginJson {
  readonly name: string;
  readonly runtime: string;
  readonly isDefault: boolean;
  readonly ready: boolean;
  readonly problem?: string;
}

test("SIGTERM drains the node and it exits with 0", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  assert.deepEqual(await node.stop("SIGTERM"), { code: 0, signal: null });
});

test("SIGTERM lets what runs end, and what waits is run after the next start", async (t) => {
  const dataDir = join(scratch(t), "data");
  const config = { tasks: { maxRunning: 1 } };
  const node = await startNode(t, { dataDir, config });
  const ids = Array.from({ length: 40 }, (_, at) => `task-${at}`);
  await Promise.all(ids.map(async (id) => {
    const spec = { id, plugin: "demo", function: "primes", input: "10000000" };
    const { status, text } = await post(`${node.rest}/v1/tasks`, spec);
    assert.equal(status, 202, text);
  }));
  assert.deepEqual(await node.stop("SIGTERM"), { code: 0, signal: null });

  const again = await startNode(t, { dataDir, config });
  const line = again.log.find((line) => line.includes("Took up tasks from before"))!;
  const { queued, interrupted } = JSON.parse(line) as { queued: number; interrupted: number };
  assert.ok(queued > 0 && queued < ids.length, line);
  assert.equal(interrupted, 0, "what ran has ended");
  for (const id of ids) {
    const task = await taskThat(({ finishedAt }) => finishedAt !== undefined, { rest: again.rest, id });
    assert.equal(task.state, "succeeded", id);
  }
});

test("limits of the RPC listener are those of the configuration", async (t) => {
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: { rpc: { maxConcurrentStreams: 3, maxHeaderBytes: 2048, maxConnections: 2, idleTimeoutMs: 1000 } },
  });
  const port = Number(node.rpc.split(":")[1]);
  const first = new RawClient(port);
  const settings = await new Promise<Settings>((resolve) => first.session.once("remoteSettings", resolve));
  assert.equal(settings.maxConcurrentStreams, 3);
  assert.equal(settings.maxHeaderListSize, 2048);
  const second = new RawClient(port);
  await new Promise((resolve) => second.session.once("remoteSettings", resolve));
  const third = new RawClient(port);
  const isClosed = (client: RawClient) => new Promise((resolve) => client.session.once("close", resolve));
  await isClosed(third);
  await Promise.all([isClosed(first), isClosed(second)]); // without a call for a second
});

test("dev serves until Ctrl-C, and what it prints to try next works", async (t) => {
  const [command, args] = commandLine(["dev"]);
  const child = spawn(command, args, { cwd: tmpdir(), stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  t.after(() => child.exitCode === null && child.signalCode === null && process.kill(child.pid!, "SIGKILL"));
  let shown = "";
  child.stdout.on("data", (chunk: Uint8Array) => shown += chunk);
  await until(() => Promise.resolve(/Ctrl-C stops all nodes/.test(shown) || undefined));
  assert.match(shown, /Try next\n/);
  const curl = /curl -d '(\{[^']*\})' (http:\S+\/task)/.exec(shown)!;
  assert.equal(await (await fetch(curl[2]!, { method: "POST", body: curl[1]! })).text(), '{"id":"1","output":"world"}');
  process.kill(child.pid!, "SIGINT");
  assert.equal(await ended, 0);
  await assert.rejects(fetch(curl[2]!));
});

test("a second node on the same data directory is refused with a clear error", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const second = await run([
    "node",
    "--data-dir",
    node.dataDir,
    "--rest-listen",
    "127.0.0.1:0",
    "--rpc-listen",
    "127.0.0.1:0",
  ]);
  assert.notEqual(second.code, 0);
  assert.match(second.stderr + second.stdout, new RegExp(node.dataDir));
  assert.match(second.stderr + second.stdout, /in use by process \d+/);
  assert.equal((await fetch(`${node.rest}/healthz`)).status, 200);
});

test("a port in use is named with the cure", async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => taken.close(resolve)));
  const { port } = taken.address() as { port: number };
  const ended = await run([
    "node",
    "--data-dir",
    join(scratch(t), "data"),
    "--rest-listen",
    `127.0.0.1:${port}`,
    "--rpc-listen",
    "127.0.0.1:0",
  ]);
  assert.notEqual(ended.code, 0);
  assert.match(ended.stderr + ended.stdout, new RegExp(`${port}.*(in use|taken)|(in use|taken).*${port}`, "s"));
});

test("a data directory that is a file is refused with its path", async (t) => {
  const file = join(scratch(t), "data");
  writeFileSync(file, "");
  const ended = await run([
    "node",
    "--data-dir",
    file,
    "--rest-listen",
    "127.0.0.1:0",
    "--rpc-listen",
    "127.0.0.1:0",
  ]);
  assert.notEqual(ended.code, 0);
  assert.match(ended.stderr + ended.stdout, new RegExp(file));
});

test("an unknown configuration key and a wrong type are refused by name", async (t) => {
  const folder = scratch(t);
  const file = join(folder, "config.json");
  writeFileSync(file, JSON.stringify({ tasks: { maxQeued: 3 } }));
  const unknown = await run(["config", "check", "--config", file]);
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /maxQeued/);
  assert.match(unknown.stderr, /maxQueued/);
  writeFileSync(file, JSON.stringify({ tasks: { maxQueued: "many" } }));
  const wrong = await run(["config", "check", "--config", file]);
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.stderr, /tasks\.maxQueued/);
});

test("a non-loopback listener without its safeguard is refused with the cure", async (t) => {
  const dataDir = join(scratch(t), "data");
  const rpc = await run([
    "node",
    "--data-dir",
    dataDir,
    "--rpc-listen",
    "0.0.0.0:0",
    "--rest-listen",
    "127.0.0.1:0",
  ]);
  assert.notEqual(rpc.code, 0);
  assert.match(rpc.stderr + rpc.stdout, /open/);
  const rest = await run([
    "node",
    "--data-dir",
    dataDir,
    "--rpc-listen",
    "127.0.0.1:0",
    "--rest-listen",
    "0.0.0.0:0",
  ]);
  assert.notEqual(rest.code, 0);
  assert.match(rest.stderr + rest.stdout, /token/);
});

test("the original's config.json gives a node that runs tasks on that plugin", async (t) => {
  const folder = scratch(t);
  const plugin = await startPlugin(t);
  const node = await startNode(t, { dataDir: join(folder, "data"), config: { node: { plugin_target: plugin } } });
  assert.equal((await post(`${node.rest}/task`, { id: "7", input: "hello" })).text, '{"id":"7","output":"world"}');
  const plugins = await (await fetch(`${node.rest}/v1/plugins`)).json();
  assert.ok(
    plugins.plugins.some((one: { runtime: string; isDefault: boolean }) => one.runtime === "grpc" && one.isDefault),
  );
});

test("dev runs a task through two nodes and keeps a file on six", async () => {
  const ended = await run(["dev", "--exit", "--json"]);
  assert.equal(ended.code, 0, ended.stderr);
  const { task, file, stores } = JSON.parse(ended.stdout);
  assert.equal(task.output, "world");
  assert.deepEqual([file.shards, stores.length], [6, 5]);
});

test("dev commands that start at the same moment share out the ports", async () => {
  const all = await Promise.all(Array.from({ length: 3 }, () => run(["dev", "--exit", "--json"])));
  for (const { code, stderr } of all) assert.equal(code, 0, stderr);
});

test("a node that drains takes no new connection, and tells one that it still serves that it is not ready and why", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const { port } = new URL(node.rest);
  const socket = connect(Number(port), "127.0.0.1");
  t.after(() => socket.destroy());
  let text = "";
  socket.on("data", (piece) => text += piece);
  // A request that is under way holds the drain up.
  const head = `POST /v1/run/demo/greet HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Length: 5\r\n\r\n`;
  await new Promise((resolve) => socket.write(`${head}hel`, resolve));
  // The node has read it when it answers what came later.
  assert.equal((await fetch(`${node.rest}/readyz`)).status, 200);
  const stopped = node.stop("SIGTERM");
  await until(() => fetch(`${node.rest}/readyz`).then(() => undefined, () => true as const));
  socket.write(`loGET /readyz HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`);
  await new Promise((resolve) => socket.once("close", resolve));
  assert.match(text, /HTTP\/1\.1 503 [\s\S]*\{"ready":false,"reasons":\["The node is shutting down"\]\}$/);
  assert.deepEqual(await stopped, { code: 0, signal: null });
});

test("health, readiness, metrics, information and documentation are served", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  for (const path of ["/healthz", "/readyz", "/metrics", "/info", "/v1/node", "/v1/openapi.json", "/v1/docs", "/"]) {
    const answer = await fetch(node.rest + path);
    assert.equal(answer.status, 200, path);
    assert.notEqual((await answer.text()).length, 0, path);
  }
  const info = await get<{ nodeId: string }>(`${node.rest}/v1/node`);
  assert.equal(info.nodeId, node.nodeId);
});

test("a node knows itself again after a restart, and its key file is for its owner only", async (t) => {
  const dataDir = join(scratch(t), "data");
  const first = await startNode(t, { dataDir });
  await first.stop();
  const second = await startNode(t, { dataDir });
  assert.equal(second.nodeId, first.nodeId);
  await second.stop();
  chmodSync(join(dataDir, "node-key.json"), 0o644);
  const ended = await run([
    "node",
    "--data-dir",
    dataDir,
    "--rest-listen",
    "127.0.0.1:0",
    "--rpc-listen",
    "127.0.0.1:0",
  ]);
  assert.notEqual(ended.code, 0);
  assert.match(ended.stderr + ended.stdout, /node-key\.json/);
});

test("a plugin file dropped into the folder is listed without a restart, and a damaged one says why it is not ready", async (t) => {
  const dataDir = join(scratch(t), "data");
  mkdirSync(join(dataDir, "plugins"), { recursive: true });
  writeFileSync(join(dataDir, "plugins", "broken.wasm"), "not wasm");
  const node = await startNode(t, { dataDir });
  const { plugins } = await get<{ plugins: PluginJson[] }>(`${node.rest}/v1/plugins`);
  const broken = plugins.find((one) => one.name === "broken");
  assert.equal(broken?.ready, false);
  assert.match(broken?.problem ?? "", /WASM|WebAssembly/i);
});

async function startPlugin(t: TestScope): Promise<string> {
  const { createInterface } = await import("node:readline");
  const { commandLine } = await import("./harness.ts");
  const [command, args] = commandLine(["plugin", "--listen", "127.0.0.1:0"]);
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  return await new Promise((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        const found = line.match(/127\.0\.0\.1:(\d+)/);
        if (found !== null && found[1] !== "0") resolve(found[0]);
      });
    }
    child.on("close", (code) => reject(new Error(`velas-sphere plugin ended with ${code}`)));
  });
}
