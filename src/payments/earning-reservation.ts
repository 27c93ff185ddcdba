import {
  type Clock,
  type NodeKey,
  type Quote,
  type Rates,
  type Settlement,
  type ShardLease,
  shardLeaseDigest,
  type ShardRecord,
  type TaskKey,
  type TaskTerms,
  type Wei,
} from "../core/mod.ts";
import { dueKey, type EarningAccount } from "./earning-account.ts";
import type { EarningAccounts } from "./earning-accounts.ts";
import type { QuoteIds } from "./held-quotes.ts";
import type { Totals } from "./totals.ts";

/** What work may cost at most and then costs. */
export interface EarningReservation<Used> {
  /** Notes what a task will be charged, before its end is stored: the note outlives the process. */
  prepare(task: TaskKey, usage: Used): void | Promise<void>;
  settle(usage: Used): void | Promise<void>;
  release(): void;
  /** Credits what was settled, once; nothing when it was released. */
  refund(): void | Promise<void>;
  /** What settling this usage will charge, and by which quote; undefined when it is free. Changes nothing. */
  terms(usage: Used): TaskTerms | undefined;
  /** Signs the lease of a shard by the quote that it is charged by, granted at a time; undefined when it is free. After `settle` or `release`. */
  lease(record: ShardRecord, startsAt: number): ShardLease | undefined;
}

/** What is free of charge. */
export const FREE_EARNING: EarningReservation<unknown> = Object.freeze({
  prepare() {},
  settle() {},
  release() {},
  refund() {},
  terms: () => undefined,
  lease: () => undefined,
});

/** Work as it is priced by some rates. */
export interface PricedWork<Used> {
  max(rates: Rates): Wei;
  price(rates: Rates, usage: Used): Wei;
}

/** What reservations on all accounts share. */
export interface EarningReservationParts {
  readonly ids: QuoteIds;
  readonly settlement: Settlement;
  readonly key: NodeKey;
  readonly clock: Clock;
  readonly totals: Totals;
  readonly accounts: Pick<EarningAccounts, "save" | "saveLater">;
  /** What the payer may owe. */
  readonly creditOf: (account: EarningAccount) => Wei;
}

/** The most set aside that work may cost, on the account that pays for it. */
export class AccountEarning<Used> implements EarningReservation<Used> {
  readonly #account: EarningAccount;
  readonly #quotes: readonly Quote[];
  readonly #work: PricedWork<Used>;
  readonly #parts: EarningReservationParts;
  readonly #max: Wei;
  #by: Quote;
  #noted: string | undefined;
  #charged: Wei | undefined;

  /**
   * Takes the quotes that the work may be charged by, one at least: whichever comes cheapest for what was done, so that the requester never meets
   * a price that it has not agreed to. Throws `payment_required` when the account has no cover for the work.
   */
  constructor(
    account: EarningAccount,
    { quotes, work }: { readonly quotes: readonly Quote[]; readonly work: PricedWork<Used> },
    parts: EarningReservationParts,
  ) {
    this.#account = account;
    this.#quotes = quotes;
    this.#work = work;
    this.#parts = parts;
    this.#by = quotes[0]!;
    let max = work.max(this.#by.rates);
    for (let i = 1; i < quotes.length; i++) max = lesser(max, work.max(quotes[i]!.rates));
    this.#max = max;
    account.reserve(max, parts.creditOf);
  }

  prepare(task: TaskKey, usage: Used): Promise<void> {
    this.#noted = dueKey(task);
    this.#account.expect(this.#noted, this.#price(usage).amount);
    return this.#parts.accounts.save(this.#account);
  }

  settle(usage: Used): Promise<void> {
    const { clock, totals, accounts } = this.#parts;
    const { quote, amount: wanted } = this.#price(usage);
    this.#by = quote;
    const { payer: peer, token } = this.#account.state.chain;
    const amount = this.#account.settle(this.#max, wanted, { nowMs: clock.now(), task: this.#noted });
    this.#charged = amount;
    totals.add("earned", { peer, token, amount, items: 1 });
    // The answer leaves only when the charge is with the system: it survives the end of the process.
    return accounts.save(this.#account);
  }

  release(): void {
    this.#account.release(this.#max);
    if (this.#account.forget(this.#noted)) this.#parts.accounts.saveLater(this.#account);
  }

  refund(): void | Promise<void> {
    const { totals, accounts } = this.#parts;
    const charged = this.#charged;
    if (charged === undefined) return;
    const { payer: peer, token } = this.#account.state.chain;
    this.#account.refund(charged);
    totals.add("earned", { peer, token, amount: -charged, items: -1 });
    this.#charged = undefined;
    return accounts.save(this.#account);
  }

  terms(usage: Used): TaskTerms {
    const { ids, settlement: { chainId, channels } } = this.#parts;
    const { quote, amount } = this.#price(usage);
    return { chainId, channels, channelId: this.#account.key, quote: ids.of(quote), charge: String(amount) };
  }

  lease(record: ShardRecord, startsAt: number): ShardLease {
    const { ids, settlement, key } = this.#parts;
    const terms = { quote: ids.of(this.#by), startsAt };
    return { ...terms, signature: key.signDigest(shardLeaseDigest(settlement, record, terms)) };
  }

  /** The cheapest quote for a usage, and what it comes to by it. */
  #price(usage: Used): { readonly quote: Quote; readonly amount: Wei } {
    let quote = this.#quotes[0]!;
    let amount = this.#work.price(quote.rates, usage);
    for (let i = 1; i < this.#quotes.length; i++) {
      const other = this.#quotes[i]!;
      const price = this.#work.price(other.rates, usage);
      if (price < amount) [quote, amount] = [other, price];
    }
    return { quote, amount: lesser(amount, this.#max) };
  }
}

function lesser(a: Wei, b: Wei): Wei {
  return b < a ? b : a;
}
