import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";

const DRAWN_BYTES = 24 << 10; // 24 KiB: a draw has a fixed price
const ENCODED_BYTES = 384; // long strings are slow to make, for V8 has no room at hand for them
const TRACE_DIGITS = 32;
const SPAN_DIGITS = 16;

/** Random ids of traces and spans in hex (W3C Trace Context §3.2.2), cut from bytes that are drawn many at a time. */
export class TraceIds {
  readonly #random = Buffer.alloc(DRAWN_BYTES);
  #encoded = DRAWN_BYTES;
  #digits = "";
  #at = 0;

  trace(): string {
    return this.#cut(TRACE_DIGITS);
  }

  span(): string {
    return this.#cut(SPAN_DIGITS);
  }

  #cut(length: number): string {
    if (this.#at + length > this.#digits.length) this.#encode();
    return this.#digits.slice(this.#at, this.#at += length);
  }

  #encode(): void {
    if (this.#encoded >= DRAWN_BYTES) {
      randomFillSync(this.#random);
      this.#encoded = 0;
    }
    this.#digits = this.#random.toString("hex", this.#encoded, this.#encoded += ENCODED_BYTES);
    this.#at = 0;
  }
}
