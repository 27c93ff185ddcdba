import assert from "node:assert/strict";
import type { RequesterId } from "../../src/core/mod.ts";
import { pluginFiles } from "../../src/plugins/mod.ts";
import { MemoryFiles } from "../contract-suites/memory-files.ts";
import { hasCode, limits, pluginCall } from "../contract-suites/plugin-host.ts";
import {
  HELD_OUT_JSON,
  HELD_OUT_TEXTS,
  language,
  type RunTexts,
  textModel,
  textsContract,
} from "../contract-suites/texts.ts";
import { openHost } from "./host-fixture.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

const SELF = "0x52908400098527886E0F7030069857D2E4169EE7" as RequesterId;

async function open(t: TestScope): Promise<RunTexts> {
  const stored = pluginFiles(new MemoryFiles(() => 1_767_225_600_000), SELF);
  const asker = { requester: SELF, plugin: "text", granted: new Set<string>(), signal: new AbortController().signal };
  await stored.write("romance.onnx", textModel("romance.onnx"), asker);
  const host = await openHost(t, {
    modules: ["text/text"],
    workers: 1,
    grants: ["text:files.read"],
    files: () => stored,
  });
  return (fn, input) => host.execute(pluginCall(fn, input, { plugin: "text", requester: SELF }));
}

textsContract("text in WASM", open);

// The module, its input and the cost table decide the count alone, so these hold on both runtimes and every machine.
test("text in WASM: counts the same instructions in every fresh instance", async (t) => {
  const counts = await Promise.all([1, 2].map(async () => {
    const run = await open(t);
    const one = (await run("language", HELD_OUT_TEXTS[0]!)).usage.instructions;
    const all = (await run("evaluate", HELD_OUT_JSON)).usage.instructions;
    return [one, all];
  }));
  assert.deepEqual(counts[0], counts[1]);
  console.log(`one text: ${counts[0]![0]} instructions; 400 texts: ${counts[0]![1]}`);
});

test("text in WASM: stops when its budget is over, and goes on", async (t) => {
  const host = await openHost(t, { modules: ["text/text"], workers: 1 });
  const call = (instructions: number) =>
    host.execute(pluginCall("evaluate", HELD_OUT_JSON, { plugin: "text", limits: limits({ instructions }) }));
  const { usage } = await call(1e12);
  await assert.rejects(call(Math.floor(usage.instructions / 2)), hasCode("budget_exceeded"));
  assert.equal((await call(1e12)).usage.instructions, usage.instructions);
});

test("text in WASM: reads stored files only where the operator grants it", async (t) => {
  const host = await openHost(t, { modules: ["text/text"], workers: 1, grants: [] });
  const run: RunTexts = (fn, input) => host.execute(pluginCall(fn, input, { plugin: "text", requester: SELF }));
  const texts = ["Guten Morgen, meine Damen und Herren"];
  await assert.rejects(run("language", JSON.stringify({ texts, model: "a" })), hasCode("permission_denied"));
  assert.equal((await language(run, JSON.stringify({ texts })))[0]!.language, "deu");
});
