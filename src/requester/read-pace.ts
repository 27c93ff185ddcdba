/** Reads that are remembered. */
const REMEMBERED = 32;
const MIN_HEDGE_MS = 30;
/** Before anything is known. */
const FIRST_HEDGE_MS = 300;

/** How long reads of shards take, to tell when one is late. */
export class ReadPace {
  readonly #durations: number[] = [];
  readonly #maxHedgeMs: number;
  #next = 0;

  constructor({ maxHedgeMs }: { readonly maxHedgeMs: number }) {
    this.#maxHedgeMs = maxHedgeMs;
  }

  async timed<T>(read: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    const result = await read();
    this.#durations[this.#next++ % REMEMBERED] = performance.now() - startedAt;
    return result;
  }

  /** Resolves when a read has taken three times as long as most do: time to ask one more shard. */
  readonly hedge = (): Promise<void> =>
    new Promise((resolve) => {
      setTimeout(resolve, this.#hedgeMs()).unref();
    });

  #hedgeMs(): number {
    if (this.#durations.length === 0) return Math.min(FIRST_HEDGE_MS, this.#maxHedgeMs);
    const sorted = [...this.#durations].sort((a, b) => a - b);
    const most = sorted[Math.floor(sorted.length * 0.9)]!;
    return Math.min(Math.max(3 * most, MIN_HEDGE_MS), this.#maxHedgeMs);
  }
}
