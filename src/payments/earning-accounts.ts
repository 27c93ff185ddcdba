import {
  type Hex32,
  type Log,
  NATIVE_TOKEN,
  NodeError,
  type NodeId,
  type NodeKey,
  type PaymentStore,
  type Settlement,
  toNodeError,
  ZERO_WEI,
} from "../core/mod.ts";
import { type Books, changeOf, fromText } from "./books.ts";
import type { ChannelOnChain, ChannelReader } from "./channel-on-chain.ts";
import { EarningAccount, type EarningState } from "./earning-account.ts";
import type { PriceList } from "./price-list.ts";

export interface EarningAccountsOptions {
  readonly key: NodeKey;
  readonly settlement: Settlement;
  /** The shortest exit delay of a channel that is taken, in seconds. */
  readonly minExitDelay: number;
  readonly store: PaymentStore;
  readonly chain: ChannelReader;
  readonly log: Log;
}

/** The accounts of all channels that pay this node, in the books, and as the chain has them. */
export class EarningAccounts {
  readonly #options: EarningAccountsOptions;
  readonly #books: Books;
  readonly #prices: Pick<PriceList, "rates">;
  readonly #byChannel = new Map<Hex32, EarningAccount>();
  /** The channel that each payer pays on: the newest that it told of. */
  readonly #byPayer = new Map<NodeId, EarningAccount>();

  constructor(
    options: EarningAccountsOptions,
    { books, prices }: { readonly books: Books; readonly prices: Pick<PriceList, "rates"> },
  ) {
    this.#options = options;
    this.#books = books;
    this.#prices = prices;
  }

  /** Reads the books. */
  async load(): Promise<void> {
    for (const [, text] of await this.#options.store.entries("earning")) {
      const account = new EarningAccount(fromText<EarningState>(text));
      this.#byChannel.set(account.state.channelId, account);
      if (!account.state.closed) this.use(account);
    }
  }

  /** All of them, as they are while this is gone through. */
  all(): Iterable<EarningAccount> {
    return this.#byChannel.values();
  }

  /** The account that a payer pays on. */
  of(payer: NodeId): EarningAccount | undefined {
    return this.#byPayer.get(payer);
  }

  /** From now on its payer pays on this one. */
  use(account: EarningAccount): void {
    this.#byPayer.set(account.state.chain.payer, account);
  }

  /** Throws `not_found`. */
  find(channelId: Hex32): EarningAccount {
    const account = this.#byChannel.get(channelId);
    if (account !== undefined) return account;
    throw new NodeError("not_found", `Channel ${channelId} is not known here: ask for a quote on it first`);
  }

  /** The account of a channel as the chain has it now. Throws when the channel does not suit this node. */
  async refresh(channelId: Hex32): Promise<EarningAccount> {
    const { chain, key, settlement } = this.#options;
    const known = this.#byChannel.get(channelId);
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
      const account = this.#byChannel.get(channelId) ??
        new EarningAccount({
          channelId,
          chain: found,
          paid: ZERO_WEI,
          charged: ZERO_WEI,
          items: 0,
          sequence: 0,
          closed: false,
        });
      this.#byChannel.set(channelId, account);
      return account;
    } else {
      // A reorganisation may have taken the channel away for a while; an id is never used twice.
      known.change({ chain: found, closed: false });
    }
    this.saveLater(known!);
    return known!;
  }

  /** Looks at all channels again: deposits, claims, exits. A channel that is gone is closed. */
  async refreshAll(): Promise<void> {
    for (const { state } of [...this.#byChannel.values()]) {
      if (!state.closed) await this.refresh(state.channelId).catch(() => {});
    }
  }

  /** Has an account written; resolves when it is with the system. */
  save(account: EarningAccount): Promise<void> {
    return this.#books.touch(account);
  }

  /** The same for nobody that waits for it. */
  saveLater(account: EarningAccount): void {
    this.save(account).catch((error) =>
      this.#options.log.error("The books of a channel could not be written", {
        channelId: account.state.channelId,
        error: toNodeError(error).message,
      })
    );
  }

  /** Writes an account, so that it survives a power cut. */
  commit(account: EarningAccount): Promise<void> {
    return this.#books.commit([changeOf(account)]);
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
}
