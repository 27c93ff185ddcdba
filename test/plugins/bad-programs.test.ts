import assert from "node:assert/strict";
import type { PluginEvent } from "../../src/core/mod.ts";
import type { Plugins } from "../../src/plugins/mod.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";
import { program } from "./program.ts";
import { test, type TestScope } from "../testing.ts";

/** A host that runs a bad program beside a good one. */
async function open(t: TestScope, { fault = "", startTimeoutMs = 60_000 } = {}): Promise<Plugins> {
  const external = [
    { name: "bad", command: program("bad-program.ts", fault), protocol: "velas" as const, startTimeoutMs },
    { name: "good", command: program("contract-program.ts"), protocol: "velas" as const },
  ];
  const host = await openHost(t, { external });
  await ready(host, "good");
  return host;
}

async function ready(host: Plugins, name: string): Promise<void> {
  while (!host.get(name).ready) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The node lives: the program beside it answers, and so does a WASM plugin. */
async function unharmed(host: Plugins): Promise<void> {
  assert.equal(text((await host.execute(pluginCall("echo", "on", { plugin: "good" }))).output), "on");
  assert.equal(text((await host.execute(pluginCall("greet", "hello", { plugin: "demo" }))).output), "world");
}

const bad = (fn: string, parts: Parameters<typeof pluginCall>[2] = {}) =>
  pluginCall(fn, "", { plugin: "bad", ...parts });

test("a program that is killed in a call makes it plugin_unavailable, and runs again", async (t) => {
  const host = await open(t);
  await ready(host, "bad");
  await assert.rejects(host.execute(bad("crash")), hasCode("plugin_unavailable"));
  await unharmed(host);
  await ready(host, "bad");
  assert.equal(text((await host.execute(bad("fine"))).output), "fine");
});

test("a program that hangs at its handshake is stopped, and its calls are plugin_unavailable", async (t) => {
  const host = await open(t, { fault: "silent", startTimeoutMs: 1000 });
  await unharmed(host);
  await assert.rejects(host.execute(bad("fine")), hasCode("plugin_unavailable"));
  await unharmed(host);
});

test("a program that answers after the deadline has lost its call by then, and takes the next", async (t) => {
  const host = await open(t);
  await ready(host, "bad");
  await assert.rejects(
    host.execute(bad("late", { limits: limits({ timeoutMs: 200 }) })),
    hasCode("deadline_exceeded", /200 ms/),
  );
  await unharmed(host);
  assert.equal(text((await host.execute(bad("fine"))).output), "fine");
});

test("a program that sends malformed protobuf fails its call as plugin_failed", async (t) => {
  const host = await open(t, { fault: "malformed" });
  await ready(host, "bad");
  await assert.rejects(host.execute(bad("fine")), hasCode("plugin_failed", /protocol/));
  await unharmed(host);
});

test("a program whose output has no end is stopped at the limit, streamed or not", async (t) => {
  const host = await open(t);
  await ready(host, "bad");
  await assert.rejects(host.execute(bad("large")), hasCode("output_too_large"));
  let received = 0;
  const onEvent = (event: PluginEvent): void => void (received += event.type === "chunk" ? event.bytes.length : 0);
  await assert.rejects(
    host.execute(bad("large", { streamOutput: true, onEvent, limits: limits({ outputBytes: 3 << 20 }) })),
    hasCode("output_too_large"),
  );
  assert(received <= 3 << 20, `${received}`);
  await unharmed(host);
});

test("a program that floods the task's log and its own output is cut, and its call ends well", async (t) => {
  const host = await open(t);
  await ready(host, "bad");
  const lines: string[] = [];
  const onEvent = (event: PluginEvent): void => void (event.type === "log" && lines.push(event.message));
  const { output } = await host.execute(bad("flood", { onEvent, limits: limits({ timeoutMs: 300_000 }) }));
  assert.equal(text(output), "done");
  assert(lines.length <= 1001, `${lines.length}`);
  assert.match(lines.at(-1)!, /The log is cut here/);
  await unharmed(host);
});
