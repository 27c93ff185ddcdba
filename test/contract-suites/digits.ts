import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { PluginOutcome } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { hasCode, text } from "./plugin-host.ts";

/** What is under test: runs one function of the plugin. It takes models that calls bring, and has `odd-even.onnx` among its files. */
export type RunDigits = (fn: string, input: string | Uint8Array) => Promise<PluginOutcome>;

export interface Classified {
  readonly classes: readonly number[];
  readonly probabilities: readonly (readonly number[])[];
}

/** A file of wasm-plugins/digits/model. */
export function modelFile(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`../../wasm-plugins/digits/model/${name}`, import.meta.url)));
}

const RECORD = 65;
export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const json = (value: unknown): string => JSON.stringify(value);

/** The held-out records: 64 bytes of pixels and the digit. */
export const HELD_OUT = modelFile("heldout.bin");
export const HELD_OUT_LABELS = HELD_OUT.filter((_, i) => i % RECORD === RECORD - 1);
/** The same without the digits. */
export const HELD_OUT_PIXELS = HELD_OUT.filter((_, i) => i % RECORD !== RECORD - 1);
/** How far the probabilities of two runtimes may be apart: both print six decimals of what float32 gives. */
export const TOLERANCE = 2e-6;

export async function classify(run: RunDigits, input: string | Uint8Array): Promise<Classified> {
  return JSON.parse(text((await run("classify", input)).output)) as Classified;
}

export function assertClose(actual: Classified, expected: Classified, what = ""): void {
  assert.deepEqual(actual.classes, expected.classes, what);
  assert.equal(actual.probabilities.length, expected.probabilities.length, what);
  for (const [i, row] of expected.probabilities.entries()) {
    for (const [j, value] of row.entries()) {
      const distance = Math.abs(actual.probabilities[i]![j]! - value);
      assert(distance <= TOLERANCE, `${what} image ${i}, class ${j}: ${distance} apart`);
    }
  }
}

/** Bytes that are the same on every run. */
export function noise(seed: string, sizeBytes: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let i = 0; i * 64 < sizeBytes; i++) blocks.push(createHash("sha512").update(`${seed} ${i}`).digest());
  return Buffer.concat(blocks).subarray(0, sizeBytes);
}

/** What holds for the plugin on either runtime; see docs/ml-plugin.md. `open` readies one for a test. */
export function digitsContract(name: string, open: (t: TestScope) => Promise<RunDigits>): void {
  const contract = (title: string, body: (run: RunDigits, t: TestScope) => Promise<void>): void => {
    test(`${name}: ${title}`, async (t) => body(await open(t), t));
  };
  const fails = (run: RunDigits, fn: string, input: string | Uint8Array, message: RegExp): Promise<void> =>
    assert.rejects(run(fn, input), hasCode("plugin_failed", message));

  contract("tells the held-out digits, and how often it is right", async (run) => {
    const { output, usage, contentType } = await run("evaluate", HELD_OUT);
    const { images, correct, accuracy, confusion } = JSON.parse(text(output));
    console.log(`${name}: ${correct} of ${images} held-out images, ${accuracy}; ${usage.instructions} instructions`);
    assert.equal(contentType, "application/json");
    assert.equal(images, 360);
    assert.equal(correct, 350);
    assert.equal(accuracy, 0.972222);
    const perClass = confusion.map((row: number[]) => row.reduce((sum, count) => sum + count));
    assert.deepEqual(
      perClass,
      Array.from({ length: 10 }, (_, digit) => HELD_OUT_LABELS.filter((l) => l === digit).length),
    );

    const { classes, probabilities } = await classify(run, HELD_OUT_PIXELS);
    assert.equal(classes.filter((digit, i) => digit === HELD_OUT_LABELS[i]).length, correct);
    for (const row of probabilities) {
      assert.equal(row.length, 10);
      assert(Math.abs(row.reduce((sum, p) => sum + p) - 1) < 1e-4);
    }
  });

  contract("takes images as bytes, base64 and lists, alone and in batches", async (run) => {
    const three = HELD_OUT_PIXELS.subarray(0, 3 * 64);
    const lists = [0, 1, 2].map((i) => [...three.subarray(i * 64, i * 64 + 64)]);
    const expected = await classify(run, three);
    assertClose(await classify(run, json({ images: base64(three) })), expected, "base64");
    assertClose(await classify(run, `\n { "images": ${json(lists)} }`), expected, "lists");
    for (const i of [0, 1, 2]) {
      const alone = await classify(run, three.subarray(i * 64, i * 64 + 64));
      const row = { classes: [expected.classes[i]!], probabilities: [expected.probabilities[i]!] };
      assertClose(alone, row, `image ${i} alone`);
    }
    const labels = [...HELD_OUT_LABELS.subarray(0, 3)];
    const evaluated = JSON.parse(text((await run("evaluate", json({ images: lists, labels }))).output));
    assert.deepEqual([evaluated.images, evaluated.correct], [3, 3]);
  });

  contract("runs a model that a call brings, or names among the stored files", async (run) => {
    const images = base64(HELD_OUT_PIXELS);
    const built = await classify(run, json({ images }));
    assertClose(await classify(run, json({ images, onnx: base64(modelFile("digits.onnx")) })), built, "the same model");
    for (const source of [{ onnx: base64(modelFile("odd-even.onnx")) }, { model: "odd-even.onnx" }]) {
      const { classes, probabilities } = await classify(run, json({ images, ...source }));
      assert.equal(probabilities[0]!.length, 2);
      const right = classes.filter((odd, i) => odd === HELD_OUT_LABELS[i]! % 2).length;
      assert(right / classes.length > 0.95, `${right} of ${classes.length}`);
    }
  });

  contract("answers as many images as it says, and no more", async (run) => {
    const most = noise("images", 4096 * 64);
    const { classes, probabilities } = await classify(run, most);
    assert.equal(classes.length, 4096);
    assert(probabilities.every((row) => row.every((p) => p >= 0 && p <= 1)));
    const more = noise("images", 4097 * 64);
    await fails(run, "classify", more, /^4097 images are too many for a call: send at most 4096$/);
    await fails(run, "classify", json({ images: base64(more) }), /^4097 images are too many/);
    await fails(run, "classify", new Uint8Array((8 << 20) + 1), /^The input of 8388609 bytes is too large/);
  });

  contract("refuses a model of another shape, and what is no model, and goes on", async (run) => {
    const images = base64(HELD_OUT_PIXELS.subarray(0, 64));
    const refuses = (onnx: Uint8Array, message: RegExp) =>
      fails(run, "classify", json({ images, onnx: base64(onnx) }), message);
    await refuses(
      modelFile("other-shape.onnx"),
      /^The model takes float32 \[batch, 16\], and this plugin gives it float32 \[batch, 64\] or \[batch, 1, 8, 8\]$/,
    );
    await refuses(noise("model", 20_000), /^The model cannot be read: /);
    await refuses(new Uint8Array(0), /^The model (cannot be read|takes 0 inputs|gives 0 outputs)/);
    await refuses(modelFile("digits.onnx").subarray(0, 10_000), /^The model cannot be read: /);
    await refuses(
      new Uint8Array((4 << 20) + 1),
      /^The model of 4194305 bytes is too large: it may have at most 4194304$/,
    );
    await refuses(
      modelFile("no-softmax.onnx"),
      /^The model gives no probabilities for image 0: let it end with Softmax$/,
    );
    assert.equal((await classify(run, HELD_OUT_PIXELS.subarray(0, 64))).classes[0], HELD_OUT_LABELS[0]);
  });

  contract("says what is wrong with an input", async (run) => {
    const one = [...HELD_OUT_PIXELS.subarray(0, 64)];
    await fails(run, "classify", "", /^There are no images: the input is empty$/);
    await fails(run, "classify", new Uint8Array(63), /^classify takes 64 bytes an image, and 63 bytes are no multiple/);
    await fails(run, "evaluate", new Uint8Array(64), /^evaluate takes 65 bytes an image, and 64 bytes are no multiple/);
    await fails(run, "classify", json({ images: [] }), /^There are no images: the list is empty$/);
    await fails(
      run,
      "classify",
      json({ images: [one, one.slice(1)] }),
      /^Image 1 has 63 pixels, and the model takes 64$/,
    );
    for (const pixel of [-1, 256, 0.5, 1e300]) {
      const images = json({ images: [[pixel, ...one.slice(1)]] });
      await fails(run, "classify", images, /^Image 0 has a pixel that is no whole number from 0 to 255$/);
    }
    await fails(run, "classify", json({ images: "?" }), /^"images" is no base64$/);
    await fails(run, "classify", json({ images: [one], onnx: "?" }), /^"onnx" is no base64$/);
    await fails(
      run,
      "classify",
      json({ images: [one], onnx: "", model: "a" }),
      /^A call has "model" or "onnx", not both$/,
    );
    await fails(run, "classify", json({ images: [one], model: "none.onnx" }), /^The node has no file "none.onnx"$/);
    await fails(run, "classify", json({ images: [one], labels: [1] }), /^classify takes no labels; evaluate does$/);
    await fails(run, "evaluate", json({ images: [one] }), /^evaluate wants "labels", one an image$/);
    await fails(run, "evaluate", json({ images: [one], labels: [1, 2] }), /^There are 2 labels for 1 images$/);
    await fails(
      run,
      "evaluate",
      json({ images: [one], labels: [10] }),
      /^Label 0 is 10, and the model has the classes 0 to 9$/,
    );
    const unknown = /^The input is no JSON that this plugin knows: /;
    for (
      const input of [
        "{}",
        '{"images":',
        '{"images":7}',
        '{"images":[["a"]]}',
        '{"image":[]}',
        `{"${"[".repeat(10_000)}`,
      ]
    ) {
      await fails(run, "classify", input, unknown);
    }
    await fails(run, "evaluate", json({ images: [one], labels: [-1] }), unknown);
    await fails(run, "classify", json({ images: [one], model: 7 }), unknown);
  });

  contract("classifies noise as something, or says why not", async (run) => {
    for (const sizeBytes of [1, 64, 65, 640, 6500, 64_000]) {
      const input = noise(`noise ${sizeBytes}`, sizeBytes);
      if (sizeBytes % 64 === 0) {
        const { probabilities } = await classify(run, input);
        assert.equal(probabilities.length, sizeBytes / 64);
        for (const row of probabilities) assert(Math.abs(row.reduce((sum, p) => sum + p) - 1) < 1e-4);
      } else await fails(run, "classify", input, /no multiple/);
    }
  });
}
