import assert from "node:assert/strict";
import type { PluginCall } from "../../src/core/mod.ts";
import type { Plugins } from "../../src/plugins/mod.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";
import { test } from "../testing.ts";

/** A host whose worker restarts are counted. */
async function counting(t: Parameters<typeof openHost>[0]): Promise<{ host: Plugins; restarts: string[] }> {
  const restarts: string[] = [];
  const nothing = { add() {}, set() {}, observe() {} };
  const metrics = {
    counter: (name: string) => name.includes("restarts") ? { add: () => void restarts.push(name) } : nothing,
    gauge: () => nothing,
    histogram: () => nothing,
  };
  return { host: await openHost(t, { modules: ["testing/misbehaving"], workers: 1, metrics }), restarts };
}

const misbehave = (host: Plugins, fn: string, instructions: number, parts: Partial<PluginCall> = {}) =>
  host.execute(pluginCall(fn, "", { plugin: "misbehaving", limits: limits({ instructions }), ...parts }));

test("a plugin that loops or talks without end stops on its budget, and its worker goes on", async (t) => {
  const { host, restarts } = await counting(t);
  await assert.rejects(misbehave(host, "loop", 10_000_000), hasCode("budget_exceeded", /10000000 instructions/));
  assert.equal(text((await misbehave(host, "count", 1000)).output), "1");
  await assert.rejects(misbehave(host, "talk_on", 1_000_000), hasCode("budget_exceeded"));
  assert.deepEqual(restarts, []);
});

test("a recursion without end stops at the same depth, as a trap", async (t) => {
  const { host, restarts } = await counting(t);
  await assert.rejects(misbehave(host, "recurse", 1e12), hasCode("plugin_trapped", /too deeply/));
  assert.deepEqual(restarts, []);
});

test("the same call counts the same, with or without a reader of its log", async (t) => {
  const host = await openHost(t, { modules: ["testing/contract"] });
  const count = async (parts: Partial<PluginCall> = {}) =>
    (await host.execute(pluginCall("chatter", "", parts))).usage.instructions;
  const first = await count();
  assert(first > 1000);
  assert.equal(await count(), first);
  assert.equal(await count({ onEvent: () => {} }), first);
});

test("a budget of what a call counts is enough, one less is not", async (t) => {
  const host = await openHost(t, { modules: ["testing/contract"] });
  const call = (instructions: number) =>
    host.execute(pluginCall("echo", "words", { limits: limits({ instructions }) }));
  const { usage: { instructions } } = await call(1e9);
  assert.equal((await call(instructions)).usage.instructions, instructions);
  await assert.rejects(call(instructions - 1), hasCode("budget_exceeded"));
});
