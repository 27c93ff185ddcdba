import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { once } from "node:events";
import { createInterface } from "node:readline";
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
import { openHost } from "../plugins/host-fixture.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

const FOLDER = fileURLToPath(new URL("../../grpc-plugins/digits-python/", import.meta.url));
const MODELS = fileURLToPath(new URL("../../wasm-plugins/digits/model/", import.meta.url));
const PYTHON = `${FOLDER}.venv/bin/python`;

/** The Python plugin as a process of its own, ended with the test; gives its address. */
async function serve(t: TestScope, ...options: string[]): Promise<string> {
  assert(existsSync(PYTHON), `${PYTHON} is not there: run grpc-plugins/digits-python/build.sh first`);
  const child = spawn(PYTHON, [`${FOLDER}server.py`, "--listen", "127.0.0.1:0", ...options], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines: string[] = [];
  const output = createInterface({ input: child.stdout });
  output.on("line", (line) => lines.push(line));
  const ended = once(output, "close");
  t.after(async () => {
    child.kill("SIGTERM");
    await ended;
    // By its word, since Deno reports whoever was sent a signal as killed by it.
    assert.equal(lines.at(-1), "digits-python has ended");
  });
  await Promise.race([once(output, "line"), ended]);
  const line = lines[0] ?? "it ended without a word";
  const address = /listens on (\S+)$/.exec(line)?.[1];
  assert(address !== undefined, line);
  return address;
}

/** A host with the Python plugin, and the modules of `wasm-plugins/`. */
async function open(t: TestScope, options: readonly string[] = [], modules: readonly string[] = []): Promise<Plugins> {
  const address = await serve(t, ...options);
  const external = [{ name: "digits-python", address, protocol: "velas" }] as const;
  return await openHost(t, { modules, workers: 1, external });
}

const runner = (host: Plugins, plugin: string): RunDigits => (fn, input) =>
  host.execute(pluginCall(fn, input, { plugin }));

digitsContract(
  "digits in Python",
  async (t) => runner(await open(t, ["--models", MODELS, "--take-models"]), "digits-python"),
);

test("digits in WASM and in Python give equal answers", async (t) => {
  const host = await open(t, ["--take-models"], ["digits/digits"]);
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
  const run = runner(await open(t, ["--models", MODELS]), "digits-python");
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
