import type { Engine, KeyRange, WriteOp } from "./engine.ts";

/** An engine that keeps everything in memory and forgets it: for tests and for nodes without a data directory. */
export class MemoryEngine implements Engine {
  readonly #values = new Map<string, string | Uint8Array>();
  /** All keys in order. */
  readonly #order: string[] = [];

  get(key: string): Promise<string | undefined> {
    return Promise.resolve(this.#text(key));
  }

  getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    return Promise.resolve(keys.map((key) => this.#text(key)));
  }

  getBytes(key: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#values.get(key) as Uint8Array | undefined);
  }

  keys({ gt, lt, limit, reverse }: KeyRange): Promise<string[]> {
    const from = this.#position(gt + "\0");
    const to = this.#position(lt);
    if (reverse) return Promise.resolve(this.#order.slice(Math.max(from, to - limit), to).reverse());
    return Promise.resolve(this.#order.slice(from, Math.min(to, from + limit)));
  }

  async entries(range: KeyRange): Promise<[string, string][]> {
    const keys = await this.keys(range);
    return keys.map((key) => [key, this.#text(key)!]);
  }

  write(ops: readonly WriteOp[]): Promise<void> {
    for (const op of ops) {
      const known = this.#values.has(op.key);
      if (op.type === "put") {
        // A copy, as the disk would hold it: the caller may reuse or transfer its bytes.
        this.#values.set(op.key, typeof op.value === "string" ? op.value : op.value.slice());
        if (!known) this.#order.splice(this.#position(op.key), 0, op.key);
      } else if (known) {
        this.#values.delete(op.key);
        this.#order.splice(this.#position(op.key), 1);
      }
    }
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #text(key: string): string | undefined {
    return this.#values.get(key) as string | undefined;
  }

  /** The index of the first key that is not below `key`. */
  #position(key: string): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#order[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
