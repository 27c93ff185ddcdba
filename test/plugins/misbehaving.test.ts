import assert from "node:assert/strict";
import type { PluginCall, PluginEvent } from "../../src/core/mod.ts";
import type { Plugins } from "../../src/plugins/mod.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";
import { test } from "../testing.ts";

const MODULES = ["testing/misbehaving"];

function run(host: Plugins, fn: string, parts: Partial<PluginCall> = {}) {
  return host.execute(pluginCall(fn, "", { plugin: "misbehaving", ...parts }));
}

/** What `count` answers: how often the instance that takes the next call was called. One worker, so there is one instance. */
async function count(host: Plugins): Promise<string> {
  return text((await run(host, "count")).output);
}

test("an instance is kept from call to call", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  assert.equal(await count(host), "1");
  assert.equal(await count(host), "2");
});

for (
  const fn of [
    "trap",
    "divide",
    "wild",
    "recurse",
    "load_wild",
    "store_wild",
    "output_wild",
    "output_4gib",
    "error_wild",
  ]
) {
  test(`a plugin that traps (${fn}) fails its call, and the next call has a new instance`, async (t) => {
    const host = await openHost(t, { modules: MODULES, workers: 1 });
    assert.equal(await count(host), "1");
    await assert.rejects(run(host, fn), hasCode("plugin_trapped"));
    assert.equal(await count(host), "1");
  });
}

test("a plugin that grows its memory without end is stopped at the task's limit", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  await assert.rejects(run(host, "grow"), hasCode("memory_exceeded", /67108864/));
  const atMost = { limits: limits({ memoryBytes: 10 * 65_536 + 65_535 }) };
  assert.equal((await run(host, "grown", atMost)).output.length, 10);
  assert.equal((await run(host, "grown", { limits: limits({ memoryBytes: 65_536 }) })).output.length, 1);
  await assert.rejects(
    run(host, "grown", { limits: limits({ memoryBytes: 65_535 }) }),
    hasCode("memory_exceeded", /65536/),
  );
});

for (const fn of ["hoard", "hoard_none", "allocate_4gib", "allocate_all", "vars"]) {
  test(`a plugin cannot fill the host's memory (${fn})`, async (t) => {
    const host = await openHost(t, { modules: MODULES, workers: 1 });
    await assert.rejects(run(host, fn), hasCode("memory_exceeded"));
    assert.equal(await count(host), "1");
  });
}

test("a table cannot grow without end", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  assert.equal((await run(host, "table_grow")).output.length, 60_001);
});

test("output without end is stopped at the limit, streamed or not", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  await assert.rejects(run(host, "stream_on"), hasCode("output_too_large"));
  let received = 0;
  const onEvent = (event: PluginEvent): void => void (received += event.type === "chunk" ? event.bytes.length : 0);
  const call = { streamOutput: true, onEvent, limits: limits({ outputBytes: 1 << 20 }) };
  await assert.rejects(run(host, "stream_on", call), hasCode("output_too_large"));
  assert.equal(received, 1 << 20);
});

test("a flood of log lines is cut after 1000 lines, with a word about it", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  const events: PluginEvent[] = [];
  await run(host, "flood", { onEvent: (event) => void events.push(event) });
  assert.equal(events.length, 1001);
  const last = events.at(-1)!;
  assert(last.type === "log");
  assert.equal(last.level, "warn");
  assert.match(last.message, /cut/);
});

test("a flood of progress is cut, and a fraction that is no number is 0", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  const events: PluginEvent[] = [];
  await run(host, "flood_progress", { onEvent: (event) => void events.push(event) });
  assert.equal(events.length, 1000);
  assert(events.every((event) => event.type === "progress" && event.fraction === 0));
});

test("a long error is cut", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  await assert.rejects(run(host, "long_error"), (error: Error) => {
    assert.equal(error.message.length, 4096);
    return hasCode("plugin_failed")(error);
  });
});

test("an error that is followed by a trap is the plugin's own error", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  await assert.rejects(run(host, "error_and_trap"), hasCode("plugin_failed", /^no$/));
});

test("a plugin has no network", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  await assert.rejects(run(host, "http"), hasCode("permission_denied", /http_request/));
});

test("freeing what is no block, or forging one's length, does no harm", async (t) => {
  const host = await openHost(t, { modules: MODULES, workers: 1 });
  await run(host, "free_wild");
  const events: PluginEvent[] = [];
  await run(host, "forge", { onEvent: (event) => void events.push(event) });
  assert.deepEqual(events.map((event) => event.type === "log" && event.message), [""]);
  assert.equal(await count(host), "1");
});

test("a call that talks to the host is canceled without losing its worker", async (t) => {
  const restarts: unknown[] = [];
  const nothing = { add() {}, set() {}, observe() {} };
  const metrics = {
    counter: (name: string) => name.includes("restarts") ? { add: () => void restarts.push(name) } : nothing,
    gauge: () => nothing,
    histogram: () => nothing,
  };
  const host = await openHost(t, { modules: MODULES, workers: 1, metrics });
  const controller = new AbortController();
  const call = { signal: controller.signal, onEvent: () => controller.abort() };
  await assert.rejects(run(host, "talk_on", call), hasCode("canceled"));
  assert.equal(await count(host), "1");
  assert.deepEqual(restarts, []);
});

test("a receiver of events that throws fails its own call only", async (t) => {
  const host = await openHost(t, { modules: ["testing/contract"], workers: 1 });
  const onEvent = (): never => {
    throw new Error("full");
  };
  await assert.rejects(host.execute(pluginCall("chatter", "", { onEvent })), hasCode("internal"));
  const rejecting = () => Promise.reject(new Error("full"));
  await assert.rejects(
    host.execute(pluginCall("endless", "", { onEvent: rejecting, limits: limits({ timeoutMs: 200 }) })),
  );
  assert.equal(text((await host.execute(pluginCall("echo", "on"))).output), "on");
});
