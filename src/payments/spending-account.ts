import {
  type ChannelView,
  type Hex32,
  NodeError,
  type NodeId,
  type Quote,
  type SignedAccount,
  toHex,
  type Wei,
  wei,
  ZERO_WEI,
} from "../core/mod.ts";
import { type BookEntry, toText } from "./books.ts";

/** The books of one channel on which this node pays. */
export interface SpendingState {
  readonly channelId: Hex32;
  readonly target: string;
  readonly provider: NodeId;
  readonly token: NodeId;
  readonly deposit: Wei;
  /** The sum of the newest voucher that was signed, and its signature. */
  readonly signed: Wei;
  readonly signature?: Uint8Array;
  /**
   * What work on credit, that no voucher covers, may come to: on disk before such work is sent. After a crash it bounds what is believed of a
   * provider, whose own word on credit does not.
   */
  readonly promised?: Wei;
  /** The sum of the newest voucher that the provider has acknowledged. */
  readonly acknowledged: Wei;
  /** What was charged by this node's own reckoning. */
  readonly spent: Wei;
  readonly items: number;
  readonly quote?: Quote;
  /** The provider's, over the quote. */
  readonly quoteSignature?: Uint8Array;
  /** The provider's newest word on the account. */
  readonly account?: SignedAccount;
  readonly state: "open" | "exiting" | "closed" | "disputed";
  /** Whether the provider charged too much on it; remembered beyond the channel's end. */
  readonly cheated?: boolean;
}

/** A state of which two members move in place. */
type MovingState = Omit<SpendingState, "spent" | "items"> & { spent: Wei; items: number };

/** A quote, and its provider's signature. */
export interface AgreedQuote {
  readonly quote: Quote;
  readonly signature: Uint8Array;
}

/**
 * The payer's side of one channel. What is signed away is bounded by what was reserved within the caps, and by the window that is paid ahead
 * of need so that not every task waits for a voucher.
 */
export class SpendingAccount implements BookEntry {
  readonly kind = "spending";
  readonly key: Hex32;
  /** Another object with each change but those of what is spent, which each task makes. */
  #state: MovingState;
  #agreed: AgreedQuote | undefined;
  #reserved = 0n;
  /** What failed calls may have cost all the same: the provider may have done the work and its answer been lost. */
  #doubtful = 0n;
  /** Whether the provider's books are to be asked for before anything else. */
  isStale = true;
  /** Whether the chain is to be asked first if the channel is still there, and what it holds. */
  isDoubted = true;
  /** Counts what moves the books, so that an answer that something overtook is known as such. */
  #version = 0;

  constructor(state: SpendingState) {
    this.key = state.channelId;
    this.#state = { ...state };
  }

  /** As it is now: what is spent moves in it. */
  get state(): SpendingState {
    return this.#state;
  }

  get reserved(): bigint {
    return this.#reserved;
  }

  /** Whether no more is signed on it; all that was has been counted as spent. */
  get hasEnded(): boolean {
    const { state } = this.#state;
    return state === "exiting" || state === "closed";
  }

  /**
   * What the provider may come to charge or to claim beside what is spent and reserved, once `more` is reserved too: work whose answer was
   * lost, and what is signed ahead of need.
   */
  held(more: bigint): bigint {
    if (this.hasEnded) return 0n;
    const ahead = this.#state.signed - this.#dispatched - more;
    return this.#doubtful + (ahead > 0n ? ahead : 0n);
  }

  /** What failed calls may have cost all the same. */
  get doubtful(): bigint {
    return this.#doubtful;
  }

  get version(): number {
    return this.#version;
  }

  /** What the provider has worked for: this node's own reckoning, and what the newest receipt adds that reserved work explains. */
  get owed(): Wei {
    const { spent, account } = this.#state;
    const charged = account?.receipt.charged ?? ZERO_WEI;
    const most = spent + this.#reserved + this.#doubtful;
    const explained = charged < most ? charged : wei(most);
    return explained > spent ? explained : spent;
  }

  /** The prices for what begins now; undefined when a new quote is needed. */
  quoteAt(nowMs: number): Quote | undefined {
    const { quote } = this.#state;
    return quote !== undefined && quote.expiresAt > nowMs ? quote : undefined;
  }

  /** A quote is not to be used any more, whenever it was to end. */
  dropQuote(quote: Quote): void {
    if (this.#state.quote !== quote) return;
    const { quote: _quote, quoteSignature: _signature, ...rest } = this.#state;
    this.#state = rest;
  }

  /** The newest quote with its signature; undefined before the first. */
  get signedQuote(): AgreedQuote | undefined {
    const { quote, quoteSignature: signature } = this.#state;
    if (quote === undefined || signature === undefined) return undefined;
    if (this.#agreed?.quote !== quote) this.#agreed = { quote, signature };
    return this.#agreed;
  }

  /** Whether the provider will work for `more` wei without another voucher. */
  covers(more: bigint): boolean {
    const { acknowledged, account } = this.#state;
    return this.#dispatched + more <= acknowledged + (account?.credit ?? 0n);
  }

  /** Whether what work may come to with `more` is on disk already. */
  isPromised(more: bigint): boolean {
    return this.#dispatched + more <= this.#bound;
  }

  /** Notes that work on credit may come to `more`, and `ahead` of that so that not every task is noted; the caller writes it before the work is sent. */
  promise(more: bigint, ahead: bigint): void {
    this.#state = { ...this.#state, promised: wei(this.#dispatched + more + ahead) };
  }

  get #dispatched(): bigint {
    return this.#state.spent + this.#reserved + this.#doubtful;
  }

  /** What was signed or promised: nothing beyond it was ever sent to be done. */
  get #bound(): bigint {
    const { signed, promised = 0n } = this.#state;
    return signed > promised ? signed : promised;
  }

  /**
   * The sum of the voucher that pays for what is reserved and `more`, and for `window` ahead where the deposit has room. Throws
   * `payment_required` when the deposit does not suffice.
   */
  nextVoucher(more: bigint, window: bigint): Wei {
    const { spent, deposit, signed, channelId } = this.#state;
    const needed = spent + this.#reserved + this.#doubtful + more;
    if (needed > deposit) {
      throw new NodeError(
        "payment_required",
        `Channel ${channelId} holds ${deposit} wei, and ${needed} are needed: top it up (payments topup) or wait for what runs`,
        { data: { channelId, deposit: String(deposit), needed: String(needed) }, retryable: this.#reserved > 0n },
      );
    }
    const sum = needed + window < deposit ? needed + window : deposit;
    return wei(sum > signed ? sum : signed);
  }

  reserve(max: Wei): void {
    this.#version++;
    this.#reserved += max;
  }

  /** The work was good and cost this; returns what is counted. */
  commit(max: Wei, charge: Wei): Wei {
    this.#version++;
    this.#reserved -= max;
    const actual = charge < max ? charge : max;
    this.#state.spent = wei(this.#state.spent + actual);
    this.#state.items++;
    return actual;
  }

  /** The work gave nothing, though the provider may think otherwise when the failure is `doubtful`. */
  release(max: Wei, doubtful: boolean): void {
    this.#version++;
    this.#reserved -= max;
    if (doubtful) {
      this.#doubtful += max;
      this.isStale = true;
    }
  }

  /**
   * Compares books with the provider's word. A charge that this node does not know is taken over when a lost answer explains it; it was
   * signed for at most what was reserved. One beyond that ends all payment: the state becomes `disputed`. Returns by how much `spent`
   * moved, or undefined when the books could not be made equal yet.
   */
  reconcile(
    account: SignedAccount,
    options: { readonly afterRestart: boolean; readonly sinceVersion: number },
  ): bigint | undefined {
    const { receipt } = account;
    const known = this.#state.account?.receipt.sequence ?? 0;
    if (receipt.sequence < known) return undefined; // an answer that was overtaken
    const { spent, signed } = this.#state;
    // What ran when an earlier process of this node ended.
    const restarted = options.afterRestart && this.#bound > spent ? this.#bound - spent : 0n;
    const room = this.#reserved + (this.#doubtful > restarted ? this.#doubtful : restarted);
    const acknowledged = receipt.paid > this.#state.acknowledged ? receipt.paid : this.#state.acknowledged;
    this.#state = { ...this.#state, account, acknowledged: acknowledged < signed ? acknowledged : signed };
    if (receipt.charged > spent + room) {
      this.#state = { ...this.#state, state: "disputed", cheated: true };
      return undefined;
    }
    // While something runs, its charge may be in the receipt before its answer is here.
    if (this.#reserved > 0n || this.#version !== options.sinceVersion) return undefined;
    // What the provider has not charged of it stays in doubt while it still works on something, and no longer.
    const left = receipt.charged > spent ? room - (receipt.charged - spent) : room;
    this.#doubtful = left < account.reserved ? left : account.reserved;
    this.isStale = this.#doubtful > 0n;
    this.#state = { ...this.#state, spent: receipt.charged };
    return receipt.charged - spent;
  }

  /** Goes back to an earlier voucher, since the newer one could not be stored. */
  unsign({ signed, signature }: { readonly signed: Wei; readonly signature: Uint8Array | undefined }): void {
    const { signature: _lost, ...rest } = this.#state;
    this.#state = { ...rest, signed, ...(signature !== undefined && { signature }) };
  }

  change(changes: Partial<SpendingState>): void {
    this.#state = { ...this.#state, ...changes };
  }

  text(): string {
    return toText(this.#state);
  }
}

/** A channel as its payer looks at it. */
export function viewOf(state: SpendingState): ChannelView {
  const { channelId, target, provider, token, deposit, spent, signed, items, account, signature } = state;
  return {
    channelId,
    role: "payer",
    peer: provider,
    target,
    token,
    deposit,
    charged: spent,
    paid: signed,
    claimed: ZERO_WEI,
    items,
    state: state.state,
    ...(account !== undefined && { receipt: { receipt: account.receipt, signature: toHex(account.signature) } }),
    ...(signature !== undefined && { voucher: toHex(signature) }),
  };
}
