export interface FastestWayOptions {
  /** How often each way is tried before one is chosen. */
  readonly tries: number;
  /** A clock that never goes back, in milliseconds. */
  readonly now?: () => number;
}

/**
 * One of several ways to the same result: each in turn for a while, then only the one whose fastest run was the fastest. That is measured on the way
 * and not at the start, when nothing is compiled yet. Runs are to be of one size.
 */
export class FastestWay<A extends readonly unknown[], R> {
  readonly #ways: readonly ((...args: A) => R)[];
  readonly #fastestMs: number[];
  readonly #now: () => number;
  #triesLeft: number;
  #chosen: (...args: A) => R;

  constructor(ways: readonly ((...args: A) => R)[], options: FastestWayOptions) {
    this.#ways = ways;
    this.#fastestMs = ways.map(() => Infinity);
    this.#now = options.now ?? (() => performance.now());
    this.#triesLeft = options.tries * ways.length;
    this.#chosen = ways[0]!;
  }

  /** The one that is chosen, and until then the first. */
  get chosen(): (...args: A) => R {
    return this.#chosen;
  }

  run(...args: A): R {
    if (this.#triesLeft === 0) return this.#chosen(...args);
    const place = --this.#triesLeft % this.#ways.length;
    const startedAt = this.#now();
    const result = this.#ways[place]!(...args);
    this.#fastestMs[place] = Math.min(this.#fastestMs[place]!, this.#now() - startedAt);
    if (this.#triesLeft === 0) this.#chosen = this.#ways[this.#fastestMs.indexOf(Math.min(...this.#fastestMs))]!;
    return result;
  }
}
