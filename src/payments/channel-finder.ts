import { type Clock, type Log, NATIVE_TOKEN, NodeError, type NodeId, toNodeError, type Wei } from "../core/mod.ts";
import type { ChannelReader } from "./channel-on-chain.ts";
import { type DeskCalls, disputed } from "./desk-calls.ts";
import type { OfferBook } from "./offer-book.ts";
import type { SpendingAccount } from "./spending-account.ts";
import type { SpendingAccounts } from "./spending-accounts.ts";

export interface ChannelFinderOptions {
  /** The deposit of a channel that is opened when one is needed; 0 opens none by itself. */
  readonly deposit: Wei;
  readonly clock: Clock;
  readonly log: Log;
  readonly chain: ChannelReader;
  /** Opens a channel on the chain; resolves once it is as deep as the node wants and {@link SpendingAccounts.adopt} has it. */
  readonly openChannel: (
    order: { readonly target: string; readonly payee: NodeId; readonly token: NodeId; readonly amount: Wei },
  ) => Promise<void>;
}

/** How long a quote must hold still for work to be begun by it. */
export const QUOTE_MARGIN_MS = 1_000;

/** Finds the channel to pay a target on, or opens one. */
export class ChannelFinder {
  readonly #options: ChannelFinderOptions;
  readonly #accounts: SpendingAccounts;
  readonly #offers: OfferBook;
  readonly #calls: DeskCalls;

  constructor(
    options: ChannelFinderOptions,
    parts: { readonly accounts: SpendingAccounts; readonly offers: OfferBook; readonly calls: DeskCalls },
  ) {
    this.#options = options;
    this.#accounts = parts.accounts;
    this.#offers = parts.offers;
    this.#calls = parts.calls;
  }

  /**
   * The account of a target with a quote that holds and books that agree; undefined when it works free of charge. When the provider does not
   * take the channel any more because it has ended, that of another one.
   */
  async find(target: string): Promise<SpendingAccount | undefined> {
    try {
      return await this.#ready(target);
    } catch (error) {
      const account = this.#accounts.of(target);
      if (account === undefined || toNodeError(error).code !== "payment_required") throw error;
      account.isStale = account.isDoubted = true;
      await this.look(account).catch(() => {});
      if (account.state.state !== "closed") throw error;
      return await this.#ready(target);
    }
  }

  /**
   * Opens a channel to the provider at a target, with a deposit. Throws `failed_precondition` when the provider works free of charge, and when it
   * wants another `token` than this.
   */
  async open(
    target: string,
    amount: Wei,
    { signal, token }: { readonly signal: AbortSignal; readonly token?: NodeId },
  ): Promise<SpendingAccount> {
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
    return this.#accounts.of(target)!;
  }

  /** Takes over what the chain says of a channel: its provider's word that it has ended would not do. */
  async look(account: SpendingAccount): Promise<void> {
    const { chain } = this.#options;
    if (!chain.healthy()) return;
    const found = await chain.channelOf(account.state.channelId);
    account.isDoubted = false;
    const { state, deposit } = account.state;
    if (state === "closed" || (found?.deposit === deposit && found.exitAt === 0)) return;
    const next = found === undefined ? "closed" : state === "open" && found.exitAt > 0 ? "exiting" : state;
    await this.#accounts.note(account, { state: next, ...(found !== undefined && { deposit: found.deposit }) });
  }

  async #ready(target: string): Promise<SpendingAccount | undefined> {
    const signal = AbortSignal.timeout(30_000);
    let account = this.#accounts.of(target);
    if (account === undefined || account.state.state !== "open") {
      const offer = await this.#offers.of(target, signal);
      if (offer === undefined) return undefined;
      // No channel is opened by itself to a provider that cheated, whatever its address is now; its owner may, by hand.
      const cheated = this.#accounts.cheatedBy(offer.provider);
      if (cheated !== undefined) throw disputed(cheated);
      const moved = this.#accounts.openWith(offer.provider, offer.rates.token);
      if (moved !== undefined) {
        // The same node at another address: its channel is good there too.
        await this.#accounts.move(moved, target);
        return await this.#ready(target);
      }
      account = await this.#openByItself(target, signal);
    }
    if (account.isDoubted) {
      await this.look(account).catch((error) =>
        this.#options.log.debug("A channel was not looked up on the chain", {
          target,
          error: toNodeError(error).message,
        })
      );
      if (account.state.state !== "open") return await this.#ready(target);
    }
    const now = this.#options.clock.now();
    if (account.quoteAt(now + QUOTE_MARGIN_MS) === undefined) await this.#calls.quote(account);
    if (account.isStale) await this.#calls.sync(account);
    if (account.state.state === "disputed") throw disputed(account);
    return account;
  }

  async #openByItself(target: string, signal: AbortSignal): Promise<SpendingAccount> {
    const { deposit } = this.#options;
    if (deposit === 0n) {
      throw new NodeError(
        "payment_required",
        `${target} wants to be paid and there is no channel to it: open one (payments open ${target} <amount>), or let the node do it (payments.deposit)`,
        { data: { target }, retryable: false },
      );
    }
    return await this.open(target, deposit, { signal });
  }
}

function nameOf(token: NodeId): string {
  return token === NATIVE_TOKEN ? "the chain's coin" : token;
}
