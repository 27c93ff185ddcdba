import { SECTION, WasmWriter } from "../../../src/plugins/wasm-binary.ts";
import { outlineModule } from "../../../src/plugins/wasm-module.ts";
import { numbers } from "./random-module.ts";

interface VectorFunction {
  readonly name: string;
  readonly params: string;
  readonly results: string;
}

const VECTOR = "v";
const ENCODED: Readonly<Record<string, number>> = { i: 0x7f, I: 0x7e, f: 0x7d, F: 0x7c, v: 0x7b };
const LOAD: Readonly<Record<string, readonly number[]>> = { i: [0x28], I: [0x29], f: [0x2a], F: [0x2b], v: [0xfd, 0] };
const STORE: Readonly<Record<string, readonly number[]>> = {
  i: [0x36],
  I: [0x37],
  f: [0x38],
  F: [0x39],
  v: [0xfd, 0x0b],
};
/** Where results are stored, in bytes: parameters lie below, 16 bytes each. */
const RESULT = 1024;
/** How often each function is called, with other bytes each time. */
const CALLS = 4;

/** The functions that a module exports and JavaScript cannot call, since they take or give vectors; none that gives several values. */
export function vectorFunctions(bytes: Uint8Array): readonly VectorFunction[] {
  return outlineModule(bytes).exports.filter(({ kind }) => kind === "function").map(({ name, signature }) => {
    const [params, results] = signature.split(":").map((types) => types.replaceAll(",", ""));
    return { name, params: params!, results: results! };
  }).filter(({ params, results }) =>
    (params + results).includes(VECTOR) && results.length <= 1 &&
    [...params, ...results].every((type) => type in ENCODED)
  );
}

/** Calls each of these functions of an instance with bytes that are ever the same, before each of which `begin` is called. Tells every outcome. */
export function callWithVectors(
  functions: readonly VectorFunction[],
  exports: WebAssembly.Exports,
  begin: () => void,
): string[] {
  if (functions.length === 0) return [];
  const caller =
    new WebAssembly.Instance(new WebAssembly.Module(callerOf(functions)), { "": exports as never }).exports;
  const memory = new Uint8Array((caller["memory"] as WebAssembly.Memory).buffer);
  const draw = numbers(functions.length);
  const outcomes: string[] = [];
  for (const { name, results } of functions) {
    for (let call = 0; call < CALLS; call++) {
      memory.fill(0);
      // No exponent of a floating-point number is all ones: which of two NaNs comes out is the engine's choice each time.
      for (let i = 0; i < RESULT; i++) memory[i] = draw(256) & (i % 4 === 3 ? 0xbf : 0xff);
      begin();
      try {
        (caller[`call ${name}`] as () => void)();
        outcomes.push(`${name}: ${results} ${Buffer.from(memory.subarray(RESULT, RESULT + 16)).toString("hex")}`);
      } catch (error) {
        outcomes.push(`${name}: ${(error as Error).message}`);
      }
    }
  }
  return outcomes;
}

/** A module with a function `call X` for each function X, which loads its parameters from the memory, calls it and stores the result there. */
function callerOf(functions: readonly VectorFunction[]): Uint8Array<ArrayBuffer> {
  const count = functions.length;
  const types = new WasmWriter().u32(count + 1).bytes([0x60, 0, 0]);
  const imports = new WasmWriter().u32(count);
  const own = new WasmWriter().u32(count);
  const exports = new WasmWriter().u32(count + 1).name("memory").bytes([2, 0]);
  const code = new WasmWriter().u32(count);
  for (const [index, { name, params, results }] of functions.entries()) {
    const encoded = (letters: string) => [letters.length, ...[...letters].map((letter) => ENCODED[letter]!)];
    types.byte(0x60).bytes(encoded(params)).bytes(encoded(results));
    imports.name("").name(name).byte(0).u32(index + 1);
    own.u32(0);
    exports.name(`call ${name}`).byte(0).u32(count + index);
    const body = new WasmWriter().byte(0);
    if (results !== "") body.byte(0x41).signed(RESULT);
    for (const [place, type] of [...params].entries()) {
      body.byte(0x41).signed(16 * place).bytes(LOAD[type]!).bytes([0, 0]);
    }
    body.byte(0x10).u32(index);
    if (results !== "") body.bytes(STORE[results]!).bytes([0, 0]);
    const bytes = body.byte(0x0b).finish();
    code.u32(bytes.length).bytes(bytes);
  }
  return new WasmWriter().bytes([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
    .section({ id: SECTION.type, body: types.finish() })
    .section({ id: SECTION.import, body: imports.finish() })
    .section({ id: SECTION.function, body: own.finish() })
    .section({ id: SECTION.memory, body: Uint8Array.of(1, 0, 1) })
    .section({ id: SECTION.export, body: exports.finish() })
    .section({ id: SECTION.code, body: code.finish() })
    .finish();
}
