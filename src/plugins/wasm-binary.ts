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
} as const;

export interface Section {
  readonly id: number;
  /** What follows the section's size; for a custom section also its name. */
  readonly body: Uint8Array;
}

const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]; // "\0asm", version 1
const utf8 = new TextDecoder("utf-8", { fatal: true });
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

/** Writes the primitive values of the binary format. */
export class WasmWriter {
  readonly #chunks: Uint8Array[] = [];

  u32(value: number): this {
    const bytes: number[] = [];
    let rest = value;
    do {
      const low = rest % 128;
      rest = Math.floor(rest / 128);
      bytes.push(rest > 0 ? low | 0x80 : low);
    } while (rest > 0);
    return this.bytes(bytes);
  }

  bytes(bytes: Uint8Array | readonly number[]): this {
    this.#chunks.push(bytes instanceof Uint8Array ? bytes : Uint8Array.from(bytes));
    return this;
  }

  name(name: string): this {
    const bytes = encoder.encode(name);
    return this.u32(bytes.length).bytes(bytes);
  }

  section({ id, body }: Section): this {
    return this.bytes([id]).u32(body.length).bytes(body);
  }

  finish(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0));
    let offset = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, offset);
      offset += chunk.length;
    }
    return whole;
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
