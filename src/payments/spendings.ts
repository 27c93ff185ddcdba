import {
  type ChannelView,
  type Hex32,
  type KeptQuote,
  maxTaskPrice,
  NodeError,
  type NodeId,
  type Offer,
  type PaymentStore,
  type PricedTask,
  type TaskLimits,
  taskPrice,
  toNodeError,
  type Usage,
  type Wei,
} from "../core/mod.ts";
import type { Books } from "./books.ts";
import type { Budget } from "./budget.ts";
import { ChannelFinder, type ChannelFinderOptions, QUOTE_MARGIN_MS } from "./channel-finder.ts";
import { DeskCalls, type DeskCallsOptions } from "./desk-calls.ts";
import { GpuPlugins } from "./gpu-plugins.ts";
import { QuoteIds } from "./held-quotes.ts";
import { LeaseBook } from "./lease-book.ts";
import { OfferBook } from "./offer-book.ts";
import { storagePrice } from "./rates.ts";
import { type SpendingAccount, type SpendingState, viewOf } from "./spending-account.ts";
import { SpendingAccounts } from "./spending-accounts.ts";
import { SpendingCaps } from "./spending-caps.ts";
import {
  AccountSpending,
  FREE_SPENDING,
  type PricedWork,
  type SpendingReservation,
  type SpendingReservationParts,
} from "./spending-reservation.ts";
import type { Totals } from "./totals.ts";

export interface SpendingsOptions extends DeskCallsOptions, ChannelFinderOptions {
  readonly store: PaymentStore;
  /** How often vouchers that did not arrive are sent again, and work done on credit is paid. */
  readonly retryMs?: number;
}

interface TaskTerms {
  readonly target: string;
  /** As in TaskSpec; when absent, any that the provider may have. */
  readonly plugin?: string;
  readonly limits: Partial<TaskLimits>;
  readonly inputBytes: number | undefined;
}

interface StorageTerms {
  readonly target: string;
  readonly action: "put" | "get" | "renew";
  readonly bytes: number;
  readonly durationMs: number;
}

type Work<Used> = (offer: Offer) => PricedWork<Used>;

const RETRY_MS = 5_000;

/**
 * The requester's side of payments: its ledgers. Money is set aside at once where the account of the target covers it; otherwise the channel,
 * the quote and the voucher for it are arranged first.
 */
export class Spendings {
  readonly #options: SpendingsOptions;
  readonly #accounts: SpendingAccounts;
  readonly #caps: SpendingCaps;
  readonly #offers: OfferBook;
  readonly #leases: LeaseBook;
  readonly #gpus: GpuPlugins;
  readonly #calls: DeskCalls;
  readonly #channels: ChannelFinder;
  readonly #parts: SpendingReservationParts;
  /** What waits for money to be arranged with a target, one after the other. */
  readonly #arranging = new Map<string, Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor(
    options: SpendingsOptions,
    shared: { readonly books: Books; readonly totals: Totals; readonly budget: Budget },
  ) {
    this.#options = options;
    const accounts = this.#accounts = new SpendingAccounts(shared);
    const caps = this.#caps = new SpendingCaps(shared.budget, accounts);
    const offers = this.#offers = new OfferBook(options);
    const leases = this.#leases = new LeaseBook(options, shared.books);
    const gpus = this.#gpus = new GpuPlugins(options.clock);
    const calls = this.#calls = new DeskCalls(options, { accounts, caps });
    this.#channels = new ChannelFinder(options, { accounts, offers, calls });
    const { settlement, clock, log } = options;
    this.#parts = {
      accounts,
      caps,
      leases,
      gpus,
      quoteIds: new QuoteIds(settlement),
      clock,
      log,
      arrange: (target, work) => this.#arrange(target, work),
    };
    this.#timer = setInterval(() => void this.#retry(), options.retryMs ?? RETRY_MS);
    this.#timer.unref();
  }

  /** Reads the books. */
  async load(): Promise<void> {
    await this.#leases.load();
    await this.#accounts.load(this.#options.store, this.#options.costTable);
  }

  readonly tasks = {
    reserve: (terms: TaskTerms): SpendingReservation<Usage> | Promise<SpendingReservation<Usage>> => {
      const { target, plugin, limits } = terms;
      return this.#reserve(target, (offer) => {
        const noGpu = limits.noGpu ?? this.#gpus.isLeftOut(target, plugin, offer);
        return new TaskWork(terms, { offer, noGpu });
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
    how: { readonly signal: AbortSignal; readonly token?: NodeId },
  ): Promise<ChannelView> {
    return viewOf((await this.#channels.open(target, amount, how)).state);
  }

  /** Takes a channel that is on the chain into the books, as the one to pay a target on. */
  adopt(
    target: string,
    channel: { readonly channelId: Hex32; readonly provider: NodeId; readonly token: NodeId; readonly deposit: Wei },
  ): Promise<void> {
    return this.#accounts.adopt(target, channel);
  }

  views(): readonly ChannelView[] {
    return this.#accounts.all().map(({ state }) => viewOf(state));
  }

  /** Notes what the chain says of a channel. */
  async note(channelId: Hex32, changes: Pick<Partial<SpendingState>, "deposit" | "state">): Promise<void> {
    const account = this.#accounts.find(channelId);
    if (account !== undefined) await this.#accounts.note(account, changes);
  }

  /** Looks up a channel's deposit on the chain, and whether somebody ended it. */
  async refresh(channelId: Hex32): Promise<void> {
    const account = this.#accounts.find(channelId);
    if (account !== undefined) await this.#channels.look(account);
  }

  /** Pays what is owed exactly, with no window ahead, and compares books: for the end of a channel or of a day. */
  async settleUp(target: string): Promise<void> {
    const account = this.#accounts.of(target);
    if (account !== undefined) await this.#arrange(target, () => this.#calls.payOwed(account));
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
    const account = this.#accounts.of(target);
    const quote = account?.quoteAt(this.#options.clock.now() + QUOTE_MARGIN_MS);
    if (account !== undefined && quote !== undefined && account.state.state === "open" && !account.isStale) {
      const priced = work(quote);
      const { max } = priced;
      if (account.covers(max) && account.isPromised(max)) {
        return new AccountSpending(account, { quote, work: priced }, this.#parts);
      }
    } else if (this.#offers.isKnownFree(target)) {
      return FREE_SPENDING;
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
      const account = await this.#channels.find(target);
      if (account === undefined) {
        taken = FREE_SPENDING;
        return;
      }
      // It held when it was looked at; should comparing books have taken long, the provider takes it for a while still or asks for another.
      const quote = account.state.quote!;
      const priced = work(quote);
      const { max } = priced;
      // Within the caps before anything is signed.
      this.#caps.reserve(account, max);
      try {
        if (!account.covers(max)) await this.#calls.pay(account, max);
        if (!account.covers(max)) throw notCredited(account);
        if (!account.isPromised(max)) {
          const { window } = this.#options;
          account.promise(max, window > 2n * max ? window : 2n * max);
          await this.#accounts.commit(account);
        }
      } finally {
        this.#caps.release(account, max);
      }
      taken = new AccountSpending(account, { quote, work: priced }, this.#parts);
    });
    return taken!;
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

  /** Vouchers that did not arrive, work done on credit that no voucher pays yet, and what failed work cost all the same. */
  async #retry(): Promise<void> {
    for (const [target, account] of this.#accounts.current()) {
      const { state, signed, acknowledged, spent } = account.state;
      if (state !== "open" || this.#arranging.has(target)) continue;
      try {
        if (acknowledged < signed) await this.#arrange(target, () => this.#calls.sync(account));
        else if (spent + account.reserved > acknowledged || account.doubtful > 0n) {
          await this.#arrange(target, () => this.#calls.payOwed(account));
        }
      } catch (error) {
        this.#options.log.debug("A voucher did not arrive; it is sent again", {
          target,
          error: toNodeError(error).message,
        });
      }
    }
  }
}

/** A task as it is priced by an offer. */
class TaskWork implements PricedWork<Usage>, PricedTask {
  readonly limits: PricedTask["limits"];
  readonly plugin: string;
  readonly max: Wei;
  readonly noGpuFor: string | undefined;

  constructor(
    { limits: { timeoutMs, outputBytes, instructions = 0 }, plugin = "", inputBytes }: TaskTerms,
    { offer, noGpu }: { readonly offer: Offer; readonly noGpu: boolean },
  ) {
    this.limits = {
      timeoutMs: timeoutMs ?? offer.defaultTimeoutMs,
      outputBytes: outputBytes ?? offer.defaultOutputBytes,
      instructions,
      noGpu,
    };
    this.plugin = plugin;
    this.max = maxTaskPrice(offer.rates, this, inputBytes ?? offer.maxInputBytes);
    this.noGpuFor = noGpu ? plugin : undefined;
  }

  price({ rates }: Offer, usage: Usage): Wei {
    return taskPrice(rates, usage, this);
  }
}

function notCredited(account: SpendingAccount): NodeError {
  return new NodeError("target_misbehaved", `${account.state.target} does not acknowledge the voucher that was sent`, {
    data: { target: account.state.target },
  });
}
