import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { gzipSync } from "node:zlib";
import { OutboundRules } from "../../src/core/mod.ts";
import type { Plugins } from "../../src/plugins/mod.ts";
import { MANIFEST_SECTION } from "../../src/plugins/plugin-manifest.ts";
import { moduleSha256 } from "../../src/plugins/prepare-module.ts";
import { SECTION, WasmWriter } from "../../src/plugins/wasm-binary.ts";
import { hasCode, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost, scratchFolder, wasm } from "./host-fixture.ts";
import { wat } from "./wat.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

/** Servers of tests are on this machine. */
const LOOPBACK = new OutboundRules(["127.0.0.0/8", "::1"]);

/** A plugin `versioned` whose one function answers its version. */
async function versioned(version: string, name = "versioned"): Promise<Uint8Array<ArrayBuffer>> {
  const module = await wat(`(module
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (func (export "version") (local $block i64)
      (local.set $block (call $alloc (i64.const ${version.length})))
      ${
    [...version].map((char, i) =>
      `(call $store (i64.add (local.get $block) (i64.const ${i})) (i32.const ${char.charCodeAt(0)}))`
    ).join("\n")
  }
      (call $output (local.get $block) (i64.const ${version.length}))))`);
  const manifest = new TextEncoder().encode(JSON.stringify({ name, version, functions: [{ name: "version" }] }));
  const body = new WasmWriter().name(MANIFEST_SECTION).bytes(manifest).finish();
  return new WasmWriter().bytes(module).section({ id: SECTION.custom, body }).finish();
}

async function versionOf(host: Plugins, plugin: string): Promise<string> {
  return text((await host.execute(pluginCall("version", "", { plugin }))).output);
}

/** Waits for something that happens by itself, such as the folder's watch. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function serve(
  t: TestScope,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<string> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const signal = new AbortController().signal;

test("a new folder has the demo plugin, which is the default", async (t) => {
  const host = await openHost(t);
  const [demo, ...others] = host.list();
  assert.deepEqual(others, []);
  assert.equal(demo!.name, "demo");
  assert(demo!.isDefault && demo!.enabled && demo!.ready);
  assert.equal(demo!.sha256, moduleSha256(wasm("demo/demo")));
  assert.equal(host.resolve("", "").plugin, `demo@${demo!.version}`);
});

test("an empty reference needs a default plugin", async (t) => {
  const host = await openHost(t, { defaultPlugin: "" });
  assert.throws(() => host.resolve("", ""), hasCode("plugin_not_found", /plugins\.default/));
  assert(!host.list()[0]!.isDefault);
});

test("a name means the highest enabled version, and name@version and SHA-256 that one", async (t) => {
  const host = await openHost(t);
  const digests = new Map<string, string>();
  for (const version of ["1.9.0", "1.10.0", "2.0.0-rc.1"]) {
    digests.set(version, (await host.installBytes(await versioned(version))).sha256);
  }
  assert.equal(await versionOf(host, "versioned"), "2.0.0-rc.1");
  assert.equal(await versionOf(host, "versioned@1.9.0"), "1.9.0");
  assert.equal(await versionOf(host, digests.get("1.9.0")!.toUpperCase()), "1.9.0");
  await host.setEnabled("versioned@2.0.0-rc.1", false);
  assert.equal(await versionOf(host, "versioned"), "1.10.0");
  assert.throws(() => host.resolve("versioned@2.0.0-rc.1", ""), hasCode("plugin_not_found", /disabled/));
  await host.setEnabled("versioned@2.0.0-rc.1", true);
  assert.equal(await versionOf(host, "versioned"), "2.0.0-rc.1");
  assert.deepEqual(host.list().map(({ version }) => version).slice(1), ["1.9.0", "1.10.0", "2.0.0-rc.1"]);
});

test("what was installed, disabled and removed is so after a restart", async (t) => {
  const folder = await scratchFolder(t);
  const first = await openHost(t, { folder });
  await first.installBytes(await versioned("1.0.0"));
  await first.setEnabled("versioned", false);
  await first.remove("demo");
  await first.close();
  assert.deepEqual((await readdir(folder)).filter((name) => name.startsWith(".")), []);

  const second = await openHost(t, { folder });
  assert.deepEqual(second.list().map(({ name, enabled }) => `${name} ${enabled}`), ["versioned false"]);
});

test("a newer program replaces the demo plugin that an older one brought", async (t) => {
  const folder = await scratchFolder(t);
  const older = await versioned("0.9.0", "demo");
  const sha256 = moduleSha256(older);
  await writeFile(join(folder, "demo-0.9.0.wasm"), older);
  const registry = { version: 1, builtin: sha256, plugins: { [sha256]: { enabled: true, origin: "builtin" } } };
  await writeFile(join(folder, "registry.json"), JSON.stringify(registry));
  const host = await openHost(t, { folder });
  assert.deepEqual(host.list().map(({ name, version }) => `${name}@${version}`), ["demo@1.1.0"]);
});

test("installing the same bytes again changes nothing; other bytes of that version are refused", async (t) => {
  const host = await openHost(t);
  const once = await host.installBytes(await versioned("1.0.0"));
  assert.deepEqual(await host.installBytes(await versioned("1.0.0")), once);
  const other = new WasmWriter()
    .bytes(await versioned("1.0.0"))
    .section({ id: SECTION.custom, body: new WasmWriter().name("other").finish() })
    .finish();
  await assert.rejects(host.installBytes(other), hasCode("already_exists", new RegExp(once.sha256)));
  assert.equal(host.list().length, 2);
});

test("modules without a manifest can be installed side by side", async (t) => {
  const host = await openHost(t);
  const a = await host.installBytes(await wat(`(module (func (export "a")))`));
  const b = await host.installBytes(await wat(`(module (func (export "b")))`));
  assert.notEqual(a.name, b.name);
  assert(a.ready && b.ready);
  assert.equal(host.resolve(a.name, "").function, "a");
});

test("a digest must match, and be one", async (t) => {
  const host = await openHost(t);
  const bytes = await versioned("1.0.0");
  await assert.rejects(host.installBytes(bytes, { sha256: "0".repeat(64) }), hasCode("invalid_argument", /not 0000/));
  await assert.rejects(host.installBytes(bytes, { sha256: "abc" }), hasCode("invalid_argument", /64 hex/));
  assert.equal((await host.installBytes(bytes, { sha256: moduleSha256(bytes).toUpperCase() })).name, "versioned");
});

test("what is no plugin is not installed", async (t) => {
  const host = await openHost(t, { maxModuleBytes: 200_000 });
  await assert.rejects(host.installBytes(new Uint8Array(0)), hasCode("module_invalid"));
  await assert.rejects(host.installBytes(new TextEncoder().encode("text")), hasCode("module_invalid"));
  await assert.rejects(host.installBytes(new Uint8Array(200_001)), hasCode("input_too_large", /200001/));
  assert.equal(host.list().length, 1);
});

test("files put into the folder and taken from it are noticed while the node runs", async (t) => {
  const folder = await scratchFolder(t);
  const host = await openHost(t, { folder });
  await writeFile(join(folder, "dropped.wasm"), await versioned("1.0.0"));
  await until(() => host.list().some(({ name, ready }) => name === "versioned" && ready));
  assert.equal(await versionOf(host, "versioned"), "1.0.0");
  await rm(join(folder, "dropped.wasm"));
  await until(() => host.list().length === 1);
  assert.throws(() => host.resolve("versioned", ""), hasCode("plugin_not_found"));
});

test("rescan() sees a file that was replaced", async (t) => {
  const folder = await scratchFolder(t);
  const host = await openHost(t, { folder });
  await writeFile(join(folder, "v.wasm"), await versioned("1.0.0"));
  await host.rescan();
  assert.equal(await versionOf(host, "versioned"), "1.0.0");
  await writeFile(join(folder, "v.wasm"), await versioned("1.0.10"));
  await host.rescan();
  assert.equal(await versionOf(host, "versioned"), "1.0.10");
});

test("damaged files are listed with the reason and harm nobody", async (t) => {
  const folder = await scratchFolder(t);
  await writeFile(join(folder, "cut.wasm"), wasm("demo/demo").subarray(0, 1000));
  await writeFile(join(folder, "empty.wasm"), "");
  await writeFile(join(folder, "imports.wasm"), await wat(`(module (import "env" "gpu" (func)) (func (export "f")))`));
  await writeFile(join(folder, "notes.txt"), "not a plugin");
  await mkdir(join(folder, "folder.wasm"));
  await writeFile(join(folder, ".tmp-left"), "by a crash");
  const host = await openHost(t, { folder, maxModuleBytes: 150_000 });
  await writeFile(join(folder, "large.wasm"), new Uint8Array(150_001));
  await host.rescan();
  const problems = host.list().filter(({ ready }) => !ready).map(({ name, problem }) => `${name}: ${problem}`);
  assert.equal(problems.length, 4);
  assert.match(problems[0]!, /^cut: The module ends/);
  assert.match(problems[1]!, /^empty: This is not a WebAssembly module/);
  assert.match(problems[2]!, /^imports: .*env\.gpu/);
  assert.match(problems[3]!, /^large: .*150001/);
  assert.throws(() => host.resolve("imports", ""), hasCode("plugin_not_found", /env\.gpu/));
  assert.equal(host.resolve("demo", "").function, "greet");
  await host.remove("cut");
  assert(!(await readdir(folder)).includes("cut.wasm"));
  assert(!(await readdir(folder)).includes(".tmp-left"));
});

test("two files of one name and version: the first counts, the other says so", async (t) => {
  const folder = await scratchFolder(t);
  const bytes = await versioned("1.0.0");
  await writeFile(join(folder, "a.wasm"), bytes);
  await writeFile(join(folder, "b.wasm"), bytes);
  const host = await openHost(t, { folder });
  const second = host.list().find(({ ready }) => !ready)!;
  assert.match(second.problem!, /also in the file a\.wasm/);
  await rm(join(folder, "a.wasm"));
  await host.rescan();
  assert.equal(await versionOf(host, "versioned"), "1.0.0");
});

test("a plugin that is removed or disabled while it runs comes to its end", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const running = Array.from({ length: 50 }, () => host.execute(pluginCall("echo", "x", { plugin: "demo" })));
  await host.remove("demo");
  assert.equal((await Promise.all(running)).length, 50);
  await assert.rejects(host.execute(pluginCall("echo", "x", { plugin: "demo" })), hasCode("plugin_not_found"));
});

test("what is not there cannot be shown, disabled or removed", async (t) => {
  const host = await openHost(t);
  const isTold = hasCode("plugin_not_found", /There is no plugin "absent" here; this node has demo@\d/);
  assert.throws(() => host.get("absent"), isTold);
  await assert.rejects(host.setEnabled("absent", true), isTold);
  await assert.rejects(host.remove("absent"), isTold);
  for (const { name } of host.list()) await host.remove(name);
  assert.throws(() => host.get("absent"), hasCode("plugin_not_found", /this node has none$/));
});

test("a damaged registry.json stops the node with a word on how to mend it", async (t) => {
  for (const content of ["", "{", "[]", `{"version":2}`, `{"version":1,"plugins":{"a":{"enabled":"yes"}}}`]) {
    const folder = await scratchFolder(t);
    await writeFile(join(folder, "registry.json"), content);
    await assert.rejects(openHost(t, { folder }), hasCode("storage_failed", /damaged.*delete it/));
  }
});

test("a folder that is a file, or cannot be written, is a storage failure", async (t) => {
  const folder = await scratchFolder(t);
  await writeFile(join(folder, "file"), "");
  await assert.rejects(openHost(t, { folder: join(folder, "file") }), hasCode("storage_failed"));
  // Root may write everywhere; there the folder is taken away instead.
  const closed = join(folder, "closed");
  const host = await openHost(t, { folder: closed });
  if (process.getuid?.() === 0) await rm(closed, { recursive: true });
  else await chmod(closed, 0o500);
  await assert.rejects(host.installBytes(await versioned("1.0.0")), hasCode("storage_failed"));
  assert.equal(text((await host.execute(pluginCall("", "hello", { plugin: "" }))).output), "world");
});

test("a plugin is installed from a URL when its digest is the given one", async (t) => {
  const folder = await scratchFolder(t);
  const host = await openHost(t, { folder, outbound: LOOPBACK });
  const bytes = await versioned("1.0.0");
  const url = await serve(t, (_, response) => response.end(bytes));
  const sha256 = moduleSha256(bytes);
  await assert.rejects(host.installUrl(url, { sha256: "1".repeat(64), signal }), hasCode("invalid_argument"));
  assert.equal(host.list().length, 1);
  assert.equal((await host.installUrl(url, { sha256, signal })).name, "versioned");
  const registry = JSON.parse(await readFile(join(folder, "registry.json"), "utf8"));
  assert.equal(registry.plugins[sha256].origin, url);
});

test("a URL that gives no module is a typed error", async (t) => {
  const host = await openHost(t, { maxModuleBytes: 200_000, outbound: LOOPBACK });
  const url = await serve(t, (request, response) => {
    if (request.url === "/large") response.end(new Uint8Array(200_001));
    else if (request.url === "/stall") response.write("x");
    else if (request.url === "/break") response.destroy();
    else response.writeHead(404).end("no");
  });
  const options = { sha256: "1".repeat(64), signal };
  await assert.rejects(host.installUrl(`${url}/absent`, options), hasCode("target_failed", /404/));
  await assert.rejects(host.installUrl(`${url}/large`, options), hasCode("input_too_large", /200000/));
  await assert.rejects(host.installUrl(`${url}/break`, options), hasCode("target_unreachable"));
  await assert.rejects(host.installUrl("ftp://host/x", options), hasCode("invalid_argument", /ftp/));
  await assert.rejects(host.installUrl("file:///etc/passwd", options), hasCode("invalid_argument"));
  await assert.rejects(host.installUrl("nonsense", options), hasCode("invalid_argument"));
  await assert.rejects(host.installUrl(url, { ...options, sha256: "short" }), hasCode("invalid_argument"));
  const controller = new AbortController();
  const stalled = host.installUrl(`${url}/stall`, { ...options, signal: controller.signal });
  controller.abort();
  await assert.rejects(stalled, hasCode("canceled"));
});

test("a URL may not lead to an address that is not public, nor redirect there", async (t) => {
  const bytes = await versioned("1.0.0");
  const options = { sha256: moduleSha256(bytes), signal };
  let asked = 0;
  const url = await serve(t, (request, response) => {
    asked++;
    const to = new URL(request.url!, "http://x").searchParams.get("to");
    if (to === null) response.end(bytes);
    else response.writeHead(302, { location: to }).end();
  });
  const closed = await openHost(t);
  const { port } = new URL(url);
  for (const host of ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "127.0.0.1."]) {
    await assert.rejects(
      closed.installUrl(`http://${host}:${port}/`, options),
      hasCode("permission_denied", /127\.0\.0\.1|::1|7f00.*node\.allowNetworks/),
      host,
    );
  }
  assert.equal(asked, 0);
  const open = await openHost(t, { outbound: new OutboundRules(["127.0.0.1"]) });
  for (
    const to of ["http://127.0.0.2/x", "http://169.254.169.254/latest/meta-data/", "https://[::1]/", "//10.0.0.1/"]
  ) {
    await assert.rejects(
      open.installUrl(`${url}/?to=${encodeURIComponent(to)}`, options),
      hasCode("permission_denied"),
      to,
    );
  }
  await assert.rejects(open.installUrl(`${url}/?to=file:///etc/passwd`, options), hasCode("invalid_argument"));
  await assert.rejects(open.installUrl(`${url}/?to=%3Fto%3D`, options), hasCode("target_failed", /redirects more/));
  assert.equal((await open.installUrl(`${url}/?to=/module`, options)).name, "versioned");
});

test("a compressed module is not unpacked", async (t) => {
  const host = await openHost(t, { outbound: LOOPBACK });
  const url = await serve(t, (_, response) => {
    response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(new Uint8Array(64 << 20)));
  });
  await assert.rejects(host.installUrl(url, { sha256: "1".repeat(64), signal }), hasCode("target_failed", /gzip/));
});

test("installing from URLs can be forbidden", async (t) => {
  const host = await openHost(t, { allowUrlInstall: false });
  await assert.rejects(
    host.installUrl("http://127.0.0.1:1/", { sha256: "1".repeat(64), signal }),
    hasCode("permission_denied", /allowUrlInstall/),
  );
});

test("an external plugin that is down is listed, and calls of it say so", async (t) => {
  const host = await openHost(t, {
    external: [{ name: "far", address: "127.0.0.1:1", protocol: "auto" }],
    defaultPlugin: "far",
  });
  await assert.rejects(host.execute(pluginCall("", "", { plugin: "far" })), hasCode("plugin_unavailable"));
  const far = host.get("far");
  assert(far.isDefault && !far.ready);
  assert.equal(far.runtime, "grpc");
  await assert.rejects(host.remove("far"), hasCode("failed_precondition", /plugins\.external/));
  await assert.rejects(host.setEnabled("far", false), hasCode("failed_precondition"));
});
