import { invalidModule, SECTION, splitSections, WasmReader } from "./wasm-binary.ts";
import type { Section } from "./wasm-binary.ts";

/** Bounds of a table or memory: flag bits of the binary format, and sizes in elements or pages. */
export interface Limits {
  readonly flags: number;
  readonly min: number;
  readonly max: number | undefined;
}

export type ExternalKind = "function" | "table" | "memory" | "global" | "tag";

export interface ModuleImport {
  readonly module: string;
  readonly name: string;
  readonly kind: ExternalKind;
  /** The signature of a function, such as `I,i:I`: parameters, colon, results; empty for anything else. */
  readonly signature: string;
  /** The index of a function's type; 0 for anything else. */
  readonly typeIndex: number;
}

export interface ModuleExport {
  readonly name: string;
  readonly kind: ExternalKind;
  readonly index: number;
  /** The signature of a function, as in {@link ModuleImport}; empty for anything else. */
  readonly signature: string;
}

export interface FunctionType {
  /** Parameters, colon, results, such as `I,i:I`. */
  readonly signature: string;
  readonly params: number;
  /** The value types as the format writes them. */
  readonly results: readonly number[];
}

export interface TableType {
  readonly element: number;
  readonly limits: Limits;
}

/** The parts of a module that decide whether and how this node can run it. */
export interface ModuleOutline {
  readonly sections: readonly Section[];
  readonly types: readonly FunctionType[];
  /** The index of the type of every function, imported ones first. */
  readonly functionTypes: readonly number[];
  readonly imports: readonly ModuleImport[];
  readonly exports: readonly ModuleExport[];
  readonly tables: readonly TableType[];
  readonly memories: readonly Limits[];
  readonly startFunction: number | undefined;
  /** The content of custom sections by name; of several with one name, the first. */
  readonly custom: ReadonlyMap<string, Uint8Array>;
}

const KINDS: readonly ExternalKind[] = ["function", "table", "memory", "global", "tag"];
const VALUE_TYPES: Readonly<Record<number, string>> = {
  0x7f: "i",
  0x7e: "I",
  0x7d: "f",
  0x7c: "F",
  0x7b: "v",
  0x70: "c",
  0x6f: "x",
};

/** How many of each a module may have. Well above what compilers make, and low enough that no module fills the node's memory. */
const MOST = {
  types: 50_000,
  imports: 10_000,
  functions: 200_000,
  exports: 50_000,
  tables: 10_000,
  memories: 100,
} as const;
/** Parameters or results of one function; engines take no more either. */
const MAX_VALUES = 1_000;

/**
 * Reads what the host must know of a module: types, imports, tables, memories, exports, start and custom sections. Code and data are
 * not looked into; a WebAssembly engine has to validate the module as well. Throws `module_invalid`, and nothing else,
 * for any bytes.
 */
export function outlineModule(module: Uint8Array): ModuleOutline {
  const sections = splitSections(module);
  const body = (id: number): WasmReader => {
    const found = sections.filter((section) => section.id === id);
    if (found.length > 1) throw invalidModule(`The module has section ${id} more than once`);
    return new WasmReader(found[0]?.body ?? Uint8Array.of(0));
  };

  const types = list(body(SECTION.type), readFunctionType, { what: "types", most: MOST.types });
  const typeOf = (index: number): string => {
    const type = types[index];
    if (type === undefined) throw invalidModule(`The module uses type ${index}, and has only ${types.length}`);
    return type.signature;
  };
  const imports = list(body(SECTION.import), (reader) => readImport(reader, typeOf), {
    what: "imports",
    most: MOST.imports,
  });
  const functionTypes = [
    ...imports.filter(({ kind }) => kind === "function").map(({ typeIndex }) => typeIndex),
    ...list(body(SECTION.function), (reader) => reader.u32(), { what: "functions", most: MOST.functions }),
  ];
  const exports = list(body(SECTION.export), (reader): ModuleExport => {
    const name = reader.name();
    const kind = readKind(reader);
    const index = reader.u32();
    const type = kind === "function" ? functionTypes[index] : undefined;
    return { name, kind, index, signature: type === undefined ? "" : typeOf(type) };
  }, { what: "exports", most: MOST.exports });
  return {
    sections,
    types,
    functionTypes,
    imports,
    exports,
    tables: list(body(SECTION.table), readTableType, { what: "tables", most: MOST.tables }),
    memories: list(body(SECTION.memory), readLimits, { what: "memories", most: MOST.memories }),
    startFunction: sections.some(({ id }) => id === SECTION.start) ? body(SECTION.start).u32() : undefined,
    custom: readCustomSections(sections),
  };
}

function list<T>(
  reader: WasmReader,
  read: (reader: WasmReader) => T,
  { what, most }: { readonly what: string; readonly most: number },
): T[] {
  const count = reader.u32();
  if (count > most) {
    throw invalidModule(
      `The module has ${count} ${what}, and this node reads at most ${most}; make it smaller, or split it into several plugins`,
    );
  }
  const items: T[] = [];
  for (let i = 0; i < count; i++) items.push(read(reader));
  return items;
}

function readFunctionType(reader: WasmReader): FunctionType {
  const form = reader.byte();
  if (form !== 0x60) {
    // Structs and arrays live on the garbage-collected heap, where no memory limit would reach them.
    throw invalidModule(
      `The module has a type of form 0x${form.toString(16)}, and this node runs only plain function types; ` +
        "build it without garbage-collected types",
    );
  }
  const params = list(reader, readValueType, { what: "parameters in one type", most: MAX_VALUES });
  const results = list(reader, readValueType, { what: "results in one type", most: MAX_VALUES });
  const signature = `${params.map(valueTypeName).join()}:${results.map(valueTypeName).join()}`;
  return { signature, params: params.length, results };
}

/** Reads the type of a value. Throws `module_invalid` for references of a kind that this node does not run. */
export function readValueType(reader: WasmReader): number {
  const code = reader.byte();
  if (code in VALUE_TYPES) return code;
  if (code === 0x69 || code === 0x74) {
    throw invalidModule("The module uses exceptions, which this node does not run yet");
  }
  if (code === 0x63 || code === 0x64) {
    throw invalidModule("The module uses typed references, which this node does not run");
  }
  throw invalidModule(
    `The module uses the value type 0x${
      code.toString(16)
    }, and this node runs only numbers, vectors, funcref and externref; ` +
      "build it without garbage-collected types",
  );
}

function valueTypeName(code: number): string {
  return VALUE_TYPES[code] ?? "";
}

function readKind(reader: WasmReader): ExternalKind {
  const code = reader.byte();
  const kind = KINDS[code];
  if (kind === undefined) throw invalidModule(`The module imports or exports a thing of unknown kind ${code}`);
  return kind;
}

function readImport(reader: WasmReader, typeOf: (index: number) => string): ModuleImport {
  const module = reader.name();
  const name = reader.name();
  const kind = readKind(reader);
  switch (kind) {
    case "function": {
      const typeIndex = reader.u32();
      return { module, name, kind, signature: typeOf(typeIndex), typeIndex };
    }
    case "table":
      readTableType(reader);
      break;
    case "memory":
      readLimits(reader);
      break;
    case "global":
      readValueType(reader);
      reader.byte();
      break;
    case "tag":
      reader.byte();
      reader.u32();
  }
  return { module, name, kind, signature: "", typeIndex: 0 };
}

function readTableType(reader: WasmReader): TableType {
  const element = reader.byte();
  if (element !== 0x70 && element !== 0x6f) {
    throw invalidModule(
      `The module has a table of type 0x${element.toString(16)}, and this node runs only funcref and externref tables`,
    );
  }
  return { element, limits: readLimits(reader) };
}

function readLimits(reader: WasmReader): Limits {
  const flags = reader.byte();
  if ((flags & ~1) !== 0) {
    const what = (flags & 4) !== 0
      ? "64-bit addresses"
      : (flags & 2) !== 0
      ? "shared memory"
      : `limits 0x${flags.toString(16)}`;
    throw invalidModule(`The module uses ${what}, which this node does not run; build it for plain wasm32`);
  }
  return { flags, min: reader.u32(), max: (flags & 1) !== 0 ? reader.u32() : undefined };
}

function readCustomSections(sections: readonly Section[]): Map<string, Uint8Array> {
  const custom = new Map<string, Uint8Array>();
  for (const { id, body } of sections) {
    if (id !== SECTION.custom) continue;
    const reader = new WasmReader(body);
    const name = reader.name();
    if (!custom.has(name)) custom.set(name, body.subarray(reader.offset));
  }
  return custom;
}
