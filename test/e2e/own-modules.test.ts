import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test, type TestScope } from "../testing.ts";
import { get, type NodeProcess, post, run, scratch, startNode } from "./harness.ts";

const DEMO_FILE = fileURLToPath(new URL("../../wasm-plugins/demo/demo.wasm", import.meta.url));
const SERVICES_FILE = fileURLToPath(new URL("../../wasm-plugins/testing/services.wasm", import.meta.url));
const DEMO = readFileSync(DEMO_FILE);

/** A module of its own: the demo plugin with another description, so with a hash that no node has installed. */
function ownModule(folder: string, name: string): { readonly file: string; readonly sha256: string } {
  const file = join(folder, `${name}.wasm`);
  const bytes = Buffer.concat([DEMO, customSection(name)]);
  writeFileSync(file, bytes);
  return { file, sha256: createHash("sha256").update(bytes).digest("hex") };
}

function customSection(name: string): Buffer {
  const text = Buffer.from(name);
  return Buffer.from([0, text.length + 1, text.length, ...text]);
}

interface Listed {
  readonly modules: readonly { readonly sha256: string; readonly requester: string; readonly running: number }[];
}

const modulesOf = async (node: NodeProcess) => (await get<Listed>(`${node.rest}/v1/modules`)).modules;

/** How often something was counted, by its labels as they are printed. */
async function counted(node: NodeProcess, name: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${node.rest}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line.startsWith(name));
  return Object.fromEntries(lines.map((line) => {
    const space = line.lastIndexOf(" ");
    return [line.slice(name.length, space), Number(line.slice(space + 1))];
  }));
}

const OK = '{outcome="ok"}';
const UPLOADS = "velas_module_uploads_total";

async function start(t: TestScope, plugins: object) {
  const folder = scratch(t);
  const dataDir = join(folder, "provider");
  const [requester, provider] = await Promise.all([
    startNode(t, { dataDir: join(folder, "requester") }),
    startNode(t, { dataDir, config: { plugins } }),
  ]);
  const wasm = (file: string, ...args: string[]) =>
    run(["task", "run", "--url", requester.rest, "--wasm", file, ...args]);
  return { folder, dataDir, requester, provider, wasm };
}

test("a module of one's own is uploaded once to a provider, run by its hash, and brought again after it was evicted", async (t) => {
  const { folder, requester, provider, wasm } = await start(t, {
    acceptModules: true,
    // Room for one of each requester.
    moduleBytesPerRequester: 200 << 10,
  });
  const [one, two] = [ownModule(folder, "one"), ownModule(folder, "two")];
  const at = ["--target", provider.rpc];

  for (const input of ["hello", "again"]) {
    const { code, stdout, stderr } = await wasm(one.file, "--function", "echo", input, ...at);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, input);
  }
  // By `/v1/tasks/run`, too: the input at once.
  const json = await wasm(one.file, "--function", "greet", "hello", "--json", ...at);
  assert.equal((JSON.parse(json.stdout) as { output: string }).output, "world", json.stderr);
  assert.deepEqual(await counted(provider, UPLOADS), { [OK]: 1 });
  assert.deepEqual(await counted(requester, UPLOADS), { [OK]: 1 });
  assert.deepEqual((await modulesOf(provider)).map(({ sha256, requester }) => [sha256, requester]), [
    [one.sha256, requester.nodeId],
  ]);
  const { plugins } = await get<{ plugins: { sha256: string }[] }>(`${requester.rest}/v1/plugins`);
  assert.ok(!plugins.some(({ sha256 }) => sha256 === one.sha256));

  // The second makes the first go at the provider; the requester's own cache has both.
  assert.equal((await wasm(two.file, "--function", "greet", "hello", ...at)).stdout, "world");
  assert.deepEqual((await modulesOf(provider)).map(({ sha256 }) => sha256), [two.sha256]);
  assert.deepEqual(await counted(provider, "velas_module_evictions_total"), { "": 1 });
  const gone = await post(`${provider.rest}/v1/tasks/run`, { plugin: one.sha256, function: "greet", input: "" });
  assert.equal(gone.status, 404);
  assert.match(gone.text, /plugin_not_found.*upload it again|upload it again.*plugin_not_found/);

  const back = await wasm(one.file, "--function", "greet", "hello", "--json", ...at);
  assert.equal((JSON.parse(back.stdout) as { output: string }).output, "world", back.stderr);
  assert.deepEqual(await counted(provider, UPLOADS), { [OK]: 3 });
  assert.deepEqual(await counted(requester, UPLOADS), { [OK]: 2 });

  // Taken away behind the requester's back, who believes that it is there.
  assert.equal((await fetch(`${provider.rest}/v1/modules/${one.sha256}`, { method: "DELETE" })).status, 204);
  const again = await wasm(one.file, "--function", "greet", "hello", "--json", ...at);
  assert.equal((JSON.parse(again.stdout) as { output: string }).output, "world", again.stderr);
  assert.deepEqual(await counted(provider, UPLOADS), { [OK]: 4 });

  // What the owner of the requester uploaded is there after a restart, and is not uploaded again.
  await requester.stop();
  const later = await startNode(t, { dataDir: requester.dataDir });
  const here = await run(["task", "run", "--url", later.rest, "--wasm", two.file, "--function", "greet", "hello"]);
  assert.equal(here.stdout, "world", here.stderr);
  assert.deepEqual(await counted(later, UPLOADS), {});
});

test("a module runs without permissions whatever the operator grants, and a bad one is refused with the reason", async (t) => {
  const { folder, provider, wasm } = await start(t, { acceptModules: true, grants: ["*:kv", "*:clock"] });
  const at = ["--target", provider.rpc];
  const now = await wasm(SERVICES_FILE, "--function", "now", ...at);
  assert.notEqual(now.code, 0);
  assert.match(now.stderr, /clock/);

  const bad = join(folder, "bad.wasm");
  writeFileSync(bad, "no module");
  const { code, stderr } = await wasm(bad, "--function", "greet", ...at);
  assert.equal(code, 8);
  assert.match(stderr, /module/i);
  const own = ownModule(folder, "one");
  const missing = await wasm(own.file, "--function", "absent", ...at);
  assert.equal(missing.code, 4);
  assert.match(missing.stderr, /has no function "absent"/);
});

test("a provider that takes no modules refuses them, runs its operator's, and is not chosen with --any", async (t) => {
  const { folder, dataDir, requester, provider, wasm } = await start(t, {});
  const own = ownModule(folder, "one");
  const refused = await wasm(own.file, "--function", "greet", "--target", provider.rpc);
  assert.equal(refused.code, 5, refused.stderr);
  assert.match(refused.stderr, /takes no modules of requesters \(plugins\.acceptModules\)/);

  // The operator's own use needs no permission, and gives none to others.
  const ran = await run(["task", "run", "--url", provider.rest, "--wasm", own.file, "--function", "greet", "hello"]);
  assert.equal(ran.stdout, "world", ran.stderr);
  const foreign = await post(`${requester.rest}/v1/tasks/run`, {
    plugin: own.sha256,
    function: "greet",
    target: provider.rpc,
  });
  assert.match(foreign.text, /permission_denied/);

  await post(`${requester.rest}/v1/peers`, { target: provider.rpc });
  const nobody = await wasm(own.file, "--function", "greet", "--any");
  assert.equal(nobody.code, 10, nobody.stderr);
  assert.match(nobody.stderr, /take no modules/);

  await provider.stop();
  const open = await startNode(t, { dataDir, config: { plugins: { acceptModules: true } } });
  await post(`${requester.rest}/v1/peers`, { target: open.rpc });
  const node = await get<{ moduleBytes?: number }>(`${open.rest}/v1/node`);
  assert.equal(node.moduleBytes, 32 << 20);
  const chosen = await wasm(own.file, "--function", "greet", "hello", "--any");
  assert.equal(chosen.stdout, "world", chosen.stderr);
});

test("--any goes on to the next provider when one has no room for the module", async (t) => {
  const { folder, provider, requester, wasm } = await start(t, { acceptModules: true });
  // A quota that none of them fits, though the largest module that the node says to take is larger.
  const full = await startNode(t, {
    dataDir: join(folder, "full"),
    config: { plugins: { acceptModules: true, moduleBytesPerRequester: 128 << 10 } },
  });
  for (const { rpc } of [full, provider]) await post(`${requester.rest}/v1/peers`, { target: rpc });
  const refused = await wasm(ownModule(folder, "first").file, "--function", "greet", "hello", "--target", full.rpc);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /plugins\.moduleBytesPerRequester\).*storage_full/);
  // Of two that are alike one is chosen by chance; and the command streams, where a task in JSON does not.
  for (const name of ["a", "b", "c", "d", "e"]) {
    const done = await wasm(ownModule(folder, name).file, "--function", "greet", "hello", "--any");
    assert.equal(done.stdout, "world", done.stderr);
  }
  assert.deepEqual(await modulesOf(full), []);
});

test("two targets verify what a module of one's own gives", async (t) => {
  const { folder, provider, requester, wasm } = await start(t, { acceptModules: true });
  const other = await startNode(t, { dataDir: join(folder, "other"), config: { plugins: { acceptModules: true } } });
  const own = ownModule(folder, "one");
  const targets = [provider.rpc, other.rpc];
  const done = await wasm(own.file, "--function", "greet", "hello", "--verify", "2", "--verify-targets", ...targets);
  assert.equal(done.stdout, "world", done.stderr);
  assert.match(done.stderr, /2 of 2 providers agree/);
  for (const node of [provider, other]) assert.deepEqual(await counted(node, UPLOADS), { [OK]: 1 });
  assert.deepEqual((await modulesOf(requester)).map(({ running }) => running), [0]);
});
