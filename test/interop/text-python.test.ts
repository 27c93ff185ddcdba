import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import type { Plugins } from "../../src/plugins/mod.ts";
import { base64, noise } from "../contract-suites/digits.ts";
import { pluginCall, text } from "../contract-suites/plugin-host.ts";
import {
  apart,
  assertSameLanguages,
  embed,
  HELD_OUT_JSON,
  HELD_OUT_TEXTS,
  language,
  lines,
  type RunTexts,
  textModel,
  textsContract,
  TOLERANCE,
} from "../contract-suites/texts.ts";
import { test } from "../testing.ts";
import { openPython } from "./python-plugin.ts";

const MODELS = fileURLToPath(new URL("../../wasm-plugins/text/model/", import.meta.url));

const runner = (host: Plugins, plugin: string): RunTexts => (fn, input) =>
  host.execute(pluginCall(fn, input, { plugin }));

textsContract(
  "text in Python",
  async (t) =>
    runner(await openPython(t, "text-python", { options: ["--models", MODELS, "--take-models"] }), "text-python"),
);

/** Letters of every kind: two bytes a character, whatever they are. */
function anyLetters(seed: string): string {
  return [...Buffer.from(noise(seed, 2000)).toString("utf16le").toWellFormed()].join("");
}

test("text in WASM and in Python give equal answers", async (t) => {
  const host = await openPython(t, "text-python", { options: ["--take-models"], modules: ["text/text"] });
  const [wasm, python] = [runner(host, "text"), runner(host, "text-python")];
  const [inWasm, inPython] = [await wasm("evaluate", HELD_OUT_JSON), await python("evaluate", HELD_OUT_JSON)];
  assert.equal(text(inPython.output), text(inWasm.output));
  const onnx = base64(textModel("romance.onnx"));
  // Every letter whose small form is looked up, and what is none.
  const low = Array.from({ length: 0x600 }, (_, code) => String.fromCodePoint(code)).join("");
  const inputs: [string, string][] = [
    ["held-out texts", lines(HELD_OUT_TEXTS)],
    ["noise", lines(Array.from({ length: 100 }, (_, i) => anyLetters(`both ${i}`)))],
    ["pieces", lines(HELD_OUT_TEXTS.map((one) => one.slice(0, 3)).filter((piece) => /[^\W\d]|[^\0-\x7f]/.test(piece)))],
    ["letters", lines([low, ...low.match(/[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u05ff]/g)!])],
    ["another model", JSON.stringify({ texts: HELD_OUT_TEXTS, onnx })],
  ];
  for (const [what, input] of inputs) {
    assertSameLanguages(await language(python, input), await language(wasm, input), what);
    const [expected, actual] = [await embed(wasm, input), await embed(python, input)];
    const distance = apart(actual.flat(), expected.flat());
    assert(distance <= TOLERANCE, `${what}: ${distance} apart`);
    console.log(`${what}: ${expected.length} texts, at most ${distance.toExponential(1)} apart`);
  }
});
