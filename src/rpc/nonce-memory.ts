import { NodeError } from "../core/mod.ts";

export interface NonceMemoryOptions {
  /** How long a nonce is surely remembered, in milliseconds. */
  readonly keepMs: number;
  readonly maxNonces: number;
}

/** Remembers nonces for a while, in two generations, so that forgetting costs nothing. */
export class NonceMemory {
  readonly #options: NonceMemoryOptions;
  #young = new Set<string>();
  #old = new Set<string>();
  #turnedAt = -Infinity;

  constructor(options: NonceMemoryOptions) {
    this.#options = options;
  }

  /** Returns whether the nonce is new. Throws `overloaded` when it cannot be remembered. */
  add(nonce: string, nowMs: number): boolean {
    const { keepMs, maxNonces } = this.#options;
    if (nowMs - this.#turnedAt >= keepMs) {
      this.#old = nowMs - this.#turnedAt >= 2 * keepMs ? new Set() : this.#young;
      this.#young = new Set();
      this.#turnedAt = nowMs;
    }
    if (this.#young.has(nonce) || this.#old.has(nonce)) return false;
    if (this.#young.size + this.#old.size >= maxNonces) {
      throw new NodeError("overloaded", "More signed requests came than this node can remember: send them later", {
        retryAfterMs: keepMs,
      });
    }
    this.#young.add(nonce);
    return true;
  }
}
