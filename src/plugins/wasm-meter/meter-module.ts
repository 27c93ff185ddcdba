import { invalidModule, SECTION, WasmReader, WasmWriter } from "../wasm-binary.ts";
import type { Section } from "../wasm-binary.ts";
import type { FunctionType, ModuleOutline } from "../wasm-module.ts";
import type { HostCost } from "./costs.ts";
import { emitFunction } from "./emit-function.ts";
import type { MeterGlobals } from "./emit-function.ts";
import { scanFunction } from "./scan-function.ts";
import type { ScanContext } from "./scanned-function.ts";
import { unrollLoops } from "./unroll-loops.ts";

/** What metering changes of a module. */
export interface MeteredParts {
  /** Those sections that are replaced, or added. */
  readonly sections: readonly Section[];
  readonly globals: MeterGlobals;
  /** Whether the module's results may depend on the processor. */
  readonly usesRelaxedSimd: boolean;
}

const MUTABLE = 0x01;
const END = 0x0b;
const FUNCTION_FORM = 0x60;

/** Code of one function, and of all when they are metered, in bytes: what bounds the time and memory that metering takes. */
const MAX_BODY_BYTES = 2 << 20; // 2 MiB
const MAX_METERED_BYTES = 128 << 20; // 128 MiB

/**
 * Lets a module count the instructions that it spends, and stop when its budget is over. The module must have been validated by an
 * engine: a module that names one of the added globals by its index was not valid before. Throws `module_invalid` for what
 * this node does not run.
 */
export function meterModule(outline: ModuleOutline, hostCosts: readonly HostCost[]): MeteredParts {
  const steps = meterInSteps(outline, hostCosts);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** Does what {@link meterModule} does, one function a step, so that whoever has other work can turn to it in between. */
export function* meterInSteps(
  outline: ModuleOutline,
  hostCosts: readonly HostCost[],
): Generator<undefined, MeteredParts, undefined> {
  const globals = addedGlobals(outline);
  const context: ScanContext = {
    types: outline.types.map(({ params, results }) => ({ params, results: results.length })),
    functionTypes: outline.functionTypes,
    hostCosts,
  };
  const blocks = new ResultBlocks(outline.types);
  const code = outline.sections.find(({ id }) => id === SECTION.code);
  const sections: Section[] = [{ id: SECTION.global, body: writeGlobals(outline) }];
  let usesRelaxedSimd = false;
  if (code !== undefined) {
    const reader = new WasmReader(code.body);
    const count = reader.u32();
    const imported = outline.functionTypes.length - count;
    const writer = new WasmWriter(code.body.length * 2).u32(count);
    for (let i = 0; i < count; i++) {
      const body = reader.slice(reader.u32());
      if (body.length > MAX_BODY_BYTES) throw tooLong(imported + i, body.length);
      const type = outline.types[outline.functionTypes[imported + i] ?? -1];
      if (type === undefined) throw invalidModule("The module has more function bodies than functions");
      const unrolled = unrollLoops(body);
      const scanned = scanFunction(unrolled, { params: type.params, results: type.results.length }, context);
      if (scanned.usesRelaxedSimd) usesRelaxedSimd = true;
      const metered = emitFunction(unrolled.body, scanned, {
        globals,
        params: type.params,
        resultBlock: blocks.of(type),
      });
      writer.u32(metered.length).bytes(metered);
      if (writer.length > MAX_METERED_BYTES) throw tooMuch(code.body.length);
      yield;
    }
    sections.push({ id: SECTION.code, body: writer.finish() });
  }
  const types = outline.sections.find(({ id }) => id === SECTION.type);
  if (blocks.added.length > 0) sections.push({ id: SECTION.type, body: writeTypes(types, blocks) });
  return { sections, globals, usesRelaxedSimd };
}

/** Types of blocks that give what a function gives: none or one value needs no type, several need one without parameters. */
class ResultBlocks {
  readonly added: (readonly number[])[] = [];
  readonly #types: readonly FunctionType[];
  readonly #indices = new Map<string, number>();

  constructor(types: readonly FunctionType[]) {
    this.#types = types;
    for (const [index, { params, results }] of types.entries()) {
      if (params === 0) this.#indices.set(results.join(), index);
    }
  }

  /** The block type as the format writes it. */
  of({ results }: FunctionType): Uint8Array {
    if (results.length === 0) return Uint8Array.of(0x40);
    if (results.length === 1) return Uint8Array.of(results[0]!);
    return new WasmWriter().signed(this.#index(results)).finish();
  }

  #index(results: readonly number[]): number {
    const key = results.join();
    let index = this.#indices.get(key);
    if (index === undefined) {
      index = this.#types.length + this.added.length;
      this.added.push(results);
      this.#indices.set(key, index);
    }
    return index;
  }
}

function tooLong(index: number, length: number): Error {
  return invalidModule(
    `The module's function ${index} has ${length} bytes of code, and this node meters at most ${MAX_BODY_BYTES} in one function; ` +
      "split it, or build the module with less inlining",
  );
}

function tooMuch(length: number): Error {
  return invalidModule(
    `The module's ${length} bytes of code become more than ${MAX_METERED_BYTES} when they are metered; build it smaller, or split it into ` +
      "several plugins",
  );
}

function addedGlobals({ sections, imports }: ModuleOutline): MeterGlobals {
  const global = sections.find(({ id }) => id === SECTION.global);
  const imported = imports.filter(({ kind }) => kind === "global").length;
  const first = imported + (global === undefined ? 0 : new WasmReader(global.body).u32());
  return { fuel: first, depth: first + 1, denied: first + 2 };
}

function writeGlobals({ sections }: ModuleOutline): Uint8Array {
  const reader = new WasmReader(sections.find(({ id }) => id === SECTION.global)?.body ?? Uint8Array.of(0));
  const count = reader.u32();
  return new WasmWriter()
    .u32(count + 3)
    .bytes(reader.slice(reader.bytes.length - reader.offset))
    .bytes([0x7e, MUTABLE, 0x42, 0, END]) // fuel, i64
    .bytes([0x7f, MUTABLE, 0x41, 0, END]) // depth, i32
    .bytes([0x7f, MUTABLE, 0x41, 0, END]) // denied, i32
    .finish();
}

function writeTypes(section: Section | undefined, { added }: ResultBlocks): Uint8Array {
  const reader = new WasmReader(section?.body ?? Uint8Array.of(0));
  const writer = new WasmWriter().u32(reader.u32() + added.length);
  writer.bytes(reader.slice(reader.bytes.length - reader.offset));
  for (const results of added) writer.bytes([FUNCTION_FORM, 0]).u32(results.length).bytes(results);
  return writer.finish();
}
