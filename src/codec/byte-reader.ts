import { NodeError } from "../core/mod.ts";

/**
 * Reads a binary form field by field; numbers are big-endian. Every method throws `invalid_argument` with the form's name, the field's
 * name and its offset when the bytes end early or do not fit.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #form: string;
  #at = 0;

  constructor(form: string, bytes: Uint8Array) {
    this.#form = form;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The offset of the next byte. */
  get at(): number {
    return this.#at;
  }

  /** The next bytes, as a copy. */
  bytes(field: string, length: number): Uint8Array {
    return this.#bytes.slice(this.#advance(field, length), this.#at);
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#advance(field, 1));
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#advance(field, 2));
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#advance(field, 4));
  }

  /** Eight bytes whose number must not be above `max`. */
  u64(field: string, max: number = Number.MAX_SAFE_INTEGER): number {
    const at = this.#advance(field, 8);
    const value = this.#view.getUint32(at) * 2 ** 32 + this.#view.getUint32(at + 4);
    if (value > max) throw this.error(field, at, `is ${value}, above ${max}`);
    return value;
  }

  /** Fails unless the next bytes are the expected ones. */
  expect(field: string, expected: Uint8Array): void {
    const at = this.#at;
    if (Buffer.compare(this.bytes(field, expected.length), expected) !== 0) {
      throw this.error(field, at, `is not "${new TextDecoder("latin1").decode(expected)}"`);
    }
  }

  /** Reads the byte that says the form's version; throws `unimplemented` for another than the known one. */
  version(known: number): void {
    const version = this.u8("version");
    if (version !== known) {
      throw new NodeError(
        "unimplemented",
        `This ${this.#form} has version ${version} and this program knows version ${known}; update the program`,
      );
    }
  }

  /** UTF-8 text of `length` bytes. */
  text(field: string, length: number): string {
    const at = this.#at;
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.bytes(field, length));
    } catch (error) {
      if (error instanceof NodeError) throw error;
      throw this.error(field, at, "is not UTF-8");
    }
  }

  /** Fails when bytes are left. */
  end(): void {
    if (this.#at < this.#bytes.length) {
      throw this.error("end", this.#at, `has ${this.#bytes.length - this.#at} bytes too many`);
    }
  }

  /** An error that says where it is. */
  error(field: string, at: number, problem: string): NodeError {
    return new NodeError("invalid_argument", `Not a ${this.#form}: its ${field} at byte ${at} ${problem}`, {
      data: { field, offset: at },
    });
  }

  #advance(field: string, length: number): number {
    const at = this.#at;
    if (at + length > this.#bytes.length) {
      throw this.error(field, at, `takes ${length} bytes and ${this.#bytes.length - at} are left`);
    }
    this.#at += length;
    return at;
  }
}

/** Numbers as big-endian bytes, texts as UTF-8 bytes: the parts of a binary form. */
export const bigEndian = {
  u8: (value: number): Uint8Array => Uint8Array.of(value),
  u16: (value: number): Uint8Array => Uint8Array.of(value >>> 8, value),
  u32: (value: number): Uint8Array => Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value),
  u64: (value: number): Uint8Array => {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, Math.floor(value / 2 ** 32));
    view.setUint32(4, value % 2 ** 32);
    return bytes;
  },
} as const;
