import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";

const DRAWN_BYTES = 6144;
const TRACE_DIGITS = 32;
const SPAN_DIGITS = 16;

/** Random ids of traces and spans in hex (W3C Trace Context §3.2.2), cut from digits that are drawn many at a time. */
export class TraceIds {
  readonly #random = Buffer.alloc(DRAWN_BYTES);
  #digits = "";
  #at = 0;

  trace(): string {
    return this.#cut(TRACE_DIGITS);
  }

  span(): string {
    return this.#cut(SPAN_DIGITS);
  }

  #cut(length: number): string {
    if (this.#at + length > this.#digits.length) {
      this.#digits = randomFillSync(this.#random).toString("hex");
      this.#at = 0;
    }
    return this.#digits.slice(this.#at, this.#at += length);
  }
}
