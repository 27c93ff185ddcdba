import { readFileSync } from "node:fs";
import { brotliDecompressSync } from "node:zlib";

/** One thing that a script of the suite does: a module and its name, a module registered for imports, a call of a module's export. */
export type SuiteStep =
  | readonly ["module", base64: string, name: string]
  | readonly ["register", as: string, name: string]
  | readonly ["call", module: string, field: string, ...args: string[]];

export interface SuiteScript {
  readonly name: string;
  readonly steps: readonly SuiteStep[];
}

export function readSuite(): readonly SuiteScript[] {
  const packed = readFileSync(new URL("../../vectors/wasm-spec-suite.json.br", import.meta.url));
  return JSON.parse(brotliDecompressSync(packed).toString("utf8")) as SuiteScript[];
}

/** The value that an argument such as `i32:7` or `f32:nan:canonical` is to JavaScript. */
export function argument(text: string): unknown {
  const [type, value] = [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)];
  switch (type) {
    case "i32":
      return Number(value) | 0;
    case "i64":
      return BigInt.asIntN(64, BigInt(value));
    case "f32":
      return value.startsWith("nan") ? NaN : new Float32Array(Uint32Array.of(Number(value)).buffer)[0];
    case "f64":
      return value.startsWith("nan") ? NaN : new Float64Array(BigUint64Array.of(BigInt(value)).buffer)[0];
    default:
      return value === "null" ? null : type === "externref" ? `object ${value}` : null;
  }
}

/** What the suite's modules may import from "spectest". */
export function spectest(): WebAssembly.ModuleImports {
  const nothing = (): void => {};
  return {
    print: nothing,
    print_i32: nothing,
    print_i64: nothing,
    print_f32: nothing,
    print_f64: nothing,
    print_i32_f32: nothing,
    print_f64_f64: nothing,
    global_i32: new WebAssembly.Global({ value: "i32" }, 666),
    global_i64: new WebAssembly.Global({ value: "i64" }, 666n),
    global_f32: new WebAssembly.Global({ value: "f32" }, 666.6),
    global_f64: new WebAssembly.Global({ value: "f64" }, 666.6),
    table: new WebAssembly.Table({ initial: 10, maximum: 20, element: "anyfunc" }),
    memory: new WebAssembly.Memory({ initial: 1, maximum: 2 }),
  };
}
