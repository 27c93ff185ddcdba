import { setTimeout as sleep } from "node:timers/promises";

/** Lets bytes through at a rate, with up to a second's worth at once: a token bucket. */
export class ByteBudget {
  readonly #bytesPerSecond: number;
  #left: number;
  #at = performance.now();

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#left = bytesPerSecond;
  }

  /** Resolves when the bytes may pass. More than a second's worth pass at once, and what comes after waits the longer. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    this.#refill();
    const wait = -this.#left / this.#bytesPerSecond * 1000;
    // Taken at once, so that those who come later wait behind.
    this.#left -= bytes;
    if (wait > 0) await sleep(wait, undefined, { signal, ref: false });
  }

  #refill(): void {
    const now = performance.now();
    this.#left = Math.min(this.#bytesPerSecond, this.#left + (now - this.#at) / 1000 * this.#bytesPerSecond);
    this.#at = now;
  }
}
