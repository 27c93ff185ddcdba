import {
  ANONYMOUS,
  type CallContext,
  type ChannelView,
  type Clock,
  countsOtherwise,
  FREE_RATES,
  type Hex32,
  type Log,
  maxTaskPrice,
  namedCostTable,
  NATIVE_TOKEN,
  NodeError,
  type NodeId,
  type NodeKey,
  type Offer,
  offerDigest,
  otherCostTable,
  type PaymentDesk,
  paymentRequired,
  type PaymentStore,
  priceOf,
  quoteDigest,
  type Rates,
  type Receipt,
  receiptDigest,
  type RequesterId,
  type Settlement,
  type SignedAccount,
  type SignedOffer,
  type SignedQuote,
  type TaskKey,
  type TaskLimits,
  taskPrice,
  toHex,
  toNodeError,
  type Usage,
  type Voucher,
  voucherDigest,
  type Wei,
  wei,
  ZERO_WEI,
} from "../core/mod.ts";
import { randomBytes } from "node:crypto";
import { Books, fromText, toText } from "./books.ts";
import type { Curve } from "./curve.ts";
import { chargeDue } from "./due-charges.ts";
import { type ChannelOnChain, EarningAccount, type EarningState } from "./earning-account.ts";
import { type EarningReservation, FREE_EARNING, type PricedWork, reserveEarning } from "./earning-reservation.ts";
import { heldQuotes, quoteHolds, QuoteIds } from "./held-quotes.ts";
import { Totals } from "./totals.ts";

/** Reads channels from the chain, as deep in it as the node wants. */
export interface ChannelReader {
  /** Undefined for a channel that is not there, or not deep enough. Throws `chain_failed`. */
  channelOf(id: Hex32): Promise<ChannelOnChain | undefined>;
  /** Whether the chain answers and its head is of late; while it is not, no credit is given. */
  healthy(): boolean;
}

/** How far a provider works beyond what is paid. */
export interface CreditRule {
  /** For everybody, also strangers. */
  readonly base: Wei;
  /** The most for somebody who has paid before: a tenth of what it has paid, up to this. */
  readonly max: Wei;
  /** After this time unpaid work is a debt: its payer has no credit until all of it is paid. */
  readonly debtAfterMs: number;
}

/** What a provider wants, and for how long its word on it holds. */
export interface Prices {
  readonly rates: Rates;
  readonly offerMs: number;
}

export interface EarningsOptions extends Prices {
  readonly key: NodeKey;
  readonly settlement: Settlement;
  readonly credit: CreditRule;
  /** The limits that a task gets that asks for none, and the most input; part of the offer. */
  readonly limits: {
    readonly defaultTimeoutMs: number;
    readonly defaultOutputBytes: number;
    readonly maxInputBytes: number;
  };
  /** The shortest exit delay of a channel that is taken, in seconds. */
  readonly minExitDelay: number;
  readonly store: PaymentStore;
  readonly chain: ChannelReader;
  readonly curve: Curve;
  /** The version of the cost table that this node meters by; offers and quotes that charge for instructions name it. */
  readonly costTable: number;
  readonly clock: Clock;
  readonly log: Log;
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
  #prices: Prices;
  readonly #accounts = new Map<Hex32, EarningAccount>();
  /** The channel that each payer pays on: the newest that it told of. */
  readonly #byPayer = new Map<NodeId, EarningAccount>();
  readonly #quoteIds: QuoteIds;
  #offer: SignedOffer | undefined;

  constructor(options: EarningsOptions, shared: { readonly books: Books; readonly totals: Totals }) {
    this.#options = options;
    this.#books = shared.books;
    this.#totals = shared.totals;
    this.#prices = options;
    this.#quoteIds = new QuoteIds(options.settlement);
  }

  /** Takes other prices, in the same token, for quotes from now on; those that were given hold until they expire. */
  reprice(prices: Prices): void {
    this.#prices = prices;
    this.#offer = undefined;
  }

  /** Whether this node takes no money now. */
  get isFree(): boolean {
    return isFree(this.#prices.rates);
  }

  /** Reads the books. */
  async load(): Promise<void> {
    for (const [, text] of await this.#options.store.entries("earning")) {
      const account = new EarningAccount(fromText<EarningState>(text));
      this.#accounts.set(account.state.channelId, account);
      if (!account.state.closed) this.#byPayer.set(account.state.chain.payer, account);
    }
  }

  /**
   * Charges the tasks that had ended, but were not charged, when the process ended; `hasEnded` tells whether the end of one is stored. The others
   * are run again, and charged then. Must run before any task does.
   */
  async chargeDue(hasEnded: (task: TaskKey) => Promise<boolean>): Promise<void> {
    const parts = { books: this.#books, totals: this.#totals, clock: this.#options.clock, hasEnded };
    for (const account of this.#accounts.values()) await chargeDue(account, parts);
  }

  /** For the provider of tasks. */
  readonly tasks = {
    reserve: (terms: TaskAsk): EarningReservation<Usage> => {
      if (this.#isFree(terms.requester)) return FREE_EARNING;
      const { inputBytes = this.#options.limits.maxInputBytes } = terms;
      return this.#reserve(terms.requester, undefined, {
        max: (rates) => maxTaskPrice(rates, terms, inputBytes),
        price: (rates, usage) => taskPrice(rates, usage, terms),
      });
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
    const { clock, settlement, key } = this.#options;
    const { offerMs } = this.#prices;
    const now = clock.now();
    if (this.#offer === undefined || this.#offer.offer.expiresAt - now < offerMs / 2) {
      const offer = this.#terms();
      this.#offer = { settlement, offer, signature: key.signDigest(offerDigest(settlement, offer)) };
    }
    return Promise.resolve(this.#offer);
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
    const account = await this.#refresh(channelId);
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
      quote = { ...this.#terms(), requester, channelId, nonce: (this.#options.nonce ?? randomNonce)() };
      // What was agreed by an earlier one and is on its way is charged by that.
      account.change({ quote, earlier: before.filter((one) => quoteHolds(one, now)) });
    }
    this.#byPayer.set(requester, account);
    const signed = this.#receipt(account);
    await this.#commit(account);
    const signature = key.signDigest(quoteDigest(settlement, quote));
    return { quote: { settlement, quote, signature }, account: signed };
  }

  async pay(voucher: Voucher, signature: Uint8Array, _ctx: CallContext): Promise<SignedAccount> {
    const { curve, settlement } = this.#options;
    const account = this.#find(voucher.channelId);
    if (voucher.cumulative > account.state.chain.deposit) await this.#refresh(voucher.channelId);
    const signer = curve.recover(voucherDigest(settlement, voucher), signature);
    if (account.judge(voucher, signer)) {
      account.hold(voucher, signature);
      await this.#commit(account);
      account.count(voucher, signature);
    }
    return await this.#account(account);
  }

  async account(channelId: Hex32, _ctx?: CallContext): Promise<SignedAccount> {
    return await this.#account(this.#find(channelId));
  }

  /** Channels that pay this node, with what is known of them. */
  views(): readonly ChannelView[] {
    return [...this.#accounts.values()].map(({ state }) => ({
      channelId: state.channelId,
      role: "payee",
      peer: state.chain.payer,
      token: state.chain.token,
      deposit: state.chain.deposit,
      charged: state.charged,
      paid: state.paid,
      claimed: state.chain.claimed,
      items: state.items,
      state: state.closed ? "closed" : state.closing === true || state.chain.exitAt > 0 ? "exiting" : "open",
      ...(state.receipt !== undefined && {
        receipt: { receipt: state.receipt.receipt, signature: toHex(state.receipt.signature) },
      }),
      ...(state.signature !== undefined && { voucher: toHex(state.signature) }),
      ...(state.owedSince !== undefined && { owedSince: state.owedSince }),
    }));
  }

  /**
   * Takes no more work and vouchers on a channel while this node ends it, since a voucher that came meanwhile would be worth nothing; and
   * does again when it could not be ended.
   */
  async setClosing(channelId: Hex32, closing: boolean): Promise<void> {
    const account = this.#find(channelId);
    account.change({ closing });
    await this.#commit(account);
  }

  /** Channels that {@link setClosing} was called for and that are there still. */
  closing(): readonly Hex32[] {
    return [...this.#accounts.values()].flatMap(({ state }) =>
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
    return [...this.#accounts.values()].flatMap((account) => {
      const { channelId, paid, signature, chain, closed } = account.state;
      const unclaimed = account.paid - chain.claimed;
      if (closed || signature === undefined || unclaimed <= 0n) return [];
      return [{ voucher: { channelId, cumulative: paid }, signature, unclaimed, exiting: chain.exitAt > 0 }];
    });
  }

  /** Looks at all channels again: deposits, claims, exits. A channel that is gone is closed. */
  async refreshAll(): Promise<void> {
    for (const { state } of [...this.#accounts.values()]) {
      if (!state.closed) await this.#refresh(state.channelId).catch(() => {});
    }
  }

  #reserve<Used>(
    requester: RequesterId,
    named: Hex32 | undefined,
    work: PricedWork<Used>,
  ): EarningReservation<Used> {
    const { key, clock, settlement, costTable } = this.#options;
    const account = this.#accountOf(requester);
    const ids = this.#quoteIds;
    const quotes = heldQuotes(account.state, named, { ids, costTable, nowMs: clock.now() });
    if (this.#isOverdue(account)) throw overdue(account);
    return reserveEarning({
      account,
      quotes,
      work,
      credit: this.#creditOf(account),
      ids,
      settlement,
      key,
      clock,
      totals: this.#totals,
      save: () => this.#books.touch("earning", account.state.channelId, () => toText(account.record)),
      saveLater: () => this.#write(account),
    });
  }

  /** This node's own tasks cost nothing, and so do all of a node without prices. */
  #isFree(requester: RequesterId): boolean {
    return requester === this.#options.key.nodeId || this.isFree;
  }

  #accountOf(requester: RequesterId): EarningAccount {
    if (requester === ANONYMOUS) {
      throw paymentRequired("This node works for pay: sign the request with the key of the payer's channel");
    }
    const account = this.#byPayer.get(requester);
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

  #find(channelId: Hex32): EarningAccount {
    const account = this.#accounts.get(channelId);
    if (account !== undefined) return account;
    throw new NodeError("not_found", `Channel ${channelId} is not known here: ask for a quote on it first`);
  }

  /** The account of a channel as the chain has it now. Throws when the channel does not suit this node. */
  async #refresh(channelId: Hex32): Promise<EarningAccount> {
    const { chain, key, settlement } = this.#options;
    const known = this.#accounts.get(channelId);
    if (known === undefined && !channelId.startsWith(key.nodeId.toLowerCase())) {
      throw new NodeError("failed_precondition", `Channel ${channelId} pays another node than ${key.nodeId}`);
    }
    const found = await chain.channelOf(channelId);
    if (found === undefined) {
      if (known === undefined) {
        throw new NodeError(
          "failed_precondition",
          `Channel ${channelId} is not in ${settlement.channels} on chain ${settlement.chainId}, or not deep enough yet: try again later`,
          { retryable: true },
        );
      }
      known.change({ closed: true });
    } else if (known === undefined) {
      this.#check(channelId, found);
      const account = this.#accounts.get(channelId) ??
        new EarningAccount({
          channelId,
          chain: found,
          paid: ZERO_WEI,
          charged: ZERO_WEI,
          items: 0,
          sequence: 0,
          closed: false,
        });
      this.#accounts.set(channelId, account);
      return account;
    } else {
      // A reorganisation may have taken the channel away for a while; an id is never used twice.
      known.change({ chain: found, closed: false });
    }
    this.#write(known!);
    return known!;
  }

  #check(channelId: Hex32, { token, exitDelay, exitAt }: ChannelOnChain): void {
    const { minExitDelay } = this.#options;
    const { rates } = this.#prices;
    const refuse = (why: string) => new NodeError("failed_precondition", `Channel ${channelId} is not taken: ${why}`);
    if (token.toLowerCase() !== rates.token.toLowerCase()) {
      throw refuse(
        `it pays in ${token === NATIVE_TOKEN ? "the chain's coin" : token}, and prices are in ${rates.token}`,
      );
    }
    if (exitDelay < minExitDelay) throw refuse(`its exit delay is ${exitDelay} s, and ${minExitDelay} s is the least`);
    if (exitAt > 0) throw refuse("its payer has announced its end");
  }

  #terms(): Offer {
    const { key, limits, clock, costTable } = this.#options;
    const { rates, offerMs } = this.#prices;
    const now = clock.now();
    return {
      provider: key.nodeId,
      rates,
      ...limits,
      ...namedCostTable(rates, costTable),
      issuedAt: now,
      expiresAt: now + offerMs,
    };
  }

  /** The next receipt, which is with the system before anybody has it: no other is ever signed under its number. */
  async #account(account: EarningAccount): Promise<SignedAccount> {
    const signed = this.#receipt(account);
    await this.#books.touch("earning", account.state.channelId, () => toText(account.record));
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

  /** Has the books of a channel written, for nobody that waits for it. */
  #write(account: EarningAccount): void {
    const { channelId } = account.state;
    this.#books.touch("earning", channelId, () => toText(account.record)).catch((error) =>
      this.#options.log.error("The books of a channel could not be written", {
        channelId,
        error: toNodeError(error).message,
      })
    );
  }

  #commit(account: EarningAccount): Promise<void> {
    return this.#books.commit([{ kind: "earning", key: account.state.channelId, text: toText(account.record) }]);
  }
}

/** What a storage operation costs: both sides of a deal call this. */
export function storagePrice(
  rates: Rates,
  { action, bytes, durationMs }: {
    readonly action: "put" | "get" | "renew";
    readonly bytes: number;
    readonly durationMs: number;
  },
): Wei {
  const byteMs = action === "get" ? 0n : BigInt(bytes) * BigInt(Math.round(durationMs));
  return priceOf(rates, {
    byteMs,
    ...(action === "put" && { writtenBytes: bytes }),
    ...(action === "get" && { readBytes: bytes }),
  });
}

/** Whether nothing costs anything. */
export function isFree(rates: Rates): boolean {
  return (Object.keys(FREE_RATES) as (keyof Rates)[]).every((name) => name === "token" || rates[name] === 0n);
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
