import {
  type Clock,
  type Hex32,
  isGpuNeeded,
  type Log,
  type Offer,
  type Quote,
  QUOTE_EXPIRED,
  type ShardLease,
  type ShardReceipt,
  toNodeError,
  type Wei,
} from "../core/mod.ts";
import type { GpuPlugins } from "./gpu-plugins.ts";
import type { QuoteIds } from "./held-quotes.ts";
import type { LeaseBook, LeaseTerms } from "./lease-book.ts";
import type { AgreedQuote, SpendingAccount } from "./spending-account.ts";
import type { SpendingAccounts } from "./spending-accounts.ts";
import type { SpendingCaps } from "./spending-caps.ts";

/** What work may cost at most, and then costs. */
export interface SpendingReservation<Used> {
  /** The digest of the quote that the money was set aside by; undefined when the provider is not paid. */
  readonly quote: Hex32 | undefined;
  commit(usage: Used): void | Promise<void>;
  /** With the error that ended the work, if any: one that leaves open whether it was done keeps the money apart. */
  release(error?: unknown): void;
  /** Whether it has nothing for time on a GPU, so that the task must say so (`limits.noGpu`). */
  readonly noGpu?: boolean | undefined;
  /**
   * What the provider did is not what was asked for: none of it is paid. `takeBack` has the provider credit what it has charged; one that does not
   * is found to charge more than it was asked to do.
   */
  refuse(takeBack: () => Promise<void>): void | Promise<void>;
  /**
   * The lease of the shard that the work was for; what is committed after it costs what the quote says that it names. Undefined when the
   * provider is not paid. Throws what {@link LeaseBook.check} does.
   */
  checkLease(receipt: ShardReceipt, order: Pick<LeaseTerms, "id" | "leaseMs">): ShardLease | undefined;
}

/** What is free of charge. */
export const FREE_SPENDING: SpendingReservation<unknown> = Object.freeze({
  quote: undefined,
  commit() {},
  release() {},
  refuse() {},
  checkLease: () => undefined,
});

/** What work costs by an offer. */
export interface PricedWork<Used> {
  readonly max: Wei;
  price(by: Offer, usage: Used): Wei;
  /** The plugin, as the task names it, of which it is taken that it works on no GPU; absent when money is set aside for one. */
  readonly noGpuFor?: string | undefined;
}

/** Errors after which the provider cannot have charged anything. */
const NOT_CHARGED = new Set([
  "payment_required",
  "invalid_argument",
  "plugin_not_found",
  "function_not_found",
  "input_too_large",
  "overloaded",
  "plugin_failed",
  "plugin_trapped",
  "memory_exceeded",
  "output_too_large",
  "unimplemented",
]);

export interface SpendingReservationParts {
  readonly accounts: Pick<SpendingAccounts, "spend">;
  readonly caps: SpendingCaps;
  readonly leases: LeaseBook;
  readonly quoteIds: QuoteIds;
  readonly gpus: GpuPlugins;
  readonly clock: Clock;
  readonly log: Log;
  /** Runs work when nothing else is arranged with a target. */
  readonly arrange: (target: string, work: () => Promise<void>) => Promise<void>;
}

/** The most set aside that work may cost by a quote, on an account that covers it. */
export class AccountSpending<Used> implements SpendingReservation<Used> {
  readonly noGpu: true | undefined;
  readonly #account: SpendingAccount;
  readonly #quote: Quote;
  readonly #work: PricedWork<Used>;
  readonly #parts: SpendingReservationParts;
  /** The quote as it was signed when the work was asked for, and when that was. */
  readonly #agreed: AgreedQuote | undefined;
  readonly #askedAt: number;
  #by: Quote;
  #kept: Promise<void> | undefined;

  /** Throws `cap_reached`. */
  constructor(
    account: SpendingAccount,
    { quote, work }: { readonly quote: Quote; readonly work: PricedWork<Used> },
    parts: SpendingReservationParts,
  ) {
    this.noGpu = work.noGpuFor === undefined ? undefined : true;
    this.#account = account;
    this.#quote = this.#by = quote;
    this.#work = work;
    this.#parts = parts;
    this.#agreed = account.signedQuote;
    this.#askedAt = parts.clock.now();
    parts.caps.reserve(account, work.max);
    account.reserve(work.max);
  }

  get quote(): Hex32 {
    return this.#parts.quoteIds.of(this.#quote);
  }

  commit(usage: Used): void | Promise<void> {
    const { accounts, caps } = this.#parts;
    const { max } = this.#work;
    caps.release(this.#account, max);
    accounts.spend(this.#account, max, this.#work.price(this.#by, usage));
    return this.#kept;
  }

  checkLease(receipt: ShardReceipt, order: Pick<LeaseTerms, "id" | "leaseMs">): ShardLease | undefined {
    const { target } = this.#account.state;
    // Other work may have needed a new quote while this was on its way.
    const quotes = [this.#agreed, this.#account.signedQuote].filter((one) => one !== undefined);
    const checked = this.#parts.leases.check(receipt, { ...order, target, quotes, askedAt: this.#askedAt });
    ({ quote: this.#by, kept: this.#kept } = checked);
    return checked.lease;
  }

  release(error?: unknown): void {
    const account = this.#account;
    const { caps, gpus } = this.#parts;
    const { max, noGpuFor } = this.#work;
    caps.release(account, max);
    const { code, data } = error === undefined ? {} : toNodeError(error);
    const needsGpu = noGpuFor !== undefined && isGpuNeeded(error);
    if (needsGpu) gpus.note(account.state.target, noGpuFor);
    account.release(max, code !== undefined && !NOT_CHARGED.has(code) && !needsGpu);
    if (code !== "payment_required") return;
    account.isStale = account.isDoubted = true;
    if (data?.["reason"] === QUOTE_EXPIRED) account.dropQuote(this.#quote);
  }

  async refuse(takeBack: () => Promise<void>): Promise<void> {
    const account = this.#account;
    const { caps, arrange, log } = this.#parts;
    const { target } = account.state;
    const drop = () => {
      caps.release(account, this.#work.max);
      account.release(this.#work.max, false);
      account.isStale = true;
    };
    // In turn, so that no receipt from before the credit is on its way when what was set aside explains none any more.
    await arrange(target, async () => {
      await takeBack().catch((error) =>
        log.warn("A provider did not take back what is not paid", { target, error: toNodeError(error).message })
      );
      drop();
    }).catch(drop);
  }
}
