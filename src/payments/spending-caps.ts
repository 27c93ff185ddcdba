import type { Wei } from "../core/mod.ts";
import type { Budget, Held } from "./budget.ts";
import type { SpendingAccount } from "./spending-account.ts";

/** Tells what other channels hold. */
interface OtherAccounts {
  heldBeside(account: SpendingAccount): Held;
}

/** Sets money aside for work on a channel, within the caps; what is in doubt or signed ahead on any channel counts in those of a day. */
export class SpendingCaps {
  readonly #budget: Budget;
  readonly #accounts: OtherAccounts;

  constructor(budget: Budget, accounts: OtherAccounts) {
    this.#budget = budget;
    this.#accounts = accounts;
  }

  /** Throws `cap_reached` when a cap would be passed. */
  reserve(account: SpendingAccount, max: Wei): void {
    this.#budget.reserve(account.state.provider, max, this.#held(account, account.held(max)));
  }

  release({ state: { provider } }: SpendingAccount, max: Wei): void {
    this.#budget.release(provider, max);
  }

  /** What may be signed away ahead of need. */
  room(account: SpendingAccount): bigint {
    return this.#budget.room(account.state.provider, this.#held(account, account.doubtful));
  }

  /** What is held for all channels: `own` for this one. */
  #held(account: SpendingAccount, own: bigint): Held | undefined {
    if (!this.#budget.hasDayCap) return undefined;
    const { peer, all } = this.#accounts.heldBeside(account);
    return { peer: peer + own, all: all + own };
  }
}
