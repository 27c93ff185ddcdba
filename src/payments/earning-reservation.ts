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

export interface EarningReservationOptions<Used> {
  readonly account: EarningAccount;
  /** Those that the work may be charged by, one at least: whichever comes cheapest for what was done, so that the requester never meets a price that
   * it has not agreed to. */
  readonly quotes: readonly Quote[];
  readonly work: PricedWork<Used>;
  /** What the payer may owe. */
  readonly credit: Wei;
  readonly ids: QuoteIds;
  readonly settlement: Settlement;
  readonly key: NodeKey;
  readonly clock: Clock;
  readonly totals: Totals;
  /** Has the account's books written; resolves when they are with the system. */
  readonly save: () => Promise<void>;
  /** The same for nobody that waits for it. */
  readonly saveLater: () => void;
}

/** Sets the most aside that work may cost. Throws `payment_required` when the account has no cover for it. */
export function reserveEarning<Used>(options: EarningReservationOptions<Used>): EarningReservation<Used> {
  const { account, quotes, work, credit, ids, settlement, key, clock, totals, save, saveLater } = options;
  const max = least(quotes.map((quote) => work.max(quote.rates)));
  account.reserve(max, credit);
  const { channelId, chain: { payer, token } } = account.state;
  /** The cheapest quote for a usage, and what it comes to by it. */
  const charge = (usage: Used): { readonly quote: Quote; readonly amount: Wei } => {
    const [first, ...others] = quotes.map((quote) => ({ quote, amount: work.price(quote.rates, usage) }));
    const { quote, amount } = others.reduce((a, b) => b.amount < a.amount ? b : a, first!);
    return { quote, amount: amount < max ? amount : max };
  };
  let by = quotes[0]!;
  let noted: string | undefined;
  let charged: Wei | undefined;
  return {
    prepare: (task, usage) => {
      noted = dueKey(task);
      account.expect(noted, charge(usage).amount);
      return save();
    },
    settle: (usage) => {
      const { quote, amount: wanted } = charge(usage);
      by = quote;
      const amount = charged = account.settle(max, wanted, { nowMs: clock.now(), task: noted });
      totals.add("earned", { peer: payer, token, amount, items: 1 });
      // The answer leaves only when the charge is with the system: it survives the end of the process.
      return save();
    },
    release: () => {
      account.release(max);
      if (account.forget(noted)) saveLater();
    },
    refund: () => {
      if (charged === undefined) return;
      account.refund(charged);
      totals.add("earned", { peer: payer, token, amount: -charged, items: -1 });
      charged = undefined;
      return save();
    },
    terms: (usage) => {
      const { quote, amount } = charge(usage);
      const { chainId, channels } = settlement;
      return { chainId, channels, channelId, quote: ids.of(quote), charge: String(amount) };
    },
    lease: (record, startsAt) => {
      const terms = { quote: ids.of(by), startsAt };
      return { ...terms, signature: key.signDigest(shardLeaseDigest(settlement, record, terms)) };
    },
  };
}

function least(amounts: readonly Wei[]): Wei {
  return amounts.reduce((a, b) => b < a ? b : a);
}
