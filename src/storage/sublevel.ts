import type { Engine, WriteOp } from "./engine.ts";

/** A page of a sublevel, from `gt` (exclusive; all when absent) up to `lt` (exclusive; all when absent). */
export interface SublevelRange {
  readonly gt?: string;
  readonly lt?: string;
  readonly limit: number;
  readonly reverse?: boolean;
}

/** A named part of the key space, laid out as the sublevels of `abstract-level` are: `!name!key`. */
export class Sublevel {
  readonly #engine: Engine;
  readonly #prefix: string;
  readonly #end: string;

  constructor(engine: Engine, name: string) {
    this.#engine = engine;
    this.#prefix = `!${name}!`;
    // The character after "!" bounds the prefix from above.
    this.#end = `!${name}"`;
  }

  /** The key as the engine has it. */
  fullKey(key: string): string {
    return this.#prefix + key;
  }

  get(key: string): Promise<string | undefined> {
    return this.#engine.get(this.#prefix + key);
  }

  getMany(keys: readonly string[]): Promise<(string | undefined)[]> {
    return this.#engine.getMany(keys.map((key) => this.#prefix + key));
  }

  getBytes(key: string): Promise<Uint8Array | undefined> {
    return this.#engine.getBytes(this.#prefix + key);
  }

  viewMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return this.#engine.viewMany(keys.map((key) => this.#prefix + key));
  }

  async keys(range: SublevelRange): Promise<string[]> {
    const keys = await this.#engine.keys(this.#full(range));
    return keys.map((key) => key.slice(this.#prefix.length));
  }

  async entries(range: SublevelRange): Promise<[string, string][]> {
    const entries = await this.#engine.entries(this.#full(range));
    return entries.map(([key, value]) => [key.slice(this.#prefix.length), value]);
  }

  put(key: string, value: string | Uint8Array): WriteOp {
    return { type: "put", key: this.#prefix + key, value };
  }

  del(key: string): WriteOp {
    return { type: "del", key: this.#prefix + key };
  }

  #full({ gt, lt, limit, reverse = false }: SublevelRange) {
    return {
      gt: gt === undefined ? this.#prefix : this.#prefix + gt,
      lt: lt === undefined ? this.#end : this.#prefix + lt,
      limit,
      reverse,
    };
  }
}
