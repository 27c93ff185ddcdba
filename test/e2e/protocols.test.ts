import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { recoverSigner } from "../../src/core/mod.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { Provider } from "../../src/gen/resources/provider_pb.ts";
import { NodeInfoSchema, NodeService } from "../../src/gen/velas/sphere/v1/node_pb.ts";
import { TaskService } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { test } from "../testing.ts";
import { packPlugin } from "../../src/plugins/mod.ts";
import { wasm } from "../plugins/host-fixture.ts";
import { plantMisbehaving } from "./fixtures.ts";
import { get, post, run, scratch, startNode } from "./harness.ts";

const text = (words: string) => new TextEncoder().encode(words);
const words = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test("gRPC, gRPC-Web and Connect run a task on the same port, over HTTP/2 and HTTP/1.1, whole and streamed", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const baseUrl = `http://${node.rpc}`;
  const transports = {
    "gRPC": createGrpcTransport({ baseUrl }),
    "gRPC-Web on HTTP/1.1": createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    "gRPC-Web on HTTP/2": createGrpcWebTransport({ baseUrl, httpVersion: "2" }),
    "Connect on HTTP/1.1": createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    "Connect on HTTP/2, JSON": createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: false }),
  };
  for (const [name, transport] of Object.entries(transports)) {
    const client = createClient(TaskService, transport);
    const { output } = await client.run({ task: { plugin: "demo", function: "greet", input: text("hello") } });
    assert.equal(words(output), "world", name);
    if (name.endsWith("1.1")) continue; // both ways at once needs HTTP/2
    const streamed: Uint8Array[] = [];
    const request = async function* () {
      yield { message: { case: "task" as const, value: { plugin: "demo", function: "echo" } } };
      for (const piece of ["one ", "two ", "three"]) yield { message: { case: "chunk" as const, value: text(piece) } };
    };
    for await (const { event } of client.runStream(request())) {
      if (event?.event.case === "chunk") streamed.push(event.event.value);
    }
    assert.equal(words(Buffer.concat(streamed)), "one two three", name);
  }
  const health = createClient(Health, transports.gRPC);
  assert.equal((await health.check({})).status, 1);
});

test("the original's gRPC clients are served", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const client = createClient(Provider, createGrpcTransport({ baseUrl: `http://${node.rpc}` }));
  const { id, output } = await client.requestTaskExecution({ id: "1", input: "hello" });
  assert.deepEqual({ id, output }, { id: "1", output: "world" });
});

test("GetInfo is signed by the node's key over the caller's nonce", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const client = createClient(NodeService, createGrpcTransport({ baseUrl: `http://${node.rpc}` }));
  const nonce = crypto.getRandomValues(new Uint8Array(32));
  const { info, signature } = await client.getInfo({ nonce });
  const signed = new Uint8Array([...text("velas-sphere node info v1\n"), ...info]);
  assert.equal(recoverSigner(signed, signature), node.nodeId);
  const described = fromBinary(NodeInfoSchema, info);
  assert.equal(described.nodeId, node.nodeId);
  assert.deepEqual(described.nonce, nonce);
});

test("a plugin is installed by URL with its SHA-256, run by hash, disabled, and removed, while the node runs", async (t) => {
  const folder = scratch(t);
  const config = { node: { allowNetworks: ["127.0.0.1"] } };
  const node = await startNode(t, { dataDir: join(folder, "data"), config });
  const env = { VELAS_SPHERE_URL: node.rest };
  const file = new URL("../../wasm-plugins/testing/contract.wasm", import.meta.url);
  const sha256 = createHash("sha256").update(readFileSync(file)).digest("hex");
  const { createServer } = await import("node:http");
  const site = createServer((_, answer) => answer.end(readFileSync(file)));
  await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => site.close(resolve)));
  const url = `http://127.0.0.1:${(site.address() as { port: number }).port}/contract.wasm`;

  const wrong = await post(`${node.rest}/v1/plugins`, { url, sha256: "0".repeat(64) });
  assert.equal(wrong.status, 400, wrong.text);
  const installed = await run(["plugins", "install", url, "--sha256", sha256, "--json"], { env });
  assert.equal(installed.code, 0, installed.stderr);
  const { name, functions } = JSON.parse(installed.stdout) as { name: string; functions: { name: string }[] };
  assert.ok(functions.some((each) => each.name === "echo"));
  const echoed = await run(["task", "run", sha256, "echo", "again"], { env });
  assert.equal(echoed.stdout.trimEnd(), "again", echoed.stderr);

  assert.equal((await run(["plugins", "disable", name], { env })).code, 0);
  const refused = await run(["task", "run", name, "echo", "again"], { env });
  assert.equal(refused.code, 4, refused.stderr);
  assert.equal((await run(["plugins", "remove", name], { env })).code, 0);
  const { plugins } = await get<{ plugins: { name: string }[] }>(`${node.rest}/v1/plugins`);
  assert.ok(!plugins.some((plugin) => plugin.name === name));
});

test("modules that are not WASM or want what is not there are refused by name", async (t) => {
  const node = await startNode(t, { dataDir: join(scratch(t), "data") });
  const install = async (body: Uint8Array<ArrayBuffer>) => {
    const headers = { "content-type": "application/wasm" };
    const answer = await fetch(`${node.rest}/v1/plugins`, { method: "POST", headers, body });
    return { status: answer.status, problem: await answer.json() as { code: string; detail: string } };
  };
  const garbage = await install(text("this is not a module"));
  assert.deepEqual([garbage.status, garbage.problem.code], [422, "module_invalid"]);
  // (module (import "env" "launch_missiles" (func)))
  const wants = await install(
    new Uint8Array([
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0],
      ...[2, 23, 1, 3, ...text("env"), 15, ...text("launch_missiles"), 0, 0],
    ]),
  );
  assert.deepEqual([wants.status, wants.problem.code], [422, "module_invalid"], JSON.stringify(wants));
  assert.match(wants.problem.detail, /launch_missiles/);
});

test("plugins that loop, recurse, hoard, flood, trap or answer 4 GiB are stopped with a typed error, and others notice nothing", async (t) => {
  const dataDir = join(scratch(t), "data");
  plantMisbehaving(dataDir);
  const node = await startNode(t, { dataDir });
  const limits = { timeoutMs: 2000, memoryBytes: 16 << 20, outputBytes: 1 << 20 };
  const expected: Record<string, string[]> = {
    loop: ["deadline_exceeded"],
    recurse: ["plugin_trapped"],
    trap: ["plugin_trapped"],
    grow: ["memory_exceeded", "plugin_trapped", "plugin_failed"],
    hoard: ["memory_exceeded"],
    output_4gib: ["output_too_large", "plugin_trapped"],
    stream_on: ["output_too_large"],
    talk_on: ["deadline_exceeded"],
  };
  const bystander = { done: false };
  const bystanding = (async () => {
    let answered = 0;
    while (!bystander.done) {
      assert.equal((await post(`${node.rest}/task`, { input: "hello" })).text, '{"output":"world"}');
      answered++;
    }
    return answered;
  })();
  for (const [name, codes] of Object.entries(expected)) {
    const answer = await post(`${node.rest}/v1/tasks/run`, { plugin: "misbehaving", function: name, limits });
    const { code } = JSON.parse(answer.text) as { code?: string };
    assert.ok(codes.includes(String(code)), `${name}: ${answer.text}`);
  }
  bystander.done = true;
  assert.ok(await bystanding > 0);
});

test("an unsigned call that says it is from the node itself is from nobody: the owner's files are not for it", async (t) => {
  const node = await startNode(t, {
    dataDir: join(scratch(t), "data"),
    config: { plugins: { grants: ["services:files.read"] } },
  });
  const manifest = { name: "services", version: "1.0.0", functions: [{ name: "size" }], needs: ["files.read"] };
  const module = packPlugin(wasm("testing/services"), text(JSON.stringify(manifest)));
  const headers = { "content-type": "application/wasm" };
  const installed = await fetch(`${node.rest}/v1/plugins`, { method: "POST", headers, body: module });
  assert.equal(installed.status, 201, await installed.text());
  const task = { plugin: "services", function: "size", input: text("notes.txt") };
  const client = createClient(TaskService, createGrpcTransport({ baseUrl: `http://${node.rpc}` }));
  for (const requester of [node.nodeId, node.nodeId.toLowerCase()]) {
    const call = client.run({ task }, { headers: { "velas-requester": requester } });
    await assert.rejects(call, /permission_denied|own tasks only/);
  }
  const own = await post(`${node.rest}/v1/tasks/run`, { plugin: "services", function: "size", input: "notes.txt" });
  assert.equal(own.status, 200, own.text);
});
