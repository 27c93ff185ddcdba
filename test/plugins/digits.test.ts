import assert from "node:assert/strict";
import type { RequesterId } from "../../src/core/mod.ts";
import { pluginFiles } from "../../src/plugins/mod.ts";
import {
  base64,
  classify,
  digitsContract,
  HELD_OUT,
  HELD_OUT_PIXELS,
  modelFile,
  type RunDigits,
} from "../contract-suites/digits.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import { hasCode, limits, pluginCall } from "../contract-suites/plugin-host.ts";
import { openHost } from "./host-fixture.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

const SELF = "0x52908400098527886E0F7030069857D2E4169EE7" as RequesterId;

async function open(t: TestScope): Promise<RunDigits> {
  const stored = pluginFiles(new MemoryFiles(() => 1_767_225_600_000), SELF);
  const asker = { requester: SELF, plugin: "digits", granted: new Set<string>(), signal: new AbortController().signal };
  await stored.write("odd-even.onnx", modelFile("odd-even.onnx"), asker);
  const host = await openHost(t, {
    modules: ["digits/digits"],
    workers: 1,
    grants: ["digits:files.read"],
    files: () => stored,
  });
  return (fn, input) => host.execute(pluginCall(fn, input, { plugin: "digits", requester: SELF }));
}

digitsContract("digits in WASM", open);

// The module, its input and the cost table decide the count alone, so these hold on both runtimes and every machine.
test("digits in WASM: counts the same instructions in every fresh instance", async (t) => {
  const counts = await Promise.all([1, 2].map(async () => {
    const run = await open(t);
    const one = (await run("classify", HELD_OUT_PIXELS.subarray(0, 64))).usage.instructions;
    const all = (await run("evaluate", HELD_OUT)).usage.instructions;
    return [one, all];
  }));
  assert.deepEqual(counts[0], counts[1]);
  console.log(`one image: ${counts[0]![0]} instructions; 360 images: ${counts[0]![1]}`);
});

test("digits in WASM: stops when its budget is over, and goes on", async (t) => {
  const host = await openHost(t, { modules: ["digits/digits"], workers: 1 });
  const call = (instructions: number) =>
    host.execute(pluginCall("evaluate", HELD_OUT, { plugin: "digits", limits: limits({ instructions }) }));
  const { usage } = await call(1e12);
  await assert.rejects(call(Math.floor(usage.instructions / 2)), hasCode("budget_exceeded"));
  assert.equal((await call(1e12)).usage.instructions, usage.instructions);
});

test("digits in WASM: reads stored files only where the operator grants it", async (t) => {
  const host = await openHost(t, { modules: ["digits/digits"], workers: 1, grants: [] });
  const run: RunDigits = (fn, input) => host.execute(pluginCall(fn, input, { plugin: "digits", requester: SELF }));
  const images = base64(HELD_OUT_PIXELS.subarray(0, 64));
  await assert.rejects(run("classify", JSON.stringify({ images, model: "a" })), hasCode("permission_denied"));
  assert.equal((await classify(run, JSON.stringify({ images }))).classes.length, 1);
});
