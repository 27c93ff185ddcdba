import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { PluginOutcome } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { base64, noise } from "./digits.ts";
import { hasCode, text } from "./plugin-host.ts";

/** What is under test: runs one function of the plugin. It takes models that calls bring, and has `romance.onnx` among its files. */
export type RunTexts = (fn: string, input: string | Uint8Array) => Promise<PluginOutcome>;

export interface Language {
  readonly language: string;
  readonly name: string;
  readonly probability: number;
}

/** A file of wasm-plugins/text/model. */
export function textModel(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`../../wasm-plugins/text/model/${name}`, import.meta.url)));
}

/** The held-out paragraphs and their languages, as `evaluate` takes them. */
export const HELD_OUT_JSON = textModel("heldout.json");
const { texts, labels } = JSON.parse(text(HELD_OUT_JSON)) as { texts: string[]; labels: string[] };
export const HELD_OUT_TEXTS: readonly string[] = texts;
export const HELD_OUT_LANGUAGES: readonly string[] = labels;
/** How far the numbers of two runtimes may be apart: they add up to 4096 float32 in another order, and print six decimals. */
export const TOLERANCE = 5e-6;

const json = (value: unknown): string => JSON.stringify(value);
export const lines = (texts: readonly string[]): string => texts.map((line) => `${json(line)}\n`).join("");

export async function language(run: RunTexts, input: string | Uint8Array): Promise<readonly Language[]> {
  return (JSON.parse(text((await run("language", input)).output)) as { languages: Language[] }).languages;
}

export async function embed(run: RunTexts, input: string | Uint8Array): Promise<readonly (readonly number[])[]> {
  return (JSON.parse(text((await run("embed", input)).output)) as { embeddings: number[][] }).embeddings;
}

/** How far apart the numbers of two answers are at most. */
export function apart(a: readonly number[], b: readonly number[]): number {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

export function assertSameLanguages(actual: readonly Language[], expected: readonly Language[], what = ""): void {
  const named = (all: readonly Language[]) => all.map(({ language, name }) => [language, name]);
  assert.deepEqual(named(actual), named(expected), what);
  const distance = apart(actual.map((one) => one.probability), expected.map((one) => one.probability));
  assert(distance <= TOLERANCE, `${what}: ${distance} apart`);
}

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

/** Of each text, the place of the nearest other one. */
function nearest(embeddings: readonly (readonly number[])[]): number[] {
  return embeddings.map((one, i) => {
    const near = embeddings.map((other, j) => j === i ? -2 : dot(one, other));
    return near.indexOf(Math.max(...near));
  });
}

/** What holds for the plugin on either runtime; see docs/text-plugin.md. `open` readies one for a test. */
export function textsContract(name: string, open: (t: TestScope) => Promise<RunTexts>): void {
  const contract = (title: string, body: (run: RunTexts, t: TestScope) => Promise<void>): void => {
    test(`${name}: ${title}`, async (t) => body(await open(t), t));
  };
  const fails = (run: RunTexts, fn: string, input: string | Uint8Array, message: RegExp): Promise<void> =>
    assert.rejects(run(fn, input), hasCode("plugin_failed", message));

  contract("tells the languages of the held-out paragraphs, and how often it is right", async (run) => {
    const { output, usage, contentType } = await run("evaluate", HELD_OUT_JSON);
    const { texts, correct, accuracy, mistakes } = JSON.parse(text(output));
    console.log(`${name}: ${correct} of ${texts} held-out texts, ${accuracy}; ${usage.instructions} instructions`);
    assert.equal(contentType, "application/json");
    assert.deepEqual([texts, correct, accuracy, mistakes], [400, 400, 1, []]);
    assert.equal(new Set(HELD_OUT_LANGUAGES).size, 40);

    // Other labels than the true ones, each wrong once.
    const wrong = json({ texts: HELD_OUT_TEXTS.slice(0, 2), labels: ["eng", HELD_OUT_LANGUAGES[1]] });
    assert.deepEqual(JSON.parse(text((await run("evaluate", wrong)).output)), {
      texts: 2,
      correct: 1,
      accuracy: 0.5,
      mistakes: [{ text: 0, label: "eng", language: HELD_OUT_LANGUAGES[0] }],
    });
  });

  contract("tells the languages of most sentences of everyday words", async (run) => {
    const { texts, correct, mistakes } = JSON.parse(text((await run("evaluate", textModel("everyday.json"))).output));
    console.log(`${name}: ${correct} of ${texts} everyday sentences`);
    assert.deepEqual([texts, correct], [80, 73]);
    const wrong = (mistakes as { label: string; language: string }[]).map((one) => `${one.label} as ${one.language}`);
    assert(wrong.includes("nob as dan") && wrong.includes("slk as ces"), wrong.join());
  });

  contract("gives unit vectors that are near for texts in one language", async (run) => {
    const embeddings = await embed(run, lines(HELD_OUT_TEXTS));
    assert.equal(embeddings.length, 400);
    for (const row of embeddings) {
      assert.equal(row.length, 28);
      assert(Math.abs(Math.sqrt(dot(row, row)) - 1) < 1e-4);
    }
    const near = nearest(embeddings);
    assert.equal(near.filter((j, i) => HELD_OUT_LANGUAGES[j] === HELD_OUT_LANGUAGES[i]).length, 400);
  });

  contract("takes a text, JSON lines and JSON, alone and in batches", async (run) => {
    const three = HELD_OUT_TEXTS.slice(150, 153);
    const expected = await language(run, lines(three));
    assertSameLanguages(await language(run, `\n { "texts": ${json(three)} }`), expected, "JSON");
    assertSameLanguages(await language(run, `\r\n${lines(three)}\n \n`), expected, "with empty lines");
    for (const [i, one] of three.entries()) {
      assertSameLanguages(await language(run, one), [expected[i]!], `text ${i} alone`);
      assertSameLanguages(await language(run, ` ${one.toUpperCase()}!\n`), [expected[i]!], `text ${i} in capitals`);
    }
  });

  contract("runs a model that a call brings, or names among the stored files", async (run) => {
    const among = ["cat", "fra", "ita", "por", "ron", "spa"];
    const romance = HELD_OUT_TEXTS.filter((_, i) => among.includes(HELD_OUT_LANGUAGES[i]!));
    const expected = HELD_OUT_LANGUAGES.filter((code) => among.includes(code));
    const built = await language(run, json({ texts: romance }));
    const brought = await language(run, json({ texts: romance, onnx: base64(textModel("languages.onnx")) }));
    assertSameLanguages(brought, built, "the same model");
    for (const source of [{ onnx: base64(textModel("romance.onnx")) }, { model: "romance.onnx" }]) {
      const said = await language(run, json({ texts: romance, ...source }));
      const right = said.filter(({ language }, i) => language === expected[i]).length;
      assert(right / said.length > 0.95, `${right} of ${said.length}`);
      assert.equal((await embed(run, json({ texts: romance, ...source })))[0]!.length, 8);
    }
  });

  contract("answers as many texts, and as long ones, as it says", async (run) => {
    const most = Array.from({ length: 4096 }, (_, i) => HELD_OUT_TEXTS[i % 400]!.slice(0, 30));
    assert.equal((await language(run, lines(most))).length, 4096);
    await fails(run, "language", lines([...most, "a"]), /^4097 texts are too many for a call: send at most 4096$/);
    await fails(run, "embed", json({ texts: [...most, "a"] }), /^4097 texts are too many/);
    const long = "Human rights. ".repeat(4682).slice(0, 65_536);
    assert.equal((await language(run, long))[0]!.language, "eng");
    await fails(run, "language", `${long}a`, /^Text 0 has 65537 bytes, and a text may have at most 65536$/);
    await fails(run, "language", json({ texts: ["a", "é".repeat(1 << 19)] }), /^Text 1 has 1048576 bytes/);
    await fails(run, "embed", new Uint8Array((8 << 20) + 1), /^The input of 8388609 bytes is too large/);
  });

  contract("refuses a model of another shape, and what is no model, and goes on", async (run) => {
    const one = ["Ciao, come stai?"];
    const refuses = (onnx: Uint8Array, message: RegExp) =>
      fails(run, "language", json({ texts: one, onnx: base64(onnx) }), message);
    await refuses(
      textModel("other-shape.onnx"),
      /^The model takes float32 \[batch, 64\], and this plugin gives it float32 \[batch, 256 to 65536 buckets\]$/,
    );
    const digits = readFileSync(new URL("../../wasm-plugins/digits/model/digits.onnx", import.meta.url));
    await refuses(digits, /^The model takes float32 \[batch, 64\], and /);
    await refuses(textModel("no-labels.onnx"), /^The model names 0 labels in its metadata for 6 classes$/);
    await refuses(
      textModel("no-softmax.onnx"),
      /^The model gives no probabilities for text 0: let it end with Softmax$/,
    );
    await refuses(
      textModel("no-length.onnx"),
      /^The model gives no unit vector for text 0: let it divide by the length$/,
    );
    await refuses(noise("model", 20_000), /^The model cannot be read: /);
    await refuses(textModel("languages.onnx").subarray(0, 100_000), /^The model cannot be read: /);
    await refuses(
      new Uint8Array((4 << 20) + 1),
      /^The model of 4194305 bytes is too large: it may have at most 4194304$/,
    );
    assert.equal((await language(run, json({ texts: one })))[0]!.language, "ita");
  });

  contract("says what is wrong with an input", async (run) => {
    await fails(run, "language", "", /^There are no texts: the input is empty$/);
    await fails(run, "embed", json({ texts: [] }), /^There are no texts: the list is empty$/);
    for (const nothing of [" ", "\n", "12:30 – 14:00!", "。"]) {
      await fails(run, "language", nothing, /^Text 0 has no letters$/);
    }
    await fails(run, "embed", json({ texts: ["a", ""] }), /^Text 1 has no letters$/);
    await fails(run, "language", Uint8Array.of(0x61, 0x62, 0xff), /^The input is no UTF-8 from byte 2$/);
    await fails(run, "language", Uint8Array.of(0x61, 0xed, 0xa0, 0x80), /^The input is no UTF-8 from byte 1$/);
    await fails(run, "language", '"one"\n\n{}', /^Line 3 is no JSON string$/);
    await fails(run, "language", '"one"\n"two', /^Line 2 is no JSON string$/);
    await fails(run, "language", '"one"\n"\\ud800"', /^Line 2 is no JSON string$/);
    await fails(run, "language", json({ texts: ["a"], onnx: "?" }), /^"onnx" is no base64$/);
    await fails(run, "language", json({ texts: ["a"], onnx: "", model: "a" }), /^A call has "model" or "onnx", not/);
    await fails(run, "language", json({ texts: ["a"], model: "none.onnx" }), /^The node has no file "none.onnx"$/);
    await fails(run, "language", json({ texts: ["a"], labels: ["eng"] }), /^language takes no labels; evaluate does$/);
    await fails(run, "embed", json({ texts: ["a"], labels: ["eng"] }), /^embed takes no labels; evaluate does$/);
    await fails(run, "evaluate", json({ texts: ["a"] }), /^evaluate wants "labels", one a text$/);
    await fails(run, "evaluate", json({ texts: ["a"], labels: ["a", "b"] }), /^There are 2 labels for 1 texts$/);
    await fails(run, "evaluate", json({ texts: ["a"], labels: ["xyz"] }), /^The model has no label "xyz"$/);
    const unknown = /^The input is no JSON that this plugin knows: /;
    const inputs = [
      "{}",
      '{"texts":',
      '{"texts":"a"}',
      '{"texts":[1]}',
      '{"texts":["\\ud800"]}',
      '{"text":["a"]}',
      '{"texts":["a"],"model":7}',
      `{"${"[".repeat(10_000)}`,
    ];
    for (const input of inputs) await fails(run, "language", input, unknown);
    await fails(run, "evaluate", "a", unknown);
    await fails(run, "evaluate", json({ texts: ["a"], labels: [1] }), unknown);
  });
}
