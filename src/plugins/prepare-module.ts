import { createHash } from "node:crypto";
import { EXTISM_ENV, KERNEL_API } from "./kernel-api.ts";
import { readManifest } from "./plugin-manifest.ts";
import type { PluginManifest } from "./plugin-manifest.ts";
import { invalidModule, joinSections, SECTION, SECTION_ORDER, WasmWriter } from "./wasm-binary.ts";
import type { Section } from "./wasm-binary.ts";
import { hostCost } from "./wasm-meter/costs.ts";
import type { MeterGlobals } from "./wasm-meter/emit-function.ts";
import { meterInSteps } from "./wasm-meter/meter-module.ts";
import type { MeteredParts } from "./wasm-meter/meter-module.ts";
import { outlineModule } from "./wasm-module.ts";
import type { ModuleImport, ModuleOutline, TableType } from "./wasm-module.ts";
import { WASI_FUNCTIONS, WASI_MODULE } from "./wasi-names.ts";

export const PAGE_BYTES = 1 << 16; // 64 KiB

/** The prepared module imports its memory from here: whoever instantiates it decides how large that may grow. */
export const MEMORY_IMPORT = { module: "velas:memory", name: "memory" } as const;
/**
 * Where the prepared module imports from instead of the usual names. Under those the Extism SDK would put a WASI of its own and an
 * `http_request` that fetches, whatever functions it is given.
 */
export const RENAMED_IMPORTS: ReadonlyMap<string, string> = new Map([
  [EXTISM_ENV, "velas:env"],
  [WASI_MODULE, "velas:wasi"],
]);
/**
 * What a prepared module exports in place of its start section and of the functions by which language runtimes set themselves
 * up. Nothing of the plugin runs while it is instantiated; the worker calls these, in this order, under a time limit.
 */
export const SETUP_EXPORTS = ["velas:start", "velas:_initialize", "velas:_start", "velas:hs_init"] as const;

/** What a prepared module exports for the host to set before a call and to read after it; see `wasm-meter/`. */
export const METER_EXPORTS: Readonly<Record<keyof MeterGlobals, string>> = {
  fuel: "velas:fuel",
  depth: "velas:depth",
  denied: "velas:denied",
};

/** A module that workers can instantiate. */
export interface PreparedModule {
  readonly manifest: PluginManifest;
  readonly module: WebAssembly.Module;
  /** Bounds of the linear memory in pages; absent for a module without one. */
  readonly memory?: { readonly min: number; readonly max: number };
  /** Whether it has instructions whose results may differ from one kind of processor to another. */
  readonly usesRelaxedSimd: boolean;
}

const MAX_PAGES = 65_536; // 4 GiB, all that wasm32 can address
const MAX_TABLES = 16;
/** Elements that a table may grow to at run time; a table that begins larger keeps its size. */
const MAX_TABLE_ELEMENTS = 1 << 16;
const SHOWN_NAMES = 10;
const TURN_MS = 10;
const KIND_CODES = { function: 0, table: 1, memory: 2, global: 3, tag: 4 } as const;

/** The SHA-256 of a module in lower-case hex: its content address. */
export function moduleSha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * Checks a module and rewrites it so that a worker can bound it, then compiles it.
 *
 * The engine validates the original first, since the rewriting trusts what it reads. Then: unknown imports are rejected by
 * name; the memory becomes an import, so that one compiled module serves every memory limit; tables get a maximum; setup functions are
 * renamed; custom sections are dropped; and the code is made to count its instructions and to stop when its budget is over.
 *
 * Throws `module_invalid`. `fallbackName` names a plugin without a manifest.
 */
export async function prepareModule(bytes: Uint8Array, fallbackName: string): Promise<PreparedModule> {
  const outline = outlineModule(bytes);
  try {
    // Compiling validates on a thread of the engine; WebAssembly.validate would hold this one for as long.
    await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  } catch (cause) {
    throw invalidModule(`The module is not valid WebAssembly: ${messageOf(cause)}`, cause);
  }
  checkImports(outline.imports);
  checkShape(outline);
  const manifest = readManifest(outline, fallbackName);
  const metered = await meterInTurns(outline);
  const { usesRelaxedSimd } = metered;
  try {
    const module = await WebAssembly.compile(joinSections(rewrite(outline, metered)));
    const memory = outline.memories[0];
    if (memory === undefined) return { manifest, module, usesRelaxedSimd };
    const max = Math.min(memory.max ?? MAX_PAGES, MAX_PAGES);
    return { manifest, module, usesRelaxedSimd, memory: { min: memory.min, max } };
  } catch (cause) {
    throw invalidModule(
      `The module cannot be prepared, most likely since a function of it is too large once it is metered (split it, or build with less ` +
        `inlining): ${messageOf(cause)}`,
      cause,
    );
  }
}

/** Meters a module without holding this thread, which has a node to run, for longer than a moment. */
async function meterInTurns(outline: ModuleOutline): Promise<MeteredParts> {
  const steps = meterInSteps(outline, outline.imports.map(({ name }) => hostCost(name)));
  let since = performance.now();
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (performance.now() - since < TURN_MS) continue;
    await new Promise<void>((resolve) => setImmediate(resolve));
    since = performance.now();
  }
}

function checkImports(imports: readonly ModuleImport[]): void {
  const unknown: string[] = [];
  for (const item of imports) {
    const known = KERNEL_API.get(item.module)?.get(item.name);
    const isWasi = item.module === WASI_MODULE && WASI_FUNCTIONS.has(item.name);
    if (item.kind === "function" && (isWasi || known === item.signature)) continue;
    const note = known !== undefined && item.kind === "function"
      ? ` with signature ${item.signature}, not ${known}`
      : "";
    const kind = item.kind === "function" ? "" : `${item.kind} `;
    unknown.push(`${kind}${item.module}.${item.name}`.slice(0, 120) + note);
  }
  if (unknown.length === 0) return;
  const more = unknown.length > SHOWN_NAMES ? ` and ${unknown.length - SHOWN_NAMES} more` : "";
  throw invalidModule(
    `The module imports what this node does not have: ${
      unknown.slice(0, SHOWN_NAMES).join(", ")
    }${more}. A plugin may ` +
      `import from ${[...KERNEL_API.keys(), WASI_MODULE].join(", ")} (docs/plugins.md lists the functions)`,
  );
}

function checkShape(outline: ModuleOutline): void {
  if (outline.memories.length > 1) {
    throw invalidModule(`The module has ${outline.memories.length} memories, and this node runs modules with one`);
  }
  if (outline.tables.length > MAX_TABLES) {
    throw invalidModule(
      `The module has ${outline.tables.length} tables, and this node runs modules with at most ${MAX_TABLES}`,
    );
  }
  const reserved = outline.exports.find(({ name }) => name.startsWith("velas:"));
  if (reserved !== undefined) {
    throw invalidModule(`The module exports "${reserved.name.slice(0, 120)}"; names with "velas:" belong to the host`);
  }
}

/** The sections of the prepared module, in the order that the format demands. */
function rewrite(outline: ModuleOutline, metered: MeteredParts): Section[] {
  const bodies = new Map<number, Uint8Array>();
  for (const { id, body } of [...outline.sections, ...metered.sections]) bodies.set(id, body);
  for (const id of [SECTION.custom, SECTION.memory, SECTION.start]) bodies.delete(id);
  bodies.set(SECTION.import, writeImports(outline).finish());
  bodies.set(SECTION.export, writeExports(outline, metered.globals).finish());
  if (outline.tables.length > 0) bodies.set(SECTION.table, writeTables(outline.tables).finish());
  return SECTION_ORDER.filter((id) => bodies.has(id)).map((id) => ({ id, body: bodies.get(id)! }));
}

function writeImports({ imports, memories }: ModuleOutline): WasmWriter {
  const memory = memories[0];
  const writer = new WasmWriter().u32(imports.length + (memory === undefined ? 0 : 1));
  // The check left only functions.
  for (const { module, name, typeIndex } of imports) {
    writer.name(RENAMED_IMPORTS.get(module) ?? module).name(name).bytes([0x00]).u32(typeIndex);
  }
  if (memory !== undefined) {
    // No maximum here: an import without one accepts a memory with any.
    writer.name(MEMORY_IMPORT.module).name(MEMORY_IMPORT.name).bytes([0x02, 0x00]).u32(memory.min);
  }
  return writer;
}

function writeExports({ exports, startFunction }: ModuleOutline, globals: MeterGlobals): WasmWriter {
  const setup = new Set<string>(SETUP_EXPORTS);
  const added = Object.entries(METER_EXPORTS) as [keyof MeterGlobals, string][];
  const writer = new WasmWriter().u32(exports.length + added.length + (startFunction === undefined ? 0 : 1));
  for (const { name, kind, index } of exports) {
    const renamed = kind === "function" && setup.has(`velas:${name}`) ? `velas:${name}` : name;
    writer.name(renamed).byte(KIND_CODES[kind]).u32(index);
  }
  for (const [global, name] of added) writer.name(name).byte(KIND_CODES.global).u32(globals[global]);
  if (startFunction !== undefined) writer.name(SETUP_EXPORTS[0]).byte(KIND_CODES.function).u32(startFunction);
  return writer;
}

function writeTables(tables: readonly TableType[]): WasmWriter {
  const writer = new WasmWriter().u32(tables.length);
  for (const { element, limits: { min, max } } of tables) {
    const bound = Math.max(min, Math.min(max ?? MAX_TABLE_ELEMENTS, MAX_TABLE_ELEMENTS));
    writer.bytes([element, 0x01]).u32(min).u32(bound);
  }
  return writer;
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 300);
}
