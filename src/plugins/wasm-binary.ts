import { NodeError } from "../core/mod.ts";

/** Section ids of the WebAssembly binary format (WebAssembly Core Specification, section 5.5). */
export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
  tag: 13,
} as const;

/** The order in which the format wants the sections that are not custom; it is not the order of their ids. */
export const SECTION_ORDER: readonly number[] = [
  SECTION.type,
  SECTION.import,
  SECTION.function,
  SECTION.table,
  SECTION.memory,
  SECTION.tag,
  SECTION.global,
  SECTION.export,
  SECTION.start,
  SECTION.element,
  SECTION.dataCount,
  SECTION.code,
  SECTION.data,
];

export interface Section {
  readonly id: number;
  /** What follows the section's size; for a custom section also its name. */
  readonly body: Uint8Array;
}

/** Sections that a module may have, custom ones included. Compilers write some twenty. */
const MAX_SECTIONS = 1_000;

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]; // "\0asm", version 1
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Says why bytes are no module that this node runs. */
export function invalidModule(reason: string, cause?: unknown): NodeError {
  return new NodeError("module_invalid", reason, { cause });
}

/** Reads the primitive values of the binary format. Every method throws `module_invalid` at the end of the bytes. */
export class WasmReader {
  readonly bytes: Uint8Array;
  offset = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get done(): boolean {
    return this.offset >= this.bytes.length;
  }

  byte(): number {
    const value = this.bytes[this.offset];
    if (value === undefined) throw invalidModule(`The module ends in the middle of a value (byte ${this.offset})`);
    this.offset++;
    return value;
  }

  /** An unsigned LEB128 of at most 32 bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw invalidModule(`The module has a number of more than 32 bits before byte ${this.offset}`);
  }

  /** Passes over a signed LEB128 of at most 64 bits. */
  skipSigned(): void {
    for (let i = 0; i < 10; i++) if (this.byte() < 0x80) return;
    throw invalidModule(`The module has a number of more than 64 bits before byte ${this.offset}`);
  }

  slice(length: number): Uint8Array {
    if (length > this.bytes.length - this.offset) {
      throw invalidModule(`The module ends ${length - (this.bytes.length - this.offset)} bytes too early`);
    }
    this.offset += length;
    return this.bytes.subarray(this.offset - length, this.offset);
  }

  name(): string {
    const bytes = this.slice(this.u32());
    try {
      return utf8.decode(bytes);
    } catch {
      throw invalidModule(`The module has a name that is not UTF-8 before byte ${this.offset}`);
    }
  }
}

/** Writes the primitive values of the binary format into memory that grows as it is needed. */
export class WasmWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  constructor(expectedBytes = 64) {
    this.#bytes = new Uint8Array(expectedBytes);
  }

  get length(): number {
    return this.#length;
  }

  byte(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  /** An unsigned LEB128 of at most 32 bits. */
  u32(value: number): this {
    this.#reserve(5);
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#length++] = rest;
    return this;
  }

  /** A signed LEB128 of a safe integer. */
  signed(value: number): this {
    this.#reserve(8);
    let rest = value;
    for (;;) {
      const low = ((rest % 128) + 128) % 128;
      rest = (rest - low) / 128;
      const ends = (rest === 0 && low < 64) || (rest === -1 && low >= 64);
      this.#bytes[this.#length++] = ends ? low : low | 0x80;
      if (ends) return this;
    }
  }

  bytes(bytes: Uint8Array | readonly number[]): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  name(name: string): this {
    const bytes = encoder.encode(name);
    return this.u32(bytes.length).bytes(bytes);
  }

  section({ id, body }: Section): this {
    return this.byte(id).u32(body.length).bytes(body);
  }

  /** What was written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/** Cuts a module into its sections without looking into them. Throws `module_invalid`. */
export function splitSections(module: Uint8Array): Section[] {
  if (module.length < HEADER.length || HEADER.slice(0, 4).some((byte, i) => module[i] !== byte)) {
    throw invalidModule("This is not a WebAssembly module: it does not begin with the bytes 00 61 73 6d");
  }
  if (HEADER.some((byte, i) => module[i] !== byte)) {
    throw invalidModule("This is no WebAssembly core module of version 1; a component must be built as a core module");
  }
  const reader = new WasmReader(module);
  reader.offset = HEADER.length;
  const sections: Section[] = [];
  while (!reader.done) {
    if (sections.length === MAX_SECTIONS) {
      throw invalidModule(
        `The module has more than ${MAX_SECTIONS} sections, the most that this node reads; strip its custom sections (wasm-strip)`,
      );
    }
    const id = reader.byte();
    sections.push({ id, body: reader.slice(reader.u32()) });
  }
  return sections;
}

/** Puts sections together into a module. */
export function joinSections(sections: readonly Section[]): Uint8Array<ArrayBuffer> {
  const writer = new WasmWriter().bytes(HEADER);
  for (const section of sections) writer.section(section);
  return writer.finish();
}
