import type { PaymentChange, PaymentKind } from "../core/mod.ts";
import type { Engine, WriteOp } from "./engine.ts";
import type { GroupCommit } from "./group-commit.ts";
import { Sublevel } from "./sublevel.ts";

const STEP = 1000;

/** The books of payments, in an {@link Engine}: JSON texts by kind and key, whose form `payments/` decides. */
export class PaymentTable {
  readonly #commit: GroupCommit;
  readonly #sublevels: Readonly<Record<PaymentKind, Sublevel>>;

  constructor(engine: Engine, commit: GroupCommit) {
    this.#commit = commit;
    this.#sublevels = {
      earning: new Sublevel(engine, "pay-earning"),
      spending: new Sublevel(engine, "pay-spending"),
      total: new Sublevel(engine, "pay-total"),
      transaction: new Sublevel(engine, "pay-transaction"),
      checkpoint: new Sublevel(engine, "pay-checkpoint"),
      peer: new Sublevel(engine, "pay-peer"),
    };
  }

  /** All entries of a kind, in the order of their keys. */
  async entries(kind: PaymentKind): Promise<[key: string, text: string][]> {
    const all: [string, string][] = [];
    for (;;) {
      const after = all.at(-1)?.[0];
      const page = await this.#sublevels[kind].entries({ ...(after !== undefined && { gt: after }), limit: STEP });
      all.push(...page);
      if (page.length < STEP) return all;
    }
  }

  /** Applies changes, all or none, after all earlier ones. With `durable` it returns when they would survive a power cut. */
  write(changes: readonly PaymentChange[], options: { readonly durable: boolean }): Promise<void> {
    const ops: WriteOp[] = changes.map(({ kind, key, text }) => {
      const sublevel = this.#sublevels[kind];
      return text === undefined ? sublevel.del(key) : sublevel.put(key, text);
    });
    return this.#commit.write(ops, options);
  }
}
