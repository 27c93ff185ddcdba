import type { Engine, WriteOp } from "./engine.ts";
import type { GroupCommit } from "./group-commit.ts";
import { Sublevel } from "./sublevel.ts";

const STEP = 1000;

/** Texts by kind and key, in an {@link Engine}, whose form their owner decides. */
export class TextTable<Kind extends string> {
  readonly #commit: GroupCommit;
  readonly #sublevels: Readonly<Record<Kind, Sublevel>>;

  /** `names` are those of the kinds' sublevels. */
  constructor(engine: Engine, commit: GroupCommit, names: Readonly<Record<Kind, string>>) {
    this.#commit = commit;
    const sublevels = Object.entries<string>(names).map(([kind, name]) => [kind, new Sublevel(engine, name)]);
    this.#sublevels = Object.fromEntries(sublevels) as Record<Kind, Sublevel>;
  }

  /** All entries of a kind, in the order of their keys. */
  async entries(kind: Kind): Promise<[key: string, text: string][]> {
    const all: [string, string][] = [];
    for (;;) {
      const after = all.at(-1)?.[0];
      const page = await this.#sublevels[kind].entries({ ...(after !== undefined && { gt: after }), limit: STEP });
      all.push(...page);
      if (page.length < STEP) return all;
    }
  }

  /** Applies changes, all or none, after all earlier ones. With `durable` it returns when they would survive a power cut. */
  write(
    changes: readonly { readonly kind: Kind; readonly key: string; readonly text: string | undefined }[],
    options: { readonly durable: boolean },
  ): Promise<void> {
    const ops: WriteOp[] = changes.map(({ kind, key, text }) => {
      const sublevel = this.#sublevels[kind];
      return text === undefined ? sublevel.del(key) : sublevel.put(key, text);
    });
    return this.#commit.write(ops, options);
  }
}
