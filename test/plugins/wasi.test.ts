import assert from "node:assert/strict";
import type { PluginEvent } from "../../src/core/mod.ts";
import { hasCode, pluginCall } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";
import { test } from "../testing.ts";

const probe = async (host: Awaited<ReturnType<typeof openHost>>, input = ""): Promise<bigint[]> => {
  const { output } = await host.execute(pluginCall("probe", input, { plugin: "wasi" }));
  return Array.from({ length: 7 }, (_, i) => new DataView(output.buffer, output.byteOffset).getBigUint64(i * 8, true));
};

test("WASI gives a virtual clock, seeded random numbers and nothing else", async (t) => {
  const host = await openHost(t, { modules: ["testing/wasi"], workers: 1 });
  const [first, second, afterSleep, random, opened, written, environment] = await probe(host);
  assert.equal(first, 1_000n);
  assert.equal(second, 2_000n);
  assert.equal(afterSleep, 2_000n + 3_600_000_000_000n + 1_000n);
  assert.notEqual(random, 0n);
  assert.equal(opened, 8n); // no such descriptor
  assert.equal(written, 8n);
  assert.equal(environment, 0n);

  const elsewhere = await openHost(t, { modules: ["testing/wasi"], workers: 1 });
  assert.equal((await probe(elsewhere))[3], random);
  // Each call draws anew from its own input.
  assert.equal((await probe(elsewhere))[3], random);
  assert.notEqual((await probe(elsewhere, "other"))[3], random);
});

test("what a plugin prints becomes log lines, the last one also without an end of line", async (t) => {
  const host = await openHost(t, { modules: ["testing/wasi"], workers: 1 });
  const events: PluginEvent[] = [];
  await host.execute(pluginCall("print", "", { plugin: "wasi", onEvent: (event) => void events.push(event) }));
  assert.deepEqual(events.map((event) => event.type === "log" && `${event.level} ${event.message}`), [
    "info first",
    "info second",
    "info last",
  ]);
});

test("a plugin that exits fails its call", async (t) => {
  const host = await openHost(t, { modules: ["testing/wasi"], workers: 1 });
  await assert.rejects(host.execute(pluginCall("exit", "", { plugin: "wasi" })), hasCode("plugin_trapped", /code 3/));
  await host.execute(pluginCall("print", "", { plugin: "wasi" }));
});
