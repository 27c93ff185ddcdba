import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { NodeError } from "../../../src/core/mod.ts";
import { wasm } from "../host-fixture.ts";
import { test } from "../../testing.ts";
import { numbers, randomModule } from "./random-module.ts";
import type { ValueType } from "./random-module.ts";
import { meter, Metered } from "./run-module.ts";

const PLENTY = 1n << 50n;
const DEPTH = 50_000;

const ARGUMENTS: Readonly<Record<ValueType, readonly unknown[]>> = {
  i32: [0, 1, -1, 3, 0x7fff_ffff],
  i64: [0n, 1n, -1n, 5n, 1n << 62n],
  f32: [0, -0, 1.5, NaN, Infinity],
  f64: [0, -0, 2.5, NaN, -Infinity],
  v128: [],
  funcref: [],
};

type Outcome = { readonly value: unknown } | { readonly trap: string };

function outcome(run: () => unknown): Outcome {
  try {
    return { value: run() };
  } catch (error) {
    return { trap: (error as Error).message };
  }
}

test("a metered module gives what the plain one gives, and counts what a module counts that adds before each instruction", () => {
  let returned = 0;
  for (let seed = 0; seed < 1500; seed++) {
    const { plain: bytes, counting: countingBytes, functions } = randomModule(seed);
    const plain = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
    const counting = new WebAssembly.Instance(new WebAssembly.Module(countingBytes)).exports;
    const count = counting["count"] as WebAssembly.Global<"i64">;
    const metered = new Metered(meter(bytes));
    const call = (exports: WebAssembly.Exports, name: string, args: readonly unknown[]) =>
      outcome(() => (exports[name] as (...args: readonly unknown[]) => unknown)(...args));
    const draw = numbers(seed);
    for (const [index, params] of functions.entries()) {
      const args = params.map((type) => ARGUMENTS[type][draw(5)]);
      metered.begin(PLENTY, DEPTH);
      count.value = 0n;
      const expected = call(plain, `f${index}`, args);
      const label = `seed ${seed}, function ${index}`;
      assert.deepEqual(call(metered.exports, `f${index}`, args), expected, label);
      assert.deepEqual(call(counting, `f${index}`, args), expected, label);
      if ("trap" in expected) break; // how much was counted before a trap is not said
      returned++;
      assert.equal(PLENTY - metered.fuel, count.value, label);
      assert.equal(metered.depth, DEPTH, label);
      for (let i = 1; i < 5; i++) {
        const name = `g${i}`;
        assert.deepEqual(
          (metered.exports[name] as WebAssembly.Global).value,
          (plain[name] as WebAssembly.Global).value,
          label,
        );
      }
      const memory = (exports: WebAssembly.Exports) => Buffer.from((exports["memory"] as WebAssembly.Memory).buffer);
      assert(memory(metered.exports).equals(memory(plain)), label);
    }
  }
  assert(returned > 1500, String(returned));
});

test("a budget of exactly what a call spends is enough, and one less is not", () => {
  let checked = 0;
  for (let seed = 0; seed < 400; seed++) {
    const { plain, functions } = randomModule(seed);
    const bytes = meter(plain);
    const args = functions[0]!.map((type) => ARGUMENTS[type][3]);
    const spend = (budget: bigint): { left: bigint; ended: Outcome } => {
      const metered = new Metered(bytes);
      metered.begin(budget);
      return { ended: outcome(() => metered.call("f0", ...args)), left: metered.fuel };
    };
    const free = spend(PLENTY);
    if ("trap" in free.ended) continue;
    checked++;
    const spent = PLENTY - free.left;
    assert.deepEqual(spend(spent), { ...free, left: 0n }, `seed ${seed}`);
    assert(spend(spent - 1n).left < 0n, `seed ${seed}`);
    assert(spend(0n).left < 0n, `seed ${seed}`);
  }
  assert(checked > 200, String(checked));
});

test("whatever the bytes, metering gives a valid module or says why not", () => {
  const draw = numbers(66);
  const sources = [
    ...["testing/contract", "testing/misbehaving", "testing/wasi"].map(wasm),
    ...Array.from({ length: 40 }, (_, seed) => randomModule(seed).plain),
  ];
  let valid = 0;
  for (let i = 0; i < 6000; i++) {
    const bytes = sources[draw(sources.length)]!.slice();
    for (let changes = 1 + draw(3); changes > 0; changes--) bytes[draw(bytes.length)] = draw(256);
    const cut = draw(10) === 0 ? bytes.slice(0, draw(bytes.length)) : bytes;
    const wasValid = WebAssembly.validate(cut);
    let metered: Uint8Array<ArrayBuffer>;
    try {
      metered = meter(cut);
    } catch (error) {
      assert(error instanceof NodeError && error.code === "module_invalid", String(error));
      continue;
    }
    // What it makes of an invalid module does not matter: the engine is asked first.
    if (!wasValid) continue;
    valid++;
    assert(WebAssembly.validate(metered), `case ${i}`);
  }
  assert(valid > 500, String(valid));
});
