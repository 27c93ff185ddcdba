import {
  ANONYMOUS,
  type CallContext,
  type ChannelView,
  countsOtherwise,
  type Hex32,
  maxTaskPrice,
  NodeError,
  otherCostTable,
  type PaymentDesk,
  paymentRequired,
  priceOf,
  quoteDigest,
  type Rates,
  type Receipt,
  receiptDigest,
  type RequesterId,
  type SignedAccount,
  type SignedOffer,
  type SignedQuote,
  type TaskKey,
  type TaskLimits,
  taskPrice,
  toHex,
  type Usage,
  type Voucher,
  voucherDigest,
  type Wei,
  wei,
  ZERO_WEI,
} from "../core/mod.ts";
import { randomBytes } from "node:crypto";
import type { Books } from "./books.ts";
import type { Curve } from "./curve.ts";
import { chargeDue } from "./due-charges.ts";
import { type EarningAccount, viewOf } from "./earning-account.ts";
import { EarningAccounts, type EarningAccountsOptions } from "./earning-accounts.ts";
import {
  AccountEarning,
  type EarningReservation,
  type EarningReservationParts,
  FREE_EARNING,
  type PricedWork,
} from "./earning-reservation.ts";
import { heldQuotes, quoteHolds, QuoteIds } from "./held-quotes.ts";
import { PriceList, type PriceListOptions, type Prices } from "./price-list.ts";
import { storagePrice } from "./rates.ts";
import type { Totals } from "./totals.ts";

/** How far a provider works beyond what is paid. */
export interface CreditRule {
  /** For everybody, also strangers. */
  readonly base: Wei;
  /** The most for somebody who has paid before: a tenth of what it has paid, up to this. */
  readonly max: Wei;
  /** After this time unpaid work is a debt: its payer has no credit until all of it is paid. */
  readonly debtAfterMs: number;
}

export interface EarningsOptions extends PriceListOptions, EarningAccountsOptions {
  readonly credit: CreditRule;
  readonly curve: Curve;
  readonly nonce?: () => Hex32;
}

interface TaskAsk {
  readonly requester: RequesterId;
  /** As in TaskSpec; when absent, any that this node has. */
  readonly plugin?: string;
  readonly limits: TaskLimits;
  readonly inputBytes: number | undefined;
}

interface StorageTerms {
  readonly requester: RequesterId;
  readonly action: "put" | "get" | "renew";
  readonly bytes: number;
  readonly durationMs: number;
  /** The digest of the quote to charge by; without it, whichever holds and comes cheapest. */
  readonly quote?: Hex32;
}

interface StorageUsage {
  readonly writtenBytes: number;
  readonly readBytes: number;
  readonly byteMs: bigint;
}

/** The provider's side of payments: its ledgers for tasks and storage, and the desk where it is paid. */
export class Earnings implements PaymentDesk {
  readonly #options: EarningsOptions;
  readonly #books: Books;
  readonly #totals: Totals;
  readonly #prices: PriceList;
  readonly #accounts: EarningAccounts;
  readonly #parts: EarningReservationParts;

  constructor(options: EarningsOptions, shared: { readonly books: Books; readonly totals: Totals }) {
    this.#options = options;
    const { books, totals } = shared;
    this.#books = books;
    this.#totals = totals;
    const prices = this.#prices = new PriceList(options);
    const accounts = this.#accounts = new EarningAccounts(options, { books, prices });
    const { settlement, key, clock } = options;
    const ids = new QuoteIds(settlement);
    this.#parts = { ids, settlement, key, clock, totals, accounts, creditOf: (account) => this.#creditOf(account) };
  }

  /** Takes other prices, in the same token, for quotes from now on; those that were given hold until they expire. */
  reprice(prices: Prices): void {
    this.#prices.reprice(prices);
  }

  /** Whether this node takes no money now. */
  get isFree(): boolean {
    return this.#prices.isFree;
  }

  /** Reads the books. */
  load(): Promise<void> {
    return this.#accounts.load();
  }

  /**
   * Charges the tasks that had ended, but were not charged, when the process ended; `hasEnded` tells whether the end of one is stored. The others
   * are run again, and charged then. Must run before any task does.
   */
  async chargeDue(hasEnded: (task: TaskKey) => Promise<boolean>): Promise<void> {
    const parts = { books: this.#books, totals: this.#totals, clock: this.#options.clock, hasEnded };
    for (const account of this.#accounts.all()) await chargeDue(account, parts);
  }

  /** For the provider of tasks. */
  readonly tasks = {
    reserve: (terms: TaskAsk): EarningReservation<Usage> => {
      if (this.#isFree(terms.requester)) return FREE_EARNING;
      return this.#reserve(terms.requester, undefined, new TaskWork(terms, this.#options.limits.maxInputBytes));
    },
  };

  /** For the provider of storage. */
  readonly storage = {
    reserve: (terms: StorageTerms): EarningReservation<StorageUsage> => {
      if (this.#isFree(terms.requester)) return FREE_EARNING;
      return this.#reserve(terms.requester, terms.quote, {
        max: (rates) => storagePrice(rates, terms),
        price: priceOf,
      });
    },
  };

  offer(_signal?: AbortSignal): Promise<SignedOffer> {
    return Promise.resolve(this.#prices.offer());
  }

  async quote(
    channelId: Hex32,
    _ctx: CallContext,
    payer: { readonly costTable?: number | undefined } = {},
  ): Promise<{ quote: SignedQuote; account: SignedAccount }> {
    const { key, settlement, costTable } = this.#options;
    const { costTable: wanted = costTable } = payer;
    if (wanted !== costTable && this.#prices.rates.megaInstructions > 0n) {
      throw otherCostTable(key.nodeId, { provider: costTable, requester: wanted });
    }
    const account = await this.#accounts.refresh(channelId);
    const { payer: requester } = account.state.chain;
    if (account.state.closed || account.state.closing === true) account.checkOpen();
    let quote = account.state.quote;
    const now = this.#options.clock.now();
    // Prices are locked until a quote expires: asking again changes nothing, so that what is on its way is charged by the same ones. One
    // from before this node came to count by another table is replaced at once.
    const isLocked = quote !== undefined && !countsOtherwise(quote, costTable) &&
      quote.expiresAt - now >= (quote.expiresAt - quote.issuedAt) / 4;
    if (quote === undefined || !isLocked) {
      const { earlier = [] } = account.state;
      const before = quote === undefined ? earlier : [quote, ...earlier];
      quote = { ...this.#prices.terms(), requester, channelId, nonce: (this.#options.nonce ?? randomNonce)() };
      // What was agreed by an earlier one and is on its way is charged by that.
      account.change({ quote, earlier: before.filter((one) => quoteHolds(one, now)) });
    }
    this.#accounts.use(account);
    const signed = this.#receipt(account);
    await this.#accounts.commit(account);
    const signature = key.signDigest(quoteDigest(settlement, quote));
    return { quote: { settlement, quote, signature }, account: signed };
  }

  async pay(voucher: Voucher, signature: Uint8Array, _ctx: CallContext): Promise<SignedAccount> {
    const { curve, settlement } = this.#options;
    const account = this.#accounts.find(voucher.channelId);
    if (voucher.cumulative > account.state.chain.deposit) await this.#accounts.refresh(voucher.channelId);
    const signer = curve.recover(voucherDigest(settlement, voucher), signature);
    if (account.judge(voucher, signer)) {
      account.hold(voucher, signature);
      await this.#accounts.commit(account);
      account.count(voucher, signature);
    }
    return await this.#account(account);
  }

  async account(channelId: Hex32, _ctx?: CallContext): Promise<SignedAccount> {
    return await this.#account(this.#accounts.find(channelId));
  }

  /** Channels that pay this node, with what is known of them. */
  views(): readonly ChannelView[] {
    return [...this.#accounts.all()].map(({ state }) => viewOf(state));
  }

  /**
   * Takes no more work and vouchers on a channel while this node ends it, since a voucher that came meanwhile would be worth nothing; and
   * does again when it could not be ended.
   */
  async setClosing(channelId: Hex32, closing: boolean): Promise<void> {
    const account = this.#accounts.find(channelId);
    account.change({ closing });
    await this.#accounts.commit(account);
  }

  /** Channels that {@link setClosing} was called for and that are there still. */
  closing(): readonly Hex32[] {
    return [...this.#accounts.all()].flatMap(({ state }) =>
      state.closing === true && !state.closed ? [state.channelId] : []
    );
  }

  /** What could be claimed now: vouchers that are worth more than what was claimed. */
  claimable(): readonly {
    readonly voucher: Voucher;
    readonly signature: Uint8Array;
    readonly unclaimed: bigint;
    readonly exiting: boolean;
  }[] {
    return [...this.#accounts.all()].flatMap((account) => {
      const { channelId, paid, signature, chain, closed } = account.state;
      const unclaimed = account.paid - chain.claimed;
      if (closed || signature === undefined || unclaimed <= 0n) return [];
      return [{ voucher: { channelId, cumulative: paid }, signature, unclaimed, exiting: chain.exitAt > 0 }];
    });
  }

  /** Looks at all channels again: deposits, claims, exits. A channel that is gone is closed. */
  refreshAll(): Promise<void> {
    return this.#accounts.refreshAll();
  }

  #reserve<Used>(
    requester: RequesterId,
    named: Hex32 | undefined,
    work: PricedWork<Used>,
  ): EarningReservation<Used> {
    const { clock, costTable } = this.#options;
    const account = this.#accountOf(requester);
    const quotes = heldQuotes(account.state, named, { ids: this.#parts.ids, costTable, nowMs: clock.now() });
    if (this.#isOverdue(account)) throw overdue(account);
    return new AccountEarning(account, { quotes, work }, this.#parts);
  }

  /** This node's own tasks cost nothing, and so do all of a node without prices. */
  #isFree(requester: RequesterId): boolean {
    return requester === this.#options.key.nodeId || this.isFree;
  }

  #accountOf(requester: RequesterId): EarningAccount {
    if (requester === ANONYMOUS) {
      throw paymentRequired("This node works for pay: sign the request with the key of the payer's channel");
    }
    const account = this.#accounts.of(requester);
    if (account !== undefined) return account;
    throw paymentRequired(`No channel of ${requester} pays this node: open one, then ask for a quote on it`);
  }

  #creditOf(account: EarningAccount): Wei {
    const { credit, chain } = this.#options;
    if (!chain.healthy() || this.#isOverdue(account)) return ZERO_WEI;
    const earned = account.paid / 10n;
    return wei(credit.base + (earned < credit.max ? earned : credit.max));
  }

  #isOverdue({ state: { owedSince } }: EarningAccount): boolean {
    const { clock, credit } = this.#options;
    return owedSince !== undefined && clock.now() - owedSince > credit.debtAfterMs;
  }

  /** The next receipt, which is with the system before anybody has it: no other is ever signed under its number. */
  async #account(account: EarningAccount): Promise<SignedAccount> {
    const signed = this.#receipt(account);
    await this.#accounts.save(account);
    return signed;
  }

  /** The next receipt. Whoever calls this has the books written before it leaves. */
  #receipt(account: EarningAccount): SignedAccount {
    const { key, settlement, clock } = this.#options;
    const { channelId, charged, paid, items, sequence } = account.state;
    const receipt: Receipt = { channelId, sequence: sequence + 1, charged, paid, items, issuedAt: clock.now() };
    const signature = key.signDigest(receiptDigest(settlement, receipt));
    account.change({ sequence: receipt.sequence, receipt: { receipt, signature } });
    return {
      receipt,
      signature,
      credit: this.#creditOf(account),
      reserved: account.underWay,
    };
  }
}

/** A task as it is priced. */
class TaskWork implements PricedWork<Usage> {
  readonly #terms: TaskAsk;
  readonly #maxInputBytes: number;

  constructor(terms: TaskAsk, maxInputBytes: number) {
    this.#terms = terms;
    this.#maxInputBytes = maxInputBytes;
  }

  max(rates: Rates): Wei {
    return maxTaskPrice(rates, this.#terms, this.#terms.inputBytes ?? this.#maxInputBytes);
  }

  price(rates: Rates, usage: Usage): Wei {
    return taskPrice(rates, usage, this.#terms);
  }
}

function overdue(account: EarningAccount): NodeError {
  const { channelId, charged, owedSince } = account.state;
  return paymentRequired(
    `${account.debt} wei are owed on channel ${channelId} since ${
      new Date(owedSince!).toISOString()
    }: there is no credit until a voucher over ${charged} pays them`,
    { channelId, needed: String(charged) },
  );
}

function randomNonce(): Hex32 {
  return toHex(randomBytes(32));
}
