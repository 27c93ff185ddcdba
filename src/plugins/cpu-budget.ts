/** How much of its share may be used at once after a pause, in milliseconds. */
const BURST_MS = 1000;

export interface CpuBudgetOptions {
  /** Of one core: 150 is one and a half. 0 is no limit. */
  readonly percent: number;
  readonly now: () => number;
}

/**
 * The workers' time that plugins may take together, as a token bucket. A call that has begun runs on, since a worker cannot be taken from it,
 * and what it took too much is waited for afterwards: the share holds on average, whatever single calls take.
 */
export class CpuBudget {
  readonly #share: number;
  readonly #now: () => number;
  #leftMs: number;
  #filledAt: number;

  constructor({ percent, now }: CpuBudgetOptions) {
    this.#share = percent / 100;
    this.#now = now;
    this.#leftMs = BURST_MS * this.#share;
    this.#filledAt = now();
  }

  /** Whether no call may begin now. */
  get isSpent(): boolean {
    if (this.#share === 0) return false;
    const now = this.#now();
    this.#leftMs = Math.min(BURST_MS * this.#share, this.#leftMs + (now - this.#filledAt) * this.#share);
    this.#filledAt = now;
    return this.#leftMs <= 0;
  }

  /** A call has had so much of a worker's time. */
  charge(ms: number): void {
    this.#leftMs -= ms;
  }
}
