import { Buffer } from "node:buffer";

/** Four bytes, which are known only after what they are the length of. */
const LENGTH_BYTES = 4;
const MORE = 0x80;
const BITS = 0x7f;
/** Shorter texts are written faster unit by unit than by a call into the runtime. */
const SHORT_UNITS = 64;
const scratch = new DataView(new ArrayBuffer(8));
const BYTES_PER_UNIT = 3; // the most that UTF-8 makes of one unit of UTF-16

/**
 * Writes protobuf (https://protobuf.dev/programming-guides/encoding/) into bytes that are there, and no object besides. What finds no room is
 * not written but counted: {@link fits} tells whether all was written.
 *
 * The length of a message takes four bytes, however short it is, so that the message is written only once, where it stays. Decoders take such
 * varints, which are longer than need be, as Perfetto's writer counts on too.
 */
export class ProtoWriter {
  readonly bytes: Buffer<ArrayBuffer>;
  length = 0;

  constructor(bytes: Buffer<ArrayBuffer>) {
    this.bytes = bytes;
  }

  get fits(): boolean {
    return this.length <= this.bytes.length;
  }

  /** A tag, or another number below 128. */
  byte(value: number): void {
    this.bytes[this.length++] = value;
  }

  /** A whole number that is not negative, up to 2^53 - 1. */
  varint(value: number): void {
    let left = value;
    for (; left > BITS; left = Math.floor(left / MORE)) this.byte((left % MORE) | MORE);
    this.byte(left);
  }

  /** 32 bits, the highest byte first, as ids are written. */
  bigEndian(word: number): void {
    const { bytes, length: at } = this;
    bytes[at] = word >>> 24;
    bytes[at + 1] = word >>> 16;
    bytes[at + 2] = word >>> 8;
    bytes[at + 3] = word;
    this.length = at + 4;
  }

  /** 32 bits, the lowest byte first, as `fixed32` and the halves of `fixed64` are. */
  littleEndian(word: number): void {
    const { bytes, length: at } = this;
    bytes[at] = word;
    bytes[at + 1] = word >>> 8;
    bytes[at + 2] = word >>> 16;
    bytes[at + 3] = word >>> 24;
    this.length = at + 4;
  }

  double(value: number): void {
    scratch.setFloat64(0, value, true);
    this.littleEndian(scratch.getInt32(0, true));
    this.littleEndian(scratch.getInt32(4, true));
  }

  /** A field that holds text. */
  text(tag: number, value: string): void {
    const { length } = value;
    const { bytes, length: start } = this;
    let i = 0;
    if (length <= SHORT_UNITS) {
      for (let at = start + 2; i < length; i++) {
        const unit = value.charCodeAt(i);
        if (unit > BITS) break;
        bytes[at++] = unit;
      }
    }
    this.byte(tag);
    if (i < length) {
      this.#anyText(value);
    } else {
      this.byte(length);
      this.length += length;
    }
  }

  #anyText(value: string): void {
    const most = value.length * BYTES_PER_UNIT;
    this.varint(Buffer.byteLength(value));
    this.length += this.length + most <= this.bytes.length ? this.bytes.write(value, this.length) : most;
  }

  /** Begins a field that holds a message; what {@link end} wants. */
  begin(tag: number): number {
    this.byte(tag);
    return this.length += LENGTH_BYTES;
  }

  /** Ends the message that begins there. */
  end(start: number): void {
    const { bytes } = this;
    const length = this.length - start;
    bytes[start - 4] = length | MORE;
    bytes[start - 3] = (length >>> 7) | MORE;
    bytes[start - 2] = (length >>> 14) | MORE;
    bytes[start - 1] = (length >>> 21) & BITS;
  }
}
