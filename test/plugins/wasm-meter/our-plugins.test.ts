import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync } from "node:fs";
import { HELD_OUT, HELD_OUT_PIXELS } from "../../contract-suites/digits.ts";
import { HELD_OUT_JSON, HELD_OUT_TEXTS, lines } from "../../contract-suites/texts.ts";
import { test } from "../../testing.ts";
import { instantiate } from "./bare-plugin.ts";
import { meter } from "./run-module.ts";

const folder = (path: string) => new URL(`../../../wasm-plugins/${path}`, import.meta.url);
const read = (path: string) => new Uint8Array(readFileSync(folder(path)));
const text = (words: string) => new TextEncoder().encode(words);

type Call = readonly [fn: string, input: Uint8Array];

const DEMO: readonly Call[] = [
  ["greet", text("hello")],
  ["greet", text("Ada")],
  ["echo", Uint8Array.from({ length: 5000 }, (_, at) => at)],
  ["wordcount", text("some words to count\n".repeat(500))],
  ["primes", text("100000")],
];
const CALLS: Readonly<Record<string, readonly Call[]>> = {
  "demo": DEMO,
  "demo-go": DEMO,
  "demo-as": DEMO,
  "digits": [["classify", HELD_OUT_PIXELS.subarray(0, 128)], ["evaluate", HELD_OUT]],
  "text": [["language", text(HELD_OUT_TEXTS[0]!)], ["embed", text(lines(HELD_OUT_TEXTS.slice(0, 70)))], [
    "evaluate",
    HELD_OUT_JSON,
  ]],
  "audio": readdirSync(folder("audio/testdata")).sort().flatMap((name): Call[] =>
    ["probe", "waveform", "decode"].map((fn) => [fn, read(`audio/testdata/${name}`)])
  ),
};

for (const [name, calls] of Object.entries(CALLS)) {
  test(`${name} gives the same metered as plain, and counts the same each time`, () => {
    const bytes = read(`${name}/${name}.wasm`);
    const plain = instantiate(bytes);
    const [metered, again] = [instantiate(meter(bytes)), instantiate(meter(bytes))];
    let answered = 0;
    for (const [fn, input] of calls) {
      const label = `${fn} of ${input.length} bytes`;
      const expected = outcome(() => plain.call(fn, input));
      assert.deepEqual(outcome(() => metered.call(fn, input)), expected, label);
      assert.deepEqual(outcome(() => again.call(fn, input)), expected, label);
      assert.equal(again.meter!.spent, metered.meter!.spent, label);
      assert.ok(metered.meter!.spent > 0, label);
      if (expected.output !== "") answered++;
    }
    assert.ok(answered >= calls.length / 2, `${answered} of ${calls.length} gave an output`);
  });
}

function outcome(call: () => Uint8Array): { readonly output?: string; readonly error?: string } {
  try {
    return { output: Buffer.from(call()).toString("base64") };
  } catch (error) {
    return { error: (error as Error).message };
  }
}
