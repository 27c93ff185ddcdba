import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkGrpcHealth } from "../../src/cli/grpc-health.ts";
import { NodeError } from "../../src/core/mod.ts";
import { createPluginServer } from "../../src/rpc/mod.ts";
import { problem, startFake } from "./fake-node.ts";
import { runHere } from "./harness.ts";
import { test } from "../testing.ts";

const demo = {
  name: "demo",
  version: "1.0.0",
  sha256: "ab".repeat(32),
  runtime: "wasm",
  functions: [{ name: "greet", inputContentType: "text/plain", outputContentType: "", description: "Greets" }],
  description: "Says world",
  isDefault: true,
  enabled: true,
  ready: true,
  sizeBytes: 16_384,
};

test("plugins list and show say what there is and whether it takes tasks", async (t) => {
  const broken = { ...demo, name: "broken", isDefault: false, ready: false, problem: "It is no WASM\x07" };
  const off = { ...demo, name: "off", isDefault: false, enabled: false, ready: false };
  const { url } = await startFake(t, {
    "GET /v1/plugins": { json: { plugins: [demo, broken, off] } },
    "GET /v1/plugins/demo%401.0.0": { json: demo },
  });
  const { stdout } = await runHere(["plugins", "list", "--url", url]);
  const lines = stdout.split("\n");
  assert.match(lines[1]!, /^demo@1\.0\.0 default +ready +wasm +greet +Says world$/);
  assert.match(lines[2]!, /^broken@1\.0\.0 +not ready +wasm +greet +It is no WASM␇$/);
  assert.match(lines[3]!, /^off@1\.0\.0 +disabled/);
  assert.equal(JSON.parse((await runHere(["plugins", "list", "--json", "--url", url])).stdout).plugins.length, 3);
  const shown = (await runHere(["plugins", "show", "demo@1.0.0", "--url", url])).stdout;
  assert.match(shown, /^demo@1\.0\.0 {2}ready\nSays world\n/);
  assert.match(shown, /size +16KiB/);
  assert.match(shown, /greet +text\/plain -> application\/octet-stream +Greets/);
});

test("plugins install sends a file with its digest, or a URL with the one that was given", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "velas-cli-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const bytes = new Uint8Array([0, 0x61, 0x73, 0x6d]);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  writeFileSync(join(folder, "p.wasm"), bytes);
  const { url, seen } = await startFake(t, { "POST /v1/plugins": { status: 201, json: demo } });
  const install = (...args: string[]) => runHere(["plugins", "install", ...args, "--url", url], { cwd: folder });

  assert.equal((await install("p.wasm")).code, 0);
  assert.equal(seen[0]!.path, `/v1/plugins?sha256=${sha256}`);
  assert.equal(seen[0]!.headers["content-type"], "application/wasm");
  assert.deepEqual(new Uint8Array(seen[0]!.body), bytes);

  assert.equal((await install("https://x.example/p.wasm", "--sha256", sha256, "--json")).code, 0);
  assert.deepEqual(JSON.parse(seen[1]!.body.toString()), { url: "https://x.example/p.wasm", sha256 });

  const refused: [string[], number, RegExp][] = [
    [["https://x.example/p.wasm"], 2, /needs --sha256/],
    [["p.wasm", "--sha256", "xyz"], 2, /must be 64 lower-case hex digits, not "xyz"/],
    [["p.wasm", "--sha256", "0".repeat(64)], 2, /has the SHA-256 .* it is not the file you mean/],
    [["absent.wasm"], 4, /Cannot read the module .*absent\.wasm: there is no such file/],
  ];
  for (const [args, code, words] of refused) {
    const ended = await install(...args);
    assert.equal(ended.code, code);
    assert.match(ended.stderr, words);
  }
  assert.equal(seen.length, 2);
});

test("plugins enable, disable and remove change what they name", async (t) => {
  const { url, seen } = await startFake(t, {
    "PATCH /v1/plugins/demo": ({ body }) => ({ json: { ...demo, ...JSON.parse(body.toString()) } }),
    "DELETE /v1/plugins/demo": { status: 204 },
    "DELETE /v1/plugins/nope": problem("plugin_not_found", 'No plugin "nope" here', 404),
  });
  assert.match((await runHere(["plugins", "disable", "demo", "--url", url])).stdout, /disabled/);
  assert.match((await runHere(["plugins", "enable", "demo", "--url", url])).stdout, /ready/);
  assert.deepEqual(seen.map(({ body }) => body.toString()), ['{"enabled":false}', '{"enabled":true}']);
  assert.equal((await runHere(["plugins", "remove", "demo", "--url", url])).stdout, "Removed demo\n");
  assert.equal((await runHere(["plugins", "remove", "nope", "--url", url])).code, 4);
});

test("info shows a node, yours or another one", async (t) => {
  const node = {
    nodeId: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    name: "My\x1b node",
    version: "0.1.0",
    plugins: [demo],
    issuedAt: "2026-11-23T20:38:16.000Z",
    limits: { inputBytes: 1 << 20, outputBytes: 1 << 20, memoryBytes: 1 << 26, timeoutMs: 60_000 },
  };
  const { url, seen } = await startFake(t, { "GET /v1/node": { json: node } });
  const { stdout } = await runHere(["info", "--url", url]);
  assert.match(stdout, /^My␛ node\nid +0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n/);
  assert.match(stdout, /limits +1m, 64MiB memory, 1MiB in, 1MiB out/);
  assert.deepEqual(JSON.parse((await runHere(["info", "p.example:8081", "--json", "--url", url])).stdout), node);
  assert.deepEqual(seen.map(({ path }) => path), ["/v1/node", "/v1/node?target=p.example%3A8081"]);
});

test("health asks REST without a body, or gRPC", async (t) => {
  const { url } = await startFake(t, { "GET /healthz": { json: { status: "ok" } } });
  assert.deepEqual(await runHere(["health", "--url", url]), { code: 0, stdout: "ok\n", stderr: "" });

  const server = createPluginServer({ name: "p", version: "1.0.0", functions: {} });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const rpc = await runHere(["health", "--rpc", `127.0.0.1:${port}`, "--json"]);
  await server.close({ graceMs: 0 });
  assert.deepEqual(rpc, { code: 0, stdout: '{"status":"ok"}\n', stderr: "" });
});

test("health fails when nobody answers, or somebody who is no gRPC server", async (t) => {
  const mute = createServer((socket) => socket.on("error", () => {}).resume().end("220 smtp.example\r\n"));
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => mute.close(resolve)));
  const { port } = mute.address() as { port: number };
  const foreign = await runHere(["health", "--rpc", `127.0.0.1:${port}`]);
  assert.equal(foreign.code, 10);
  assert.match(foreign.stderr, /No gRPC server answers at 127\.0\.0\.1/);
  const refused = await runHere(["health", "--rpc", "127.0.0.1:1"]);
  assert.equal(refused.code, 10);
  assert.match(refused.stderr, /\(ECONNREFUSED\): start a node or plugin there, or name another address with --rpc/);
  assert.equal((await runHere(["health", "--url", "http://127.0.0.1:1"])).code, 10);
  assert.equal((await runHere(["health", "--rpc", "8082"])).code, 2);
});

test("a server that takes the connection and says nothing is given up", async (t) => {
  const silent = createServer((socket) => socket.on("error", () => {}).resume());
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => silent.close(resolve)));
  const { port } = silent.address() as { port: number };
  await assert.rejects(
    checkGrpcHealth(`127.0.0.1:${port}`, { timeoutMs: 20 }),
    (error) =>
      error instanceof NodeError && error.code === "target_unreachable" && /no answer within 20 ms/.test(error.message),
  );
});
