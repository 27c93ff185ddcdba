import assert from "node:assert/strict";
import { NodeError } from "../../../src/core/mod.ts";
import { test } from "../../testing.ts";
import { meter, prime, start } from "./run-module.ts";
import { argument, readSuite, spectest } from "./spec-suite.ts";
import type { SuiteScript } from "./spec-suite.ts";
import { callWithVectors, vectorFunctions } from "./vector-calls.ts";

/** What this node refuses, of what the suite has. */
const REFUSED = /several memories|exceptions|garbage|typed|64-bit|shared memory|table of type|form 0x/;

/** Runs a script's modules as `change` makes them, and tells the outcome of each step. */
function run({ steps }: SuiteScript, change: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>): string[] {
  const registered: Record<string, WebAssembly.ModuleImports> = { spectest: spectest() };
  const named = new Map<string, WebAssembly.Exports | undefined>();
  let last: WebAssembly.Exports | undefined;
  const outcomes: string[] = [];
  for (const step of steps) {
    if (step[0] === "module") {
      const bytes = Uint8Array.from(Buffer.from(step[1], "base64"));
      try {
        const module = new WebAssembly.Module(change(bytes));
        last = new WebAssembly.Instance(module, registered).exports;
        prime(last);
        start(last);
        outcomes.push("module");
      } catch (error) {
        last = undefined;
        outcomes.push(`no module: ${(error as Error).name}`);
      }
      const exports = last;
      if (exports !== undefined) {
        outcomes.push(...callWithVectors(vectorFunctions(bytes), exports, () => prime(exports)));
      }
      named.set(step[2], last);
      continue;
    }
    if (step[0] === "register") {
      const exports = step[2] === "" ? last : named.get(step[2]);
      if (exports !== undefined) registered[step[1]] = exports as WebAssembly.ModuleImports;
      continue;
    }
    const [, module, field, ...args] = step;
    const exports = module === "" ? last : named.get(module);
    if (exports === undefined) continue;
    try {
      prime(exports);
      const value = (exports[field] as (...args: unknown[]) => unknown)(...args.map(argument));
      outcomes.push(`${field}: ${show(value)}`);
    } catch (error) {
      outcomes.push(`${field}: ${error instanceof RangeError ? "too deep" : (error as Error).message}`);
    }
  }
  return outcomes;
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.map(show).join();
  if (typeof value === "function") return "function";
  return Object.is(value, -0) ? "-0" : String(value);
}

/** Whether the node runs every module of a script. */
function isRun({ steps }: SuiteScript): boolean {
  for (const step of steps) {
    if (step[0] !== "module") continue;
    try {
      meter(Uint8Array.from(Buffer.from(step[1], "base64")));
    } catch (error) {
      assert(error instanceof NodeError && REFUSED.test(error.message), String(error));
      return false;
    }
  }
  return true;
}

test("the modules of WebAssembly's own test suite do the same when they are metered", () => {
  let calls = 0;
  let refused = 0;
  for (const script of readSuite()) {
    if (!isRun(script)) {
      refused++;
      continue;
    }
    const plain = run(script, (bytes) => bytes);
    const metered = run(script, meter);
    assert.deepEqual(metered, plain, script.name);
    calls += plain.length;
  }
  assert(calls > 33_000, `${calls} calls`);
  assert(refused < 10, `${refused} scripts refused`);
});
