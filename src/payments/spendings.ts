import {
  type CallContext,
  type ChannelView,
  type Clock,
  costTableOf,
  countsOtherwise,
  currentRequestId,
  type Hex32,
  isGpuNeeded,
  type KeptQuote,
  type Log,
  maxTaskPrice,
  NATIVE_TOKEN,
  newUlid,
  NodeError,
  type NodeId,
  type NodeKey,
  type Offer,
  otherCostTable,
  type PaymentDesk,
  type PaymentStore,
  type PricedTask,
  type Quote,
  QUOTE_EXPIRED,
  quoteDigest,
  receiptDigest,
  type Settlement,
  type ShardLease,
  type ShardReceipt,
  type SignedAccount,
  type TaskLimits,
  taskPrice,
  toNodeError,
  type Usage,
  voucherDigest,
  type Wei,
  ZERO_WEI,
} from "../core/mod.ts";
import { type Books, fromText, toText } from "./books.ts";
import type { Budget, Held } from "./budget.ts";
import type { Curve } from "./curve.ts";
import { type ChannelReader, storagePrice } from "./earnings.ts";
import { GpuPlugins } from "./gpu-plugins.ts";
import { QuoteIds } from "./held-quotes.ts";
import { LeaseBook, type LeaseTerms } from "./lease-book.ts";
import { isSigner, OfferBook } from "./offer-book.ts";
import { SpendingAccount, type SpendingState, viewOf } from "./spending-account.ts";
import type { Totals } from "./totals.ts";

export interface SpendingsOptions {
  readonly key: NodeKey;
  readonly settlement: Settlement;
  /** Paid ahead of need at least; a tenth of what a task may cost is when that is more. */
  readonly window: Wei;
  /** The deposit of a channel that is opened when one is needed; 0 opens none by itself. */
  readonly deposit: Wei;
  readonly store: PaymentStore;
  readonly curve: Curve;
  /** The version of the cost table that this node counts instructions by: no other is paid for. */
  readonly costTable: number;
  readonly clock: Clock;
  readonly log: Log;
  /** How often vouchers that did not arrive are sent again, and work done on credit is paid. */
  readonly retryMs?: number;
  /** Where the provider at `host:port` is paid. */
  readonly desk: (target: string) => PaymentDesk;
  readonly chain: ChannelReader;
  /** Opens a channel on the chain, and calls {@link Spendings.adopt} once it is as deep as the node wants. */
  readonly openChannel: (
    order: { readonly target: string; readonly payee: NodeId; readonly token: NodeId; readonly amount: Wei },
  ) => Promise<void>;
}

export interface TaskTerms {
  readonly target: string;
  /** As in TaskSpec; when absent, any that the provider may have. */
  readonly plugin?: string;
  readonly limits: Partial<TaskLimits>;
  readonly inputBytes: number | undefined;
}

export interface StorageTerms {
  readonly target: string;
  readonly action: "put" | "get" | "renew";
  readonly bytes: number;
  readonly durationMs: number;
}

/** What work may cost at most, and then costs. */
export interface SpendingReservation<Used> {
  /** The digest of the quote that the money was set aside by; undefined when the provider is not paid. */
  readonly quote: Hex32 | undefined;
  commit(usage: Used): void | Promise<void>;
  /** With the error that ended the work, if any: one that leaves open whether it was done keeps the money apart. */
  release(error?: unknown): void;
  /** Whether it has nothing for time on a GPU, so that the task must say so (`limits.noGpu`). */
  readonly noGpu?: boolean;
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

/** What work costs by an offer. */
interface PricedWork<Used> {
  readonly max: Wei;
  readonly price: (by: Offer, usage: Used) => Wei;
  /** The plugin, as the task names it, of which it is taken that it works on no GPU; absent when money is set aside for one. */
  readonly noGpuFor?: string;
}

type Work<Used> = (offer: Offer) => PricedWork<Used>;

const FREE: SpendingReservation<unknown> = Object.freeze({
  quote: undefined,
  commit() {},
  release() {},
  refuse() {},
  checkLease: () => undefined,
});

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

const RETRY_MS = 5_000;
/** How long a quote must hold still for work to be begun by it. */
const QUOTE_MARGIN_MS = 1_000;

/** The requester's side of payments: its ledgers, and the vouchers that it sends. */
export class Spendings {
  readonly #options: SpendingsOptions;
  readonly #books: Books;
  readonly #totals: Totals;
  readonly #budget: Budget;
  readonly #accounts = new Map<string, SpendingAccount>();
  /** Channels that were used before with a target, or that ended. */
  readonly #old = new Map<Hex32, SpendingAccount>();
  readonly #offers: OfferBook;
  readonly #leases: LeaseBook;
  readonly #quoteIds: QuoteIds;
  readonly #gpus: GpuPlugins;
  /** What waits for money to be arranged with a target, one after the other. */
  readonly #arranging = new Map<string, Promise<void>>();
  readonly #loaded = new Set<SpendingAccount>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor(
    options: SpendingsOptions,
    shared: { readonly books: Books; readonly totals: Totals; readonly budget: Budget },
  ) {
    this.#options = options;
    this.#books = shared.books;
    this.#totals = shared.totals;
    this.#budget = shared.budget;
    this.#offers = new OfferBook(options);
    this.#leases = new LeaseBook(options, shared.books);
    this.#quoteIds = new QuoteIds(options.settlement);
    this.#gpus = new GpuPlugins(options.clock);
    this.#timer = setInterval(() => void this.#retry(), options.retryMs ?? RETRY_MS);
    this.#timer.unref();
  }

  /** Reads the books. */
  async load(): Promise<void> {
    await this.#leases.load();
    for (const [, text] of await this.#options.store.entries("spending")) {
      const { quote, quoteSignature, ...books } = fromText<SpendingState>(text);
      // A quote from before this node came to count by another cost table, or kept its signature, is asked for again.
      const isGood = quote !== undefined && quoteSignature !== undefined &&
        !countsOtherwise(quote, this.#options.costTable);
      const account = new SpendingAccount(isGood ? { ...books, quote, quoteSignature } : books);
      const { state, target, channelId } = account.state;
      this.#loaded.add(account);
      if (state === "open" && !this.#accounts.has(target)) this.#accounts.set(target, account);
      else this.#old.set(channelId, account);
    }
  }

  readonly tasks = {
    reserve: (terms: TaskTerms): SpendingReservation<Usage> | Promise<SpendingReservation<Usage>> => {
      const { target, plugin } = terms;
      const isLeftOut = (offer: Offer) => terms.limits.noGpu ?? this.#gpus.isLeftOut(target, plugin, offer);
      return this.#reserve(target, (offer) => {
        const noGpu = isLeftOut(offer);
        const priced = pricedOf(terms, { offer, noGpu });
        return {
          max: maxTaskPrice(offer.rates, priced, terms.inputBytes ?? offer.maxInputBytes),
          price: ({ rates }, usage: Usage) => taskPrice(rates, usage, priced),
          ...(noGpu && { noGpuFor: plugin ?? "" }),
        };
      });
    },
  };

  readonly storage = {
    reserve: (
      terms: StorageTerms,
    ):
      | SpendingReservation<{ bytes: number; durationMs: number }>
      | Promise<SpendingReservation<{ bytes: number; durationMs: number }>> =>
      this.#reserve(terms.target, ({ rates }) => ({
        max: storagePrice(rates, terms),
        price: (by, usage: { bytes: number; durationMs: number }) =>
          storagePrice(by.rates, { action: terms.action, ...usage }),
      })),
  };

  /** What a provider wants, by its signed offer; undefined when it takes no money. */
  offerOf(target: string, signal: AbortSignal): Promise<Offer | undefined> {
    return this.#offers.of(target, signal);
  }

  /** The quotes that leases of this node's shards are by. */
  quotes(): Promise<readonly KeptQuote[]> {
    return this.#leases.list();
  }

  /**
   * Opens a channel to the provider at a target, with a deposit, and makes it the one that is used. With a `token`, throws `failed_precondition`
   * when the provider wants another one: then the amount was meant otherwise.
   */
  async open(
    target: string,
    amount: Wei,
    { signal, token }: { readonly signal: AbortSignal; readonly token?: NodeId },
  ): Promise<ChannelView> {
    const offer = await this.#offers.of(target, signal);
    if (offer === undefined) {
      throw new NodeError("failed_precondition", `${target} works free of charge: no channel is needed`);
    }
    const wanted = offer.rates.token;
    if (token !== undefined && token.toLowerCase() !== wanted.toLowerCase()) {
      throw new NodeError(
        "failed_precondition",
        `${target} wants to be paid in ${nameOf(wanted)}, not in ${nameOf(token)}: ask for its offer again`,
        { data: { target, token: wanted } },
      );
    }
    await this.#options.openChannel({ target, payee: offer.provider, token: offer.rates.token, amount });
    return viewOf(this.#accounts.get(target)!.state);
  }

  /** Takes a channel that is on the chain into the books, as the one to pay a target on. */
  async adopt(
    target: string,
    channel: { readonly channelId: Hex32; readonly provider: NodeId; readonly token: NodeId; readonly deposit: Wei },
  ): Promise<SpendingAccount> {
    const known = this.find(channel.channelId);
    if (known !== undefined) return known;
    const account = new SpendingAccount({
      ...channel,
      target,
      signed: ZERO_WEI,
      acknowledged: ZERO_WEI,
      spent: ZERO_WEI,
      items: 0,
      state: "open",
    });
    await this.#commit(account);
    const before = this.#accounts.get(target);
    if (before !== undefined) this.#old.set(before.state.channelId, before);
    this.#accounts.set(target, account);
    return account;
  }

  views(): readonly ChannelView[] {
    return [...this.#accounts.values(), ...this.#old.values()].map(({ state }) => viewOf(state));
  }

  find(channelId: Hex32): SpendingAccount | undefined {
    for (const account of this.#accounts.values()) if (account.state.channelId === channelId) return account;
    return this.#old.get(channelId);
  }

  /** Notes what the chain says of a channel. */
  async note(channelId: Hex32, changes: Pick<Partial<SpendingState>, "deposit" | "state">): Promise<void> {
    const account = this.find(channelId);
    if (account === undefined) return;
    this.#change(account, changes);
    await this.#commit(account);
  }

  /** Looks up a channel's deposit on the chain, and whether somebody ended it. */
  async refresh(channelId: Hex32): Promise<void> {
    const account = this.find(channelId);
    if (account !== undefined) await this.#look(account);
  }

  /** Pays what is owed exactly, with no window ahead, and compares books: for the end of a channel or of a day. */
  async settleUp(target: string): Promise<void> {
    const account = this.#accounts.get(target);
    if (account !== undefined) await this.#arrange(target, () => this.#payOwed(account));
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await Promise.allSettled(this.#arranging.values());
  }

  #reserve<Used>(
    target: string,
    work: Work<Used>,
  ): SpendingReservation<Used> | Promise<SpendingReservation<Used>> {
    const account = this.#accounts.get(target);
    const quote = account?.quoteAt(this.#options.clock.now() + QUOTE_MARGIN_MS);
    if (account !== undefined && quote !== undefined && account.state.state === "open" && !account.isStale) {
      const priced = work(quote);
      const { max } = priced;
      if (account.covers(max) && account.isPromised(max)) return this.#take(account, { quote, ...priced });
    } else if (this.#offers.isKnownFree(target)) {
      return FREE;
    }
    return this.#arranged(target, work);
  }

  /** Sets money aside once the channel, the quote and the voucher are there for it. */
  async #arranged<Used>(
    target: string,
    work: Work<Used>,
  ): Promise<SpendingReservation<Used>> {
    let taken: SpendingReservation<Used> | undefined;
    await this.#arrange(target, async () => {
      const account = await this.#readyOrAnother(target);
      if (account === undefined) {
        taken = FREE;
        return;
      }
      // It held when it was looked at; should comparing books have taken long, the provider takes it for a while still or asks for another.
      const quote = account.state.quote!;
      const priced = work(quote);
      const { max } = priced;
      const { provider } = account.state;
      // Within the caps before anything is signed.
      this.#budget.reserve(provider, max, this.#held(account, account.held(max)));
      try {
        if (!account.covers(max)) await this.#pay(account, max);
        if (!account.covers(max)) throw notCredited(account);
        if (!account.isPromised(max)) {
          const { window } = this.#options;
          account.promise(max, window > 2n * max ? window : 2n * max);
          await this.#commit(account);
        }
      } finally {
        this.#budget.release(provider, max);
      }
      taken = this.#take(account, { quote, ...priced });
    });
    return taken!;
  }

  #take<Used>(
    account: SpendingAccount,
    { quote, max, price, noGpuFor }: PricedWork<Used> & { readonly quote: Quote },
  ): SpendingReservation<Used> {
    const { provider, channelId, token, target } = account.state;
    const agreed = account.signedQuote;
    const askedAt = this.#options.clock.now();
    this.#budget.reserve(provider, max, this.#held(account, account.held(max)));
    account.reserve(max);
    let by = quote;
    let kept: Promise<void> | undefined;
    const ids = this.#quoteIds;
    return {
      get quote() {
        return ids.of(quote);
      },
      ...(noGpuFor !== undefined && { noGpu: true }),
      commit: (usage) => {
        this.#budget.release(provider, max);
        const amount = account.commit(max, price(by, usage));
        this.#totals.add("spent", { peer: provider, token, amount: account.hasEnded ? 0n : amount, items: 1 });
        // What a crash loses of it the provider's next receipt tells; nothing beyond what was signed can be lost.
        this.#books.note("spending", channelId, () => toText(account.state));
        return kept;
      },
      checkLease: (receipt, order) => {
        // Other work may have needed a new quote while this was on its way.
        const quotes = [agreed, account.signedQuote].filter((one) => one !== undefined);
        const checked = this.#leases.check(receipt, { ...order, target, quotes, askedAt });
        ({ quote: by, kept } = checked);
        return checked.lease;
      },
      release: (error) => {
        this.#budget.release(provider, max);
        const { code, data } = error === undefined ? {} : toNodeError(error);
        const needsGpu = noGpuFor !== undefined && isGpuNeeded(error);
        if (needsGpu) this.#gpus.note(target, noGpuFor);
        account.release(max, code !== undefined && !NOT_CHARGED.has(code) && !needsGpu);
        if (code !== "payment_required") return;
        account.isStale = account.isDoubted = true;
        if (data?.["reason"] === QUOTE_EXPIRED) account.dropQuote(quote);
      },
      refuse: async (takeBack) => {
        const drop = () => {
          this.#budget.release(provider, max);
          account.release(max, false);
          account.isStale = true;
        };
        // In turn, so that no receipt from before the credit is on its way when what was set aside explains none any more.
        await this.#arrange(target, async () => {
          await takeBack().catch((error) =>
            this.#options.log.warn("A provider did not take back what is not paid", {
              target,
              error: toNodeError(error).message,
            })
          );
          drop();
        }).catch(drop);
      },
    };
  }

  /** What is held for all channels: `own` for this one. */
  #held(account: SpendingAccount, own: bigint): Held | undefined {
    if (!this.#budget.hasDayCap) return undefined;
    let [peer, all] = [own, own];
    for (const accounts of [this.#accounts, this.#old]) {
      for (const other of accounts.values()) {
        if (other === account) continue;
        const held = other.held(0n);
        all += held;
        if (other.state.provider === account.state.provider) peer += held;
      }
    }
    return { peer, all };
  }

  /** Like {@link #ready}; when the provider does not take the channel any more because it has ended, with another one. */
  async #readyOrAnother(target: string): Promise<SpendingAccount | undefined> {
    try {
      return await this.#ready(target);
    } catch (error) {
      const account = this.#accounts.get(target);
      if (account === undefined || toNodeError(error).code !== "payment_required") throw error;
      account.isStale = account.isDoubted = true;
      await this.#look(account).catch(() => {});
      if (account.state.state !== "closed") throw error;
      return await this.#ready(target);
    }
  }

  /** The account of a target with a quote that holds and books that agree; undefined when it works free of charge. */
  async #ready(target: string): Promise<SpendingAccount | undefined> {
    const signal = AbortSignal.timeout(30_000);
    let account = this.#accounts.get(target);
    if (account === undefined || account.state.state !== "open") {
      const offer = await this.#offers.of(target, signal);
      if (offer === undefined) return undefined;
      const { deposit } = this.#options;
      // No channel is opened by itself to a provider that cheated, whatever its address is now; its owner may, by hand.
      const cheated = [...this.#accounts.values(), ...this.#old.values()].find(({ state }) =>
        state.cheated === true && state.provider === offer.provider
      );
      if (cheated !== undefined) throw disputed(cheated);
      const moved = [...this.#accounts.values()].find(({ state }) =>
        state.provider === offer.provider && state.state === "open" && state.token === offer.rates.token
      );
      if (moved !== undefined) {
        // The same node at another address: its channel is good there too.
        this.#accounts.delete(moved.state.target);
        moved.change({ target });
        this.#accounts.set(target, moved);
        await this.#commit(moved);
        return await this.#ready(target);
      }
      if (deposit === 0n) {
        throw new NodeError(
          "payment_required",
          `${target} wants to be paid and there is no channel to it: open one (payments open ${target} <amount>), or let the node do it (payments.deposit)`,
          { data: { target }, retryable: false },
        );
      }
      await this.open(target, deposit, { signal });
      account = this.#accounts.get(target)!;
    }
    if (account.isDoubted) {
      await this.#look(account).catch((error) =>
        this.#options.log.debug("A channel was not looked up on the chain", {
          target,
          error: toNodeError(error).message,
        })
      );
      if (account.state.state !== "open") return await this.#ready(target);
    }
    const now = this.#options.clock.now();
    if (account.quoteAt(now + QUOTE_MARGIN_MS) === undefined) await this.#quote(account);
    if (account.isStale) await this.#sync(account);
    if (account.state.state === "disputed") throw disputed(account);
    return account;
  }

  /** Takes over what the chain says of a channel: its provider's word that it has ended would not do. */
  async #look(account: SpendingAccount): Promise<void> {
    const { chain } = this.#options;
    if (!chain.healthy()) return;
    const found = await chain.channelOf(account.state.channelId);
    account.isDoubted = false;
    const { state, deposit } = account.state;
    if (state === "closed" || (found?.deposit === deposit && found.exitAt === 0)) return;
    const next = found === undefined ? "closed" : state === "open" && found.exitAt > 0 ? "exiting" : state;
    this.#change(account, { state: next, ...(found !== undefined && { deposit: found.deposit }) });
    await this.#commit(account);
  }

  /** Notes a change. Of a channel that ends what was signed counts as spent: what was paid ahead is the provider's, and more it never gets. */
  #change(account: SpendingAccount, changes: Pick<Partial<SpendingState>, "deposit" | "state">): void {
    const { signed, spent, provider, token } = account.state;
    if (!account.hasEnded && (changes.state === "exiting" || changes.state === "closed")) {
      this.#totals.add("spent", { peer: provider, token, amount: signed - spent, items: 0 });
    }
    account.change(changes);
  }

  async #quote(account: SpendingAccount): Promise<void> {
    const { desk, settlement, curve, clock, costTable } = this.#options;
    const { target, channelId, provider, token } = account.state;
    const sinceVersion = account.version;
    const { quote: { quote, signature }, account: said } = await desk(target).quote(channelId, this.#call(), {
      costTable,
    });
    const wrong = quote.channelId !== channelId
      ? "it is for another channel"
      : quote.provider !== provider || !isSigner(curve, quoteDigest(settlement, quote), signature, provider)
      ? `it is not signed by ${provider}`
      : quote.requester !== this.#options.key.nodeId
      ? "it is for another requester"
      : quote.rates.token.toLowerCase() !== token.toLowerCase()
      ? "it is in another token"
      : quote.expiresAt <= clock.now()
      ? "it has expired"
      : undefined;
    if (wrong !== undefined) {
      throw new NodeError("target_misbehaved", `The quote of ${target} is refused: ${wrong}`, { data: { target } });
    }
    if (countsOtherwise(quote, costTable)) {
      throw otherCostTable(target, { provider: costTableOf(quote), requester: costTable });
    }
    account.change({ quote, quoteSignature: signature });
    this.#reconcile(account, said, sinceVersion);
    await this.#commit(account);
  }

  /** Sends the newest voucher again if need be, and compares books. */
  async #sync(account: SpendingAccount): Promise<void> {
    const { desk } = this.#options;
    const { target, channelId, signed, signature, acknowledged } = account.state;
    const sinceVersion = account.version;
    const said = signature !== undefined && acknowledged < signed
      ? await desk(target).pay({ channelId, cumulative: signed }, signature, this.#call())
      : await desk(target).account(channelId, this.#call());
    this.#reconcile(account, said, sinceVersion);
    await this.#commit(account);
  }

  /** Pays for `more`, beside what is reserved already. */
  async #pay(account: SpendingAccount, more: Wei): Promise<void> {
    const { window: least } = this.#options;
    const wanted = least > more / 10n ? least : more / 10n;
    const room = this.#budget.room(account.state.provider, this.#held(account, account.doubtful));
    await this.#send(account, account.nextVoucher(more, wanted < room ? wanted : room));
  }

  /** Pays for what was done on credit, also by tasks whose end this node has not asked for yet; not for what still runs. */
  async #payOwed(account: SpendingAccount): Promise<void> {
    await this.#sync(account);
    const { state, acknowledged } = account.state;
    if (state === "open" && account.owed > acknowledged) await this.#send(account, account.owed);
  }

  /** Signs a voucher over a sum, stores it, and only then sends it. */
  async #send(account: SpendingAccount, cumulative: Wei): Promise<void> {
    const { key, settlement, desk } = this.#options;
    const { target, channelId } = account.state;
    const voucher = { channelId, cumulative };
    const { signed, signature: before } = account.state;
    const signature = key.signDigest(voucherDigest(settlement, voucher));
    account.change({ signed: cumulative, signature });
    try {
      await this.#commit(account);
    } catch (error) {
      // What could not be stored must not be sent later either.
      account.unsign({ signed, signature: before });
      throw error;
    }
    const sinceVersion = account.version;
    const said = await desk(target).pay(voucher, signature, this.#call()).catch((error: unknown) => {
      if (toNodeError(error).code === "payment_required") account.isStale = account.isDoubted = true;
      throw error;
    });
    this.#reconcile(account, said, sinceVersion);
    await this.#commit(account);
    if (account.state.state === "disputed") throw disputed(account);
  }

  #reconcile(account: SpendingAccount, said: SignedAccount, sinceVersion: number): void {
    const { settlement, curve, log } = this.#options;
    const { provider, target, channelId, token } = account.state;
    if (
      said.receipt.channelId !== channelId ||
      !isSigner(curve, receiptDigest(settlement, said.receipt), said.signature, provider)
    ) {
      throw new NodeError(
        "target_misbehaved",
        `The receipt of ${target} is not signed by ${provider} for ${channelId}`,
        {
          data: { target },
        },
      );
    }
    const afterRestart = this.#loaded.has(account);
    const moved = account.reconcile(said, { afterRestart, sinceVersion });
    if (moved !== undefined) this.#loaded.delete(account);
    if (moved !== undefined && moved !== 0n && !account.hasEnded) {
      this.#totals.add("spent", { peer: provider, token, amount: moved, items: 0 });
    }
    if (account.state.state === "disputed") {
      log.warn("A provider charges more than it was asked to do; it is not paid any more", {
        target,
        channelId,
        charged: String(said.receipt.charged),
        spent: String(account.state.spent),
      });
    }
  }

  /** One at a time for each target. */
  async #arrange(target: string, work: () => Promise<void>): Promise<void> {
    const before = this.#arranging.get(target);
    const mine = (async () => {
      await before?.catch(() => {});
      if (this.#closed) throw new NodeError("shutting_down", "The node is stopping");
      await work();
    })();
    this.#arranging.set(target, mine);
    try {
      await mine;
    } finally {
      if (this.#arranging.get(target) === mine) this.#arranging.delete(target);
    }
  }

  /** Vouchers that did not arrive, and work done on credit that no voucher pays yet. */
  async #retry(): Promise<void> {
    for (const [target, account] of this.#accounts) {
      const { state, signed, acknowledged, spent } = account.state;
      if (state !== "open" || this.#arranging.has(target)) continue;
      try {
        if (acknowledged < signed) await this.#arrange(target, () => this.#sync(account));
        else if (spent + account.reserved > acknowledged) await this.#arrange(target, () => this.#payOwed(account));
      } catch (error) {
        this.#options.log.debug("A voucher did not arrive; it is sent again", {
          target,
          error: toNodeError(error).message,
        });
      }
    }
  }

  #commit(account: SpendingAccount): Promise<void> {
    return this.#books.commit([{ kind: "spending", key: account.state.channelId, text: toText(account.state) }]);
  }

  #call(): CallContext {
    const { key, clock } = this.#options;
    const requestId = currentRequestId() ?? newUlid(clock.now());
    return { requester: key.nodeId, signal: AbortSignal.timeout(30_000), requestId };
  }
}

function nameOf(token: NodeId): string {
  return token === NATIVE_TOKEN ? "the chain's coin" : token;
}

function pricedOf(
  { limits: asked, plugin }: TaskTerms,
  { offer, noGpu }: { readonly offer: Offer; readonly noGpu: boolean },
): PricedTask {
  return {
    limits: {
      timeoutMs: asked.timeoutMs ?? offer.defaultTimeoutMs,
      outputBytes: asked.outputBytes ?? offer.defaultOutputBytes,
      ...(asked.instructions !== undefined && { instructions: asked.instructions }),
      noGpu,
    },
    ...(plugin !== undefined && { plugin }),
  };
}

function disputed(account: SpendingAccount): NodeError {
  const { target, channelId } = account.state;
  return new NodeError(
    "failed_precondition",
    `${target} charged more on channel ${channelId} than it was asked to do: end the channel (payments exit) and use another provider, or open another one by hand (payments open)`,
    { data: { target, channelId } },
  );
}

function notCredited(account: SpendingAccount): NodeError {
  return new NodeError("target_misbehaved", `${account.state.target} does not acknowledge the voucher that was sent`, {
    data: { target: account.state.target },
  });
}
