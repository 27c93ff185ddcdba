import type { Engine, KeyRange, WriteOp } from "./engine.ts";

/** An engine that keeps everything in memory and forgets it: for tests, and for nodes that are to leave no trace. */
export class MemoryEngine implements Engine {
  readonly failure = undefined;
  readonly #values = new Map<string, string | Uint8Array>();
  /** Keys in order as of the last range read; some may have gone since. */
  #ordered: string[] = [];
  /** Keys that came since the last range read. */
  #fresh: string[] = [];

  get(key: string): Promise<string | undefined> {
    return Promise.resolve(this.#text(key));
  }

  getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    return Promise.resolve(keys.map((key) => this.#text(key)));
  }

  getBytes(key: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#values.get(key) as Uint8Array | undefined);
  }

  viewMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return Promise.resolve(keys.map((key) => this.#values.get(key) as Uint8Array | undefined));
  }

  keys({ gt, lt, limit, reverse }: KeyRange): Promise<string[]> {
    const ordered = this.#order();
    // The least text above `gt`.
    const from = position(ordered, gt + "\0");
    const to = position(ordered, lt);
    if (reverse) return Promise.resolve(ordered.slice(Math.max(from, to - limit), to).reverse());
    return Promise.resolve(ordered.slice(from, Math.min(to, from + limit)));
  }

  async entries(range: KeyRange): Promise<[string, string][]> {
    const keys = await this.keys(range);
    return keys.map((key) => [key, this.#text(key)!]);
  }

  write(ops: readonly WriteOp[]): Promise<void> {
    for (const op of ops) {
      if (op.type === "del") {
        this.#values.delete(op.key);
        continue;
      }
      if (!this.#values.has(op.key)) this.#fresh.push(op.key);
      // A copy, as the disk would hold it, which `slice` of a Buffer is not: the caller may reuse or transfer its bytes.
      this.#values.set(op.key, typeof op.value === "string" ? op.value : new Uint8Array(op.value));
    }
    return Promise.resolve();
  }

  reopen(): Promise<void> {
    return Promise.resolve();
  }

  compact(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #text(key: string): string | undefined {
    return this.#values.get(key) as string | undefined;
  }

  #order(): string[] {
    if (this.#fresh.length > 0 || this.#ordered.length > this.#values.size) {
      const all = [...this.#ordered, ...this.#fresh].filter((key) => this.#values.has(key)).sort();
      // A key that went and came back is there twice.
      this.#ordered = all.filter((key, index) => key !== all[index - 1]);
      this.#fresh = [];
    }
    return this.#ordered;
  }
}

/** The index of the first key that is not below `key`. */
function position(ordered: readonly string[], key: string): number {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ordered[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
