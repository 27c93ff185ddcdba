import { joinSections, SECTION_ORDER } from "../../../src/plugins/wasm-binary.ts";
import { hostCost } from "../../../src/plugins/wasm-meter/costs.ts";
import { meterModule } from "../../../src/plugins/wasm-meter/meter-module.ts";
import type { MeterGlobals } from "../../../src/plugins/wasm-meter/emit-function.ts";
import { SECTION, WasmWriter } from "../../../src/plugins/wasm-binary.ts";
import { outlineModule } from "../../../src/plugins/wasm-module.ts";
import type { ModuleOutline } from "../../../src/plugins/wasm-module.ts";

/** Meters a module and leaves everything else of it as it is, but for its start function, which {@link start} calls. */
export function meter(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const outline = outlineModule(bytes);
  const costs = outline.imports.filter(({ kind }) => kind === "function").map(({ name }) => hostCost(name));
  const { sections, globals } = meterModule(outline, costs);
  const bodies = new Map([...outline.sections, ...sections].map(({ id, body }) => [id, body]));
  bodies.delete(SECTION.start);
  bodies.set(SECTION.export, withCounters(outline, globals));
  return joinSections(SECTION_ORDER.filter((id) => bodies.has(id)).map((id) => ({ id, body: bodies.get(id)! })));
}

/** Gives a metered instance much to spend; does nothing for one that is not metered. */
export function prime(exports: WebAssembly.Exports): void {
  const [fuel, depth] = ["fuel", "depth"].map((name) => exports[`velas:${name}`] as WebAssembly.Global | undefined);
  if (fuel === undefined) return;
  fuel.value = 1n << 50n;
  depth!.value = 1 << 30;
}

/** Runs what was a metered module's start function. */
export function start(exports: WebAssembly.Exports): void {
  (exports["velas:start"] as (() => void) | undefined)?.();
}

function withCounters({ exports, startFunction }: ModuleOutline, globals: MeterGlobals): Uint8Array {
  const kinds = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;
  const writer = new WasmWriter().u32(exports.length + (startFunction === undefined ? 3 : 4));
  if (startFunction !== undefined) writer.name("velas:start").byte(0).u32(startFunction);
  for (const { name, kind, index } of exports) writer.name(name).byte(kinds[kind]).u32(index);
  for (const [name, index] of Object.entries(globals)) writer.name(`velas:${name}`).byte(3).u32(index);
  return writer.finish();
}

/** An instance of a metered module. */
export class Metered {
  readonly exports: WebAssembly.Exports;

  constructor(bytes: Uint8Array<ArrayBuffer>, imports: WebAssembly.Imports = {}) {
    this.exports = new WebAssembly.Instance(new WebAssembly.Module(bytes), imports).exports;
  }

  begin(budget: bigint, depth = 50_000): void {
    this.#global("fuel").value = budget;
    this.#global("depth").value = depth;
    this.#global("denied").value = 0;
  }

  get fuel(): bigint {
    return this.#global("fuel").value as bigint;
  }

  get depth(): number {
    return this.#global("depth").value as number;
  }

  get denied(): number {
    return this.#global("denied").value as number;
  }

  call(name: string, ...args: unknown[]): unknown {
    return (this.exports[name] as (...args: unknown[]) => unknown)(...args);
  }

  #global(name: keyof MeterGlobals): WebAssembly.Global {
    return this.exports[`velas:${name}`] as WebAssembly.Global;
  }
}
