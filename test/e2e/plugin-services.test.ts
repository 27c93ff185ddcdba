/** What WASM plugins may ask of a node, through tasks of a running one: files, a store of their own, random numbers and HTTP. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { packPlugin } from "../../src/plugins/mod.ts";
import { wasm } from "../plugins/host-fixture.ts";
import { test, type TestScope } from "../testing.ts";
import { type NodeProcess, post, scratch, startNode } from "./harness.ts";

const NEEDS = ["kv", "files.read", "files.write"];
const FUNCTIONS = ["random", "swap", "size", "write", "fetch"];

/** A node with the plugin, and the provider that keeps its files. */
async function start(t: TestScope, grants: readonly string[]) {
  const folder = scratch(t);
  const provider = await startNode(t, { dataDir: join(folder, "provider") });
  const options = {
    dataDir: join(folder, "owner"),
    config: {
      requester: { providers: [provider.rpc] },
      files: { policy: "1+0" },
      node: { allowNetworks: ["127.0.0.0/8"] },
      plugins: { grants: grants.map((permission) => `services:${permission}`) },
    },
  };
  const owner = await startNode(t, options);
  const needs = [...new Set([...NEEDS, ...grants])];
  const manifest = { name: "services", version: "1.0.0", functions: FUNCTIONS.map((name) => ({ name })), needs };
  const body = packPlugin(wasm("testing/services"), new TextEncoder().encode(JSON.stringify(manifest)));
  const headers = { "content-type": "application/wasm" };
  const installed = await fetch(`${owner.rest}/v1/plugins`, { method: "POST", headers, body: body as BodyInit });
  assert.equal(installed.status, 201, await installed.text());
  return { owner, provider, options };
}

async function run({ rest }: NodeProcess, fn: string, body: string): Promise<string> {
  const answer = await fetch(`${rest}/v1/run/services/${fn}`, { method: "POST", body });
  const bytes = Buffer.from(await answer.arrayBuffer()).toString("latin1");
  assert.equal(answer.status, 200, bytes);
  return bytes;
}

async function refused({ rest }: NodeProcess, task: Record<string, string>, why: RegExp): Promise<void> {
  const { status, text } = await post(`${rest}/v1/tasks/run`, { plugin: "services", ...task });
  assert.equal(status, 403, text);
  assert.match(text, why);
}

test("a plugin writes a file, which its owner reads and nobody else", async (t) => {
  const { owner, provider } = await start(t, ["files.read", "files.write"]);
  await run(owner, "write", "notes.txt");
  const file = `${owner.rest}/v1/files/notes.txt`;
  assert.equal(await (await fetch(file)).text(), "notes.txt");
  assert.equal((await fetch(`${provider.rest}/v1/files/notes.txt`)).status, 404);
  const there = { target: owner.rpc };
  await refused(provider, { ...there, function: "size", input: "notes.txt" }, /own tasks only/);
  await refused(provider, { ...there, function: "write", input: "notes.txt" }, /own tasks only/);
  assert.equal(await (await fetch(file)).text(), "notes.txt");
});

test("what is not granted is refused with the setting that grants it, and leaves nothing", async (t) => {
  const { owner } = await start(t, []);
  await refused(owner, { function: "write", input: "notes.txt" }, /plugins\.grants.*services:files\.write/);
  assert.equal((await fetch(`${owner.rest}/v1/files/notes.txt`)).status, 404);
  await refused(owner, { function: "swap", input: "a" }, /plugins\.grants.*services:kv/);
  await refused(owner, { function: "fetch", input: '{"url":"http://example.com/"}' }, /plugins\.grants.*services:http/);
});

test("what a plugin keeps is there after a restart, and its random numbers are those of the input", async (t) => {
  const { owner, options } = await start(t, ["kv"]);
  assert.equal(await run(owner, "swap", "first"), "");
  assert.equal(await run(owner, "swap", "second"), "first");
  const random = await run(owner, "random", "seed");
  await owner.stop();
  const again = await startNode(t, options);
  assert.equal(await run(again, "swap", "third"), "second");
  assert.equal(await run(again, "random", "seed"), random);
  assert.notEqual(await run(again, "random", "other"), random);
});

test("a plugin reaches the hosts that are granted to it, and no others", async (t) => {
  const server = createServer((_, response) => response.end("hello from there"));
  t.after(() => void server.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { owner } = await start(t, [`http:127.0.0.1:${port}`]);
  assert.equal(await run(owner, "fetch", JSON.stringify({ url: `http://127.0.0.1:${port}/` })), "hello from there");
  const elsewhere = JSON.stringify({ url: owner.rest });
  await refused(owner, { function: "fetch", input: elsewhere }, /plugins\.grants/);
});
