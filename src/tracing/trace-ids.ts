import { randomFillSync } from "node:crypto";

const DRAWN_WORDS = 2048; // 8 KiB: a draw has a fixed price

/*
 * Ids are kept as signed words of 32 bits, the first digits first (W3C Trace Context §3.2.2): those are no objects to V8, unlike strings,
 * bigints and typed arrays, and texts of them are wanted only of those spans that call others.
 */

/** What names a trace. All spans of it at this node share it. */
export type TraceId = readonly [number, number, number, number];

/** What names a span. */
export interface SpanId {
  readonly high: number;
  readonly low: number;
}

/** Draws words of 32 random bits, many at a time. */
export class RandomWords {
  readonly #words = new Int32Array(DRAWN_WORDS);
  #at = DRAWN_WORDS;

  next(): number {
    if (this.#at === DRAWN_WORDS) {
      randomFillSync(this.#words);
      this.#at = 0;
    }
    return this.#words[this.#at++]!;
  }
}

/** The digits of a word in hex. */
export function hexOfWord(word: number): string {
  return (word >>> 0).toString(16).padStart(8, "0");
}

/** The word that begins at a digit. */
export function wordOfHex(hex: string, at: number): number {
  return Number.parseInt(hex.slice(at, at + 8), 16) | 0;
}
