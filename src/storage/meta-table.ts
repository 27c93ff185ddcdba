import type { Engine } from "./engine.ts";
import type { GroupCommit } from "./group-commit.ts";
import { Sublevel } from "./sublevel.ts";

/** Small named values for whoever has no table of its own. Keys are paths such as `plugins/demo`; values are text. */
export class MetaTable {
  readonly #commit: GroupCommit;
  readonly #values: Sublevel;

  constructor(engine: Engine, commit: GroupCommit) {
    this.#commit = commit;
    this.#values = new Sublevel(engine, "meta");
  }

  get(key: string): Promise<string | undefined> {
    return this.#values.get(key);
  }

  /** Up to `limit` entries whose keys begin with `prefix`, in the order of their keys, behind the key `after`. */
  async list(
    prefix: string,
    options: { readonly limit: number; readonly after?: string },
  ): Promise<[string, string][]> {
    // No key holds the highest code point, so this bounds the prefix from above.
    const lt = prefix === "" ? {} : { lt: prefix + "\u{10ffff}" };
    const entries = await this.#values.entries({ gt: options.after ?? prefix, ...lt, limit: options.limit });
    // `gt` leaves out a key that is the prefix itself.
    if (options.after !== undefined || prefix === "" || options.limit === 0) return entries;
    const own = await this.get(prefix);
    return own === undefined ? entries : [[prefix, own] as [string, string], ...entries].slice(0, options.limit);
  }

  /** Stores a value so that it survives a power cut. */
  put(key: string, value: string): Promise<void> {
    return this.#commit.write([this.#values.put(key, value)], { durable: true });
  }

  delete(key: string): Promise<void> {
    return this.#commit.write([this.#values.del(key)], { durable: true });
  }
}
