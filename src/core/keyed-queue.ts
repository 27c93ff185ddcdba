/** Runs work on one key one after the other, and on different keys at once. */
export class KeyedQueue {
  readonly #tails = new Map<string, Promise<unknown>>();

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const running = before === undefined ? work() : before.then(work, work);
    this.#tails.set(key, running);
    try {
      return await running;
    } finally {
      if (this.#tails.get(key) === running) this.#tails.delete(key);
    }
  }

  /** Runs work on several keys at once. Keys are taken in one order by all, so that no two wait for each other. */
  runAll<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const sorted = [...new Set(keys)].sort();
    const from = (place: number): Promise<T> => {
      const key = sorted[place];
      return key === undefined ? work() : this.run(key, () => from(place + 1));
    };
    return from(0);
  }
}
