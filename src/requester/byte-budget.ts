import { setTimeout as sleep } from "node:timers/promises";

/** How a budget feels time pass; tests own it. */
export interface BudgetTime {
  /** Milliseconds that pass while the process runs, from any beginning. */
  monotonicMs(): number;
  wait(ms: number, signal: AbortSignal): Promise<unknown>;
}

const MACHINE_TIME: BudgetTime = {
  monotonicMs: () => performance.now(),
  wait: (ms, signal) => sleep(ms, undefined, { signal, ref: false }),
};

/** Lets bytes through at a rate, with up to a second's worth at once: a token bucket. */
export class ByteBudget {
  readonly #bytesPerSecond: number;
  readonly #time: BudgetTime;
  #left: number;
  #at: number;

  constructor(bytesPerSecond: number, time: BudgetTime = MACHINE_TIME) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#time = time;
    this.#left = bytesPerSecond;
    this.#at = time.monotonicMs();
  }

  /** Resolves when the bytes may pass. More than a second's worth pass at once, and what comes after waits the longer. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    this.#refill();
    const waitMs = -this.#left / this.#bytesPerSecond * 1000;
    // Taken at once, so that those who come later wait behind.
    this.#left -= bytes;
    if (waitMs > 0) await this.#time.wait(waitMs, signal);
  }

  #refill(): void {
    const now = this.#time.monotonicMs();
    this.#left = Math.min(this.#bytesPerSecond, this.#left + (now - this.#at) / 1000 * this.#bytesPerSecond);
    this.#at = now;
  }
}
