import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { currentRequestId, inRequest, isGrant, NodeError, OutboundRules } from "../../src/core/mod.ts";
import type { PluginCall, RequesterId } from "../../src/core/mod.ts";
import type { Asker } from "../../src/plugins/asker.ts";
import { packPlugin, pluginFiles } from "../../src/plugins/mod.ts";
import type { PluginHostOptions, Plugins } from "../../src/plugins/mod.ts";
import { REQUEST_ID } from "../../src/rpc/calls.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost, scratchFolder, wasm } from "./host-fixture.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

const SELF = "0x52908400098527886E0F7030069857D2E4169EE7" as RequesterId;
const ALL = ["services:kv", "*:clock", "services:files.read", "services:files.write", "other:kv"];

/** A host with the plugin `services`, which needs what it is said to. */
async function open(
  t: TestScope,
  { needs = ["kv", "clock", "files.read", "files.write"], ...options }: Partial<PluginHostOptions> & {
    needs?: string[];
  },
): Promise<Plugins> {
  const host = await openHost(t, { workers: 1, ...options });
  const functions = [
    "random",
    "now",
    "swap",
    "forget",
    "size",
    "middle",
    "write",
    "fetch",
    "headers",
    "status",
    "patient",
  ]
    .map((name) => ({ name }));
  const manifest = JSON.stringify({ name: "services", version: "1.0.0", functions, needs });
  await host.installBytes(packPlugin(wasm("testing/services"), new TextEncoder().encode(manifest)));
  return host;
}

const run = async (host: Plugins, fn: string, input = "", parts: Partial<PluginCall> = {}): Promise<Uint8Array> =>
  (await host.execute(pluginCall(fn, input, { plugin: "services", ...parts }))).output;
const number = (bytes: Uint8Array): number => Number(new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true));

test("what the manifest does not need, or nobody grants, is refused and named", async (t) => {
  const without = await open(t, { grants: [] });
  const unneeded = await open(t, { grants: ALL, needs: [] });
  for (const host of [without, unneeded]) {
    await assert.rejects(run(host, "now"), hasCode("permission_denied", /services:clock/));
    await assert.rejects(run(host, "swap", "x"), hasCode("permission_denied", /services:kv/));
    await assert.rejects(run(host, "size", "x"), hasCode("permission_denied", /files\.read/));
    await assert.rejects(run(host, "write", "x"), hasCode("permission_denied", /files\.write/));
    await assert.rejects(
      run(host, "fetch", '{"url":"http://example.com/"}'),
      hasCode("permission_denied", /no host is granted/),
    );
  }
  await assert.rejects(open(t, { needs: ["root"] }), hasCode("module_invalid", /"root"/));
});

test("grants name a plugin or all, and a permission", () => {
  for (const grant of ["a:kv", "*:clock", "a.b-c:files.read", "w:http:api.example.org", "w:http:10.0.0.1:8080"]) {
    assert(isGrant(grant), grant);
  }
  for (const grant of ["", "kv", ":kv", "a:", "a:root", "a b:kv", "a:http:", "a:http://x", "a:http:*"]) {
    assert(!isGrant(grant), grant);
  }
});

test("random numbers depend on the input alone", async (t) => {
  const host = await open(t, {});
  const first = await run(host, "random", "a");
  assert.equal(first.length, 16);
  assert.deepEqual(await run(host, "random", "a"), first);
  assert.notDeepEqual(await run(host, "random", "b"), first);
  assert.deepEqual(await run(await open(t, {}), "random", "a"), first);
});

test("the clock is the node's", async (t) => {
  const host = await open(t, { grants: ALL, clock: { now: () => 1_767_225_600_123 } });
  assert.equal(number(await run(host, "now")), 1_767_225_600_123);
});

test("a call that used the clock, values, files or HTTP says so; one that could have and did not says nothing", async (t) => {
  const files = pluginFiles(new MemoryFiles(() => 1_767_225_600_000), SELF);
  const host = await open(t, { grants: ALL, files: () => files });
  const causes = async (fn: string, input = "") =>
    (await host.execute(pluginCall(fn, input, { plugin: "services", requester: SELF }))).nondeterministic;
  assert.deepEqual(await causes("now"), ["clock"]);
  assert.deepEqual(await causes("swap", "one"), ["kv"]);
  assert.deepEqual(await causes("size", "a"), ["files.read"]);
  assert.equal(await causes("random"), undefined);
  assert.deepEqual(await causes("now"), ["clock"], "each call is told apart, on one instance");
});

test("values stay from call to call and over a restart, for their plugin only, within the quota", async (t) => {
  const folder = await scratchFolder(t);
  const first = await open(t, { folder, grants: ALL, kvQuotaBytes: 4096 });
  assert.equal(text(await run(first, "swap", "one")), "");
  assert.equal(text(await run(first, "swap", "two")), "one");
  await first.close();
  const second = await open(t, { folder, grants: ALL, kvQuotaBytes: 4096 });
  assert.equal(text(await run(second, "swap", "x".repeat(3072))), "two");
  await assert.rejects(run(second, "swap", "x".repeat(3073)), hasCode("storage_full", /4096/));
  assert.equal((await run(second, "swap", "")).length, 3072);
  const other = JSON.stringify({ name: "other", version: "1.0.0", functions: [{ name: "swap" }], needs: ["kv"] });
  await second.installBytes(packPlugin(wasm("testing/services"), new TextEncoder().encode(other)));
  assert.equal(text(await run(second, "swap", "mine", { plugin: "other" })), "", "a value of services is not there");
  assert.equal(text(await run(second, "swap", "of services")), "");
  assert.equal(text(await run(second, "swap", "", { plugin: "other" })), "mine");
  await run(second, "forget");
  assert.equal(text(await run(second, "swap", "again")), "");
});

test("files are there for the node's own tasks, part by part", async (t) => {
  const files = new MemoryFiles(() => 1_767_225_600_000);
  const host = await open(t, { grants: ALL, files: () => pluginFiles(files, SELF) });
  const own = { requester: SELF };
  assert.equal(number(await run(host, "size", "abcdef", own)), -1);
  assert.equal((await run(host, "middle", "abcdef", own)).length, 0);
  await run(host, "write", "abcdef", own);
  assert.equal(number(await run(host, "size", "abcdef", own)), 6);
  assert.equal(text(await run(host, "middle", "abcdef", own)), "cde");
  for (const parts of [{}, { requester: "anonymous" as RequesterId }]) {
    await assert.rejects(run(host, "size", "abcdef", parts), hasCode("permission_denied", /own tasks only/));
    await assert.rejects(run(host, "write", "abcdef", parts), hasCode("permission_denied"));
  }
  const none = await open(t, { grants: ALL });
  await assert.rejects(run(none, "size", "x", own), hasCode("failed_precondition"));
});

test("calls for a plugin's files bear an id that other nodes take over", async () => {
  const files = new MemoryFiles(() => 1_767_225_600_000);
  const ids: string[] = [];
  files.stat = (_ref, { requestId }) => {
    ids.push(requestId);
    return Promise.reject(new NodeError("not_found", "no such file"));
  };
  const asker = { plugin: "my.plugin-1_x", granted: new Set<string>(), requester: SELF };
  await pluginFiles(files, SELF).size("a", { ...asker, signal: new AbortController().signal } as Asker);
  assert.deepEqual(ids, ["plugin:my.plugin-1_x"]);
  assert.match(ids[0]!, REQUEST_ID);
});

test("what a plugin asks for is asked for in the call that it runs for, whichever call started its worker", async (t) => {
  const asked: [string, string | undefined][] = [];
  const host = await open(t, {
    grants: ALL,
    files: () => ({
      size: (name) => {
        asked.push([name, currentRequestId()]);
        return Promise.resolve(undefined);
      },
      read: () => Promise.resolve(undefined),
      write: () => Promise.resolve(),
    }),
  });
  await inRequest("first", () => run(host, "size", "one"));
  await inRequest("second", () => run(host, "size", "two"));
  await Promise.all(["third", "fourth"].map((name) => inRequest(name, () => run(host, "size", name))));
  await run(host, "size", "none");
  assert.deepEqual(asked.toSorted(), [
    ["fourth", "fourth"],
    ["none", undefined],
    ["one", "first"],
    ["third", "third"],
    ["two", "second"],
  ]);
});

test("a granted host is reached, with status, headers and body; others are not", async (t) => {
  const server = createServer((request, response) => {
    // Where /away leads is no host that is granted.
    const away = request.url === "/away" ? { location: `http://127.0.0.2:${port}/a` } : {};
    response.writeHead(request.url === "/teapot" ? 418 : "location" in away ? 302 : 200, { "x-from": "test", ...away });
    response.end(`${request.method} ${request.url} ${request.headers["x-own"] ?? ""} ${request.headers["host"]}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const needs = [`http:127.0.0.1:${port}`, `http:localhost:${port}`];
  const host = await open(t, { needs, grants: needs.map((need) => `services:${need}`) });
  const request = (path: string, name = "127.0.0.1") =>
    JSON.stringify({
      url: `http://${name}:${port}${path}`,
      method: "get",
      headers: { "x-own": "yes", host: "elsewhere" },
    });
  assert.equal(text(await run(host, "fetch", request("/a"))), `GET /a yes 127.0.0.1:${port}`);
  assert.equal(number(await run(host, "status", request("/teapot"))), 418);
  assert.equal(number(await run(host, "status", request("/away"))), 302, "a redirect is told and not followed");
  await assert.rejects(
    run(host, "status", request("/a", "127.0.0.2")),
    hasCode("permission_denied", /services:http:127\.0\.0\.2/),
  );
  assert.equal(JSON.parse(text(await run(host, "headers", request("/a"))))["x-from"], "test");
  // The operator named this address; a name that leads there is another matter.
  await assert.rejects(run(host, "fetch", request("/a", "localhost")), hasCode("permission_denied", /leads to/));
  const outbound = new OutboundRules(["127.0.0.0/8", "::1"]);
  const local = await open(t, { needs, grants: needs.map((need) => `services:${need}`), outbound });
  assert.equal(number(await run(local, "status", request("/teapot", "localhost"))), 418);
  await assert.rejects(run(host, "fetch", '{"url":"http://127.0.0.1:1/"}'), hasCode("permission_denied"));
  for (const bad of ["", "{}", '{"url":"file:///etc/passwd"}', '{"url":"http://x/","method":"CONNECT"}']) {
    await assert.rejects(run(host, "fetch", bad), hasCode("invalid_argument"), bad);
  }
});

test("headers of a plugin that hold line ends or what is no text of a header are refused, and nothing is sent", async (t) => {
  let asked = 0;
  const server = createServer((_, response) => {
    asked++;
    response.end("hello");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const need = `http:127.0.0.1:${(server.address() as AddressInfo).port}`;
  const host = await open(t, { needs: [need], grants: [`services:${need}`] });
  const request = (headers: unknown) => JSON.stringify({ url: need.replace(":", "://"), headers });
  for (
    const [name, value] of [
      ["x-own", "a\r\nx-evil: 1"],
      ["x-own", "a\nx-evil: 1"],
      ["x-own", "a\r"],
      ["x-own", "\u0000"],
      ["x-own", "\u202Eabc"],
      ["x-own", "a\u0085b"],
      ["x-own", "x".repeat(4097)],
      ["x-own\r\nx-evil", "1"],
      ["x own", "1"],
      ["", "1"],
      ["x".repeat(65), "1"],
    ] as const
  ) {
    await assert.rejects(
      run(host, "fetch", request({ [name]: value })),
      hasCode("invalid_argument"),
      `${name} ${value}`,
    );
  }
  assert.equal(asked, 0);
  assert.equal(
    text(await run(host, "fetch", request({ ["x".repeat(64)]: "x".repeat(4096), "x-tab": "a\tb" }))),
    "hello",
  );
});

test("a plugin that waits for the node is canceled, and its worker goes on", async (t) => {
  const controller = new AbortController();
  const stuck = {
    size: () => new Promise<never>(() => {}),
    read: () => Promise.resolve(undefined),
    write: async () => {},
  };
  const host = await open(t, { grants: ALL, files: () => stuck });
  const call = run(host, "size", "x", { signal: controller.signal });
  setTimeout(() => controller.abort(), 30);
  await assert.rejects(call, hasCode("canceled"));
  assert.equal((await run(host, "random")).length, 16);
});

test("a plugin that waits for the node ends when its time is over", async (t) => {
  const stuck = {
    size: () => new Promise<never>(() => {}),
    read: () => Promise.resolve(undefined),
    write: async () => {},
  };
  const host = await open(t, { grants: ALL, files: () => stuck });
  await assert.rejects(run(host, "size", "x", { limits: limits({ timeoutMs: 100 }) }), hasCode("deadline_exceeded"));
  assert.equal((await run(host, "random")).length, 16);
});

test("a plugin can ask whether anybody still waits, and end by itself", async (t) => {
  const controller = new AbortController();
  const host = await open(t, {});
  const call = run(host, "patient", "", { signal: controller.signal });
  setTimeout(() => controller.abort(), 30);
  await assert.rejects(call, hasCode("canceled"));
});
