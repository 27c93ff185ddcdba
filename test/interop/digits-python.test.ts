import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import type { Plugins } from "../../src/plugins/mod.ts";
import {
  assertClose,
  base64,
  classify,
  digitsContract,
  HELD_OUT,
  HELD_OUT_PIXELS,
  modelFile,
  noise,
  type RunDigits,
} from "../contract-suites/digits.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { openPython } from "./python-plugin.ts";

const MODELS = fileURLToPath(new URL("../../wasm-plugins/digits/model/", import.meta.url));
const open = (t: TestScope, ...options: string[]) => openPython(t, "digits-python", { options });

const runner = (host: Plugins, plugin: string): RunDigits => (fn, input) =>
  host.execute(pluginCall(fn, input, { plugin }));

digitsContract(
  "digits in Python",
  async (t) => runner(await open(t, "--models", MODELS, "--take-models"), "digits-python"),
);

test("digits in WASM and in Python give equal answers", async (t) => {
  const host = await openPython(t, "digits-python", { options: ["--take-models"], modules: ["digits/digits"] });
  const [wasm, python] = [runner(host, "digits"), runner(host, "digits-python")];
  const [inWasm, inPython] = [await wasm("evaluate", HELD_OUT), await python("evaluate", HELD_OUT)];
  assert.equal(text(inPython.output), text(inWasm.output));
  const onnx = base64(modelFile("odd-even.onnx"));
  const inputs: [string, string | Uint8Array][] = [
    ["held-out images", HELD_OUT_PIXELS],
    ["noise", noise("both", 1000 * 64)],
    ["another model", JSON.stringify({ images: base64(HELD_OUT_PIXELS), onnx })],
  ];
  for (const [what, input] of inputs) {
    const [expected, actual] = [await classify(wasm, input), await classify(python, input)];
    assertClose(actual, expected, what);
    const all = expected.probabilities.flat();
    const others = actual.probabilities.flat();
    const apart = all.reduce((most, p, i) => Math.max(most, Math.abs(p - others[i]!)), 0);
    console.log(`${what}: ${expected.classes.length} images, at most ${apart.toExponential(1)} apart`);
  }
  const wasmSays = host.resolve("digits", "classify");
  const pythonSays = host.resolve("digits-python", "classify");
  assert.equal(pythonSays.outputContentType, wasmSays.outputContentType);
});

test("digits in Python runs no foreign models and reads no stored ones unless its operator says so", async (t) => {
  const run = runner(await open(t), "digits-python");
  const images = base64(HELD_OUT_PIXELS.subarray(0, 64));
  const refuses = (parts: object, message: RegExp) =>
    assert.rejects(run("classify", JSON.stringify({ images, ...parts })), hasCode("plugin_failed", message));
  await refuses({ onnx: base64(modelFile("digits.onnx")) }, /--take-models/);
  await refuses({ model: "odd-even.onnx" }, /--models/);
  assert.equal((await classify(run, JSON.stringify({ images }))).classes.length, 1);
});

test("digits in Python reads stored models from its folder only", async (t) => {
  const run = runner(await open(t, "--models", MODELS), "digits-python");
  const images = base64(HELD_OUT_PIXELS.subarray(0, 64));
  for (const model of ["../model/digits.onnx", "../manifest.json", "/etc/passwd", "..", ".", "", "a\0b"]) {
    const call = run("classify", JSON.stringify({ images, model }));
    await assert.rejects(call, hasCode("plugin_failed", /^The node has no file/), model);
  }
});

test("digits in Python stops a call when its time is over, and goes on", async (t) => {
  const host = await open(t);
  const input = noise("late", 4096 * 64);
  const call = (timeoutMs: number) =>
    host.execute(pluginCall("classify", input, { plugin: "digits-python", limits: limits({ timeoutMs }) }));
  await assert.rejects(call(1), hasCode("deadline_exceeded"));
  assert.equal(JSON.parse(text((await call(20_000)).output)).classes.length, 4096);
});
