import { NodeError } from "../core/mod.ts";

export interface NumberMemoryOptions {
  /** How long a number is surely remembered, in milliseconds. */
  readonly keepMs: number;
  /** The most entries, of up to {@link NUMBERS_PER_ENTRY} numbers each. */
  readonly maxEntries: number;
}

/** Bits of an integer that V8 keeps without memory of its own. */
export const NUMBERS_PER_ENTRY = 30;
/** What a session counts for beside its numbers. */
const ENTRIES_PER_SESSION = 10;

/** A bit for each number that came: of entry `n`, those from `n * NUMBERS_PER_ENTRY` on. */
type Bits = Map<number, number>;

/**
 * Remembers which numbers the requests of each session bore, for a while, in two generations, so that forgetting costs nothing. The numbers of
 * one session follow each other mostly, in whatever order they come: thirty of them take one entry.
 */
export class NumberMemory {
  readonly #options: NumberMemoryOptions;
  #young = new Map<string, Bits>();
  #old = new Map<string, Bits>();
  #youngEntries = 0;
  #oldEntries = 0;
  #turnedAt = -Infinity;

  constructor(options: NumberMemoryOptions) {
    this.#options = options;
  }

  /** Returns whether the number, a whole one from 0 on, is new in the session. Throws `overloaded` when it cannot be remembered. */
  add(session: string, number: number, nowMs: number): boolean {
    if (nowMs - this.#turnedAt >= this.#options.keepMs) this.#turn(nowMs);
    const entry = Math.floor(number / NUMBERS_PER_ENTRY);
    const bit = 1 << (number - entry * NUMBERS_PER_ENTRY);
    let bits = this.#young.get(session);
    const known = bits?.get(entry);
    if (((known ?? 0) & bit) !== 0 || ((this.#old.get(session)?.get(entry) ?? 0) & bit) !== 0) return false;
    if (known === undefined) this.#count(bits === undefined ? 1 + ENTRIES_PER_SESSION : 1);
    if (bits === undefined) {
      bits = new Map();
      this.#young.set(session, bits);
    }
    bits.set(entry, (known ?? 0) | bit);
    return true;
  }

  #turn(nowMs: number): void {
    const { keepMs } = this.#options;
    const tooLong = nowMs - this.#turnedAt >= 2 * keepMs;
    this.#old = tooLong ? new Map() : this.#young;
    this.#oldEntries = tooLong ? 0 : this.#youngEntries;
    this.#young = new Map();
    this.#youngEntries = 0;
    this.#turnedAt = nowMs;
  }

  #count(more: number): void {
    const { keepMs, maxEntries } = this.#options;
    if (this.#youngEntries + this.#oldEntries + more > maxEntries) {
      throw new NodeError("overloaded", "More signed requests came than this node can remember: send them later", {
        retryAfterMs: keepMs,
      });
    }
    this.#youngEntries += more;
  }
}
