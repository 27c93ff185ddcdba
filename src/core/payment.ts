import type { CustodyView } from "./custody.ts";
import type { Offer, Quote, Receipt, Settlement, Voucher } from "./deal.ts";
import { NodeError } from "./errors.ts";
import type { NodeId } from "./ids.ts";
import type { CallContext } from "./task.ts";
import type { TokenInfo } from "./token.ts";
import type { Hex32 } from "./typed-data.ts";
import type { Wei } from "./wei.ts";

/** An offer with the provider's signature: 65 bytes over its digest. */
export interface SignedOffer {
  readonly settlement: Settlement;
  readonly offer: Offer;
  readonly signature: Uint8Array;
}

/** A quote with the provider's signature. */
export interface SignedQuote {
  readonly settlement: Settlement;
  readonly quote: Quote;
  readonly signature: Uint8Array;
}

/** A quote that the leases of this node's shards are by. */
export interface KeptQuote extends SignedQuote {
  /** Its EIP-712 digest, which leases name. */
  readonly digest: Hex32;
  /** When the last of its leases is over at the latest, and it is forgotten, in milliseconds since the epoch. */
  readonly keepUntil: number;
}

/** How the books of a channel stand at its payee. */
export interface SignedAccount {
  readonly receipt: Receipt;
  readonly signature: Uint8Array;
  /** How far the payee works beyond what is paid. */
  readonly credit: Wei;
  /** The most that the payee may still charge for work under way, also for calls that the payer has given up. */
  readonly reserved: Wei;
}

/**
 * Where a provider is paid. Two things are one: the desk in this process, and the RPC client of one elsewhere. Every method throws a
 * NodeError: `not_found` for a channel that the desk does not know, `unimplemented` for a provider that takes no money.
 */
export interface PaymentDesk {
  offer(signal: AbortSignal): Promise<SignedOffer>;
  /**
   * Prices for the payer of a channel, which the provider looks up on the chain. Throws `failed_precondition` when the channel does not suit it,
   * and when the payer says that it counts instructions by another cost table.
   */
  quote(
    channelId: Hex32,
    ctx: CallContext,
    payer?: { readonly costTable?: number | undefined },
  ): Promise<{ readonly quote: SignedQuote; readonly account: SignedAccount }>;
  /** Takes a voucher; one that is no higher than the last changes nothing. Throws `invalid_argument` for one that is not good. */
  pay(voucher: Voucher, signature: Uint8Array, ctx: CallContext): Promise<SignedAccount>;
  account(channelId: Hex32, ctx: CallContext): Promise<SignedAccount>;
}

/** One channel, as people look at it. Amounts are in the token's smallest unit. */
export interface ChannelView {
  readonly channelId: Hex32;
  /** Whether this node pays on it or is paid. */
  readonly role: "payer" | "payee";
  readonly peer: NodeId;
  /** Where the peer is, when this node pays it. */
  readonly target?: string;
  readonly token: NodeId;
  readonly deposit: Wei;
  /** What was charged so far. */
  readonly charged: Wei;
  /** The sum of the newest voucher. */
  readonly paid: Wei;
  /** What the payee has claimed on the chain, as far as known. */
  readonly claimed: Wei;
  readonly items: number;
  readonly state: "open" | "exiting" | "closed" | "disputed";
  /** The newest receipt that the payee signed, if any. */
  readonly receipt?: { readonly receipt: Receipt; readonly signature: string };
  /** The newest voucher's signature, if any. */
  readonly voucher?: string;
  /** Since when this node has done work on it that no voucher pays, in milliseconds since the epoch. */
  readonly owedSince?: number;
}

/** What was spent to, or earned from, one peer on one day in one token. */
export interface DayTotal {
  /** YYYY-MM-DD, in UTC. */
  readonly day: string;
  readonly direction: "spent" | "earned";
  readonly peer: NodeId;
  readonly token: NodeId;
  readonly amount: Wei;
  readonly items: number;
}

/** A transaction that was mined. */
export interface MinedTransaction {
  readonly hash: Hex32;
  readonly gasUsed: bigint;
}

/** What the owner of a node does with its money. Every method throws a NodeError. */
export interface PaymentAdmin {
  readonly settlement: Settlement;
  channels(): readonly ChannelView[];
  /** The node's signed prices; undefined when it takes no money. */
  offer(): Promise<SignedOffer | undefined>;
  totals(): readonly DayTotal[];
  /** The quotes that leases of this node's shards are by, for as long as there are such leases. */
  quotes(): Promise<readonly KeptQuote[]>;
  /** The chain, the contracts and the balances of this node. */
  summary(): Promise<PaymentSummary>;
  /** The tokens that this node deals in, beside the chain's coin. */
  tokens(): Promise<readonly TokenInfo[]>;
  /** What one token tells of itself; only the address while the chain does not answer. */
  token(address: NodeId): Promise<TokenInfo>;
  /** What the provider at `host:port` wants, by its signed offer; undefined when it works free of charge. */
  offerOf(target: string, signal: AbortSignal): Promise<Offer | undefined>;
  /**
   * Opens a channel to the provider at `host:port`; returns when the provider knows it. With a `token`, throws `failed_precondition` when the
   * provider wants another one.
   */
  open(
    target: string,
    amount: Wei,
    options: { readonly signal: AbortSignal; readonly token?: NodeId },
  ): Promise<ChannelView>;
  topUp(channelId: Hex32, amount: Wei): Promise<MinedTransaction>;
  /** Claims what is owed, on one channel or on all that pay this node. */
  claim(channelId?: Hex32): Promise<MinedTransaction | undefined>;
  /** Ends a channel that pays this node. */
  close(channelId: Hex32): Promise<MinedTransaction>;
  /** Announces the end of a channel on which this node pays or, after the delay, ends it. */
  exit(channelId: Hex32): Promise<MinedTransaction>;
  /** Makes this node known in the registry, or known anew. Throws `failed_precondition` when no registry is configured. */
  register(profile: RegistryProfile): Promise<MinedTransaction>;
  /** Custody statements that this node signed or was given, and that can still be challenged. */
  custody(): readonly CustodyView[];
  /** Challenges a statement that this node was given, with a bond. Throws `not_found` and `failed_precondition`. */
  challenge(id: Hex32): Promise<MinedTransaction & { readonly deadline: number }>;
  /** Has the provider of a challenge that was not answered in time lose its stake. Throws `not_found` and `failed_precondition`. */
  slash(id: Hex32): Promise<MinedTransaction>;
  /** Promises in the registry that this node's stake stays until a time, in Unix seconds. */
  pledge(until: number): Promise<MinedTransaction>;
  /** Sends credit in a contract, by default the channels', to an account, by default to this node. */
  withdraw(
    token: NodeId,
    options: {
      readonly amount?: Wei;
      readonly to?: NodeId;
      /** Bonds that came back are in `audit`, what others lost to this node in `registry`. */
      readonly from?: "channels" | "audit" | "registry";
    },
  ): Promise<MinedTransaction>;
}

/** What a node says of itself in the registry. */
export interface RegistryProfile {
  /** Where others reach its RPC, as `host:port`. */
  readonly target: string;
  /** Up to 32 printable ASCII characters. */
  readonly region: string;
  /** Coins that are added to what it loses when it is found cheating. */
  readonly stake: Wei;
}

export interface PaymentSummary {
  readonly chainId: number;
  readonly channels: NodeId;
  readonly account: NodeId;
  /** The account's own coins. */
  readonly balance: Wei;
  /** What the contract holds for it in the token of its prices. */
  readonly credit: Wei;
  /** What the contract holds for it in the chain's coin, and in each token that it deals in. */
  readonly credits: readonly { readonly token: NodeId; readonly amount: Wei }[];
  readonly head: bigint;
  readonly healthy: boolean;
}

/** Why a provider did not do what a quote was to pay for: the reason in the error's data. Another quote does. */
export const QUOTE_EXPIRED = "quote_expired";

/** How long after its end a quote still pays for what was on its way, in milliseconds. */
export const QUOTE_GRACE_MS = 10_000;

/** The error of a provider that has no cover for what is asked of it. */
export function paymentRequired(message: string, data: Readonly<Record<string, string>> = {}): NodeError {
  return new NodeError("payment_required", message, { data });
}
