import type { NodeId } from "./ids.ts";
import { NATIVE_TOKEN, RATE_NAMES, type Rates } from "./price.ts";
import { type Hex32, typedDigest, type TypedDomain, type TypedStruct } from "./typed-data.ts";
import type { Wei } from "./wei.ts";

/** The chain and the contract that a node's money is in: what all its signatures about money are bound to. */
export interface Settlement {
  readonly chainId: number;
  /** The address of the `Channels` contract. */
  readonly channels: NodeId;
}

/** A provider's prices for everybody, until they expire. Times are milliseconds since the epoch. */
export interface Offer {
  readonly provider: NodeId;
  readonly rates: Rates;
  /** What a task gets that asks for no limits of its own; part of what it may cost at most. */
  readonly defaultTimeoutMs: number;
  readonly defaultOutputBytes: number;
  /** The most that a streamed input may have. */
  readonly maxInputBytes: number;
  /** The version of the cost table that instructions are counted by; absent means the first, and where instructions cost nothing. */
  readonly costTable?: number;
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** Prices that a provider promises one requester on one channel until they expire, for every task and lease that begins before. */
export interface Quote extends Offer {
  readonly requester: NodeId;
  readonly channelId: Hex32;
  /** Makes each quote another one. */
  readonly nonce: Hex32;
}

/** A provider's promise to keep a shard on the terms of a quote. */
export interface Lease {
  /** The digest of the quote. */
  readonly quote: Hex32;
  /** The shard's id, and the root of its Merkle tree. */
  readonly shard: Hex32;
  readonly root: Hex32;
  readonly sizeBytes: number;
  readonly startsAt: number;
  readonly expiresAt: number;
}

/** The payer's word that it owes a channel's payee this sum, all earlier payments included. */
export interface Voucher {
  readonly channelId: Hex32;
  readonly cumulative: Wei;
}

/** The payee's word what it has charged on a channel since its beginning, and how much of that is paid by vouchers. */
export interface Receipt {
  readonly channelId: Hex32;
  /** Counts the receipts of a channel, from 1. */
  readonly sequence: number;
  readonly charged: Wei;
  /** The sum of the newest voucher that it has. */
  readonly paid: Wei;
  /** How many tasks and storage operations that is. */
  readonly items: number;
  readonly issuedAt: number;
}

const RATES: TypedStruct = {
  name: "Rates",
  fields: [["address", "token"], ...RATE_NAMES.map((name) => ["uint128", name] as const)],
};
const OFFER_FIELDS = [
  ["address", "provider"],
  [RATES, "rates"],
  ["uint64", "defaultTimeoutMs"],
  ["uint64", "defaultOutputBytes"],
  ["uint64", "maxInputBytes"],
  ["uint64", "issuedAt"],
  ["uint64", "expiresAt"],
] as const;
const METERED_FIELDS = [...OFFER_FIELDS, ["uint32", "costTable"]] as const;
const QUOTE_FIELDS = [["address", "requester"], ["bytes32", "channelId"], ["bytes32", "nonce"]] as const;

/** The signed structs, for docs and tests; `typeText` writes them out. */
export const DEAL_TYPES = {
  offer: { name: "Offer", fields: OFFER_FIELDS },
  quote: { name: "Quote", fields: [...OFFER_FIELDS, ...QUOTE_FIELDS] },
  /** An offer and a quote that name the cost table. */
  meteredOffer: { name: "Offer", fields: METERED_FIELDS },
  meteredQuote: { name: "Quote", fields: [...METERED_FIELDS, ...QUOTE_FIELDS] },
  lease: {
    name: "Lease",
    fields: [
      ["bytes32", "quote"],
      ["bytes32", "shard"],
      ["bytes32", "root"],
      ["uint64", "sizeBytes"],
      ["uint64", "startsAt"],
      ["uint64", "expiresAt"],
    ],
  },
  receipt: {
    name: "Receipt",
    fields: [
      ["bytes32", "channelId"],
      ["uint64", "sequence"],
      ["uint128", "charged"],
      ["uint128", "paid"],
      ["uint64", "items"],
      ["uint64", "issuedAt"],
    ],
  },
  voucher: { name: "Voucher", fields: [["bytes32", "channelId"], ["uint128", "cumulative"]] },
} as const satisfies Record<string, TypedStruct>;

/** The digest that the provider signs for an offer. */
export function offerDigest(at: Settlement, offer: Offer): Uint8Array {
  return typedDigest(
    marketDomain(at),
    offer.costTable === undefined ? DEAL_TYPES.offer : DEAL_TYPES.meteredOffer,
    offerValues(offer),
  );
}

/** The digest that the provider signs for a quote. */
export function quoteDigest(at: Settlement, quote: Quote): Uint8Array {
  const { requester, channelId, nonce } = quote;
  const type = quote.costTable === undefined ? DEAL_TYPES.quote : DEAL_TYPES.meteredQuote;
  return typedDigest(marketDomain(at), type, { ...offerValues(quote), requester, channelId, nonce });
}

/** The digest that the provider signs for a lease. */
export function leaseDigest(at: Settlement, lease: Lease): Uint8Array {
  const { sizeBytes, startsAt, expiresAt, ...rest } = lease;
  return typedDigest(marketDomain(at), DEAL_TYPES.lease, {
    ...rest,
    sizeBytes: BigInt(sizeBytes),
    startsAt: BigInt(startsAt),
    expiresAt: BigInt(expiresAt),
  });
}

/** The digest that the payee signs for a receipt. */
export function receiptDigest(at: Settlement, receipt: Receipt): Uint8Array {
  const { sequence, items, issuedAt, ...rest } = receipt;
  return typedDigest(marketDomain(at), DEAL_TYPES.receipt, {
    ...rest,
    sequence: BigInt(sequence),
    items: BigInt(items),
    issuedAt: BigInt(issuedAt),
  });
}

/** The digest that a channel's signer signs for a voucher: the one that `Channels.voucherDigest` gives. */
export function voucherDigest(at: Settlement, voucher: Voucher): Uint8Array {
  const domain = { name: "Velas Sphere Channels", chainId: at.chainId, verifyingContract: at.channels };
  return typedDigest(domain, DEAL_TYPES.voucher, { ...voucher });
}

/** The chain of a node that takes no money, which signs its offers all the same. */
export const NO_SETTLEMENT: Settlement = { chainId: 0, channels: NATIVE_TOKEN };

function marketDomain({ chainId, channels }: Settlement): TypedDomain {
  return { name: "Velas Sphere Market", chainId, verifyingContract: channels };
}

function offerValues(offer: Offer) {
  const { provider, rates, defaultTimeoutMs, defaultOutputBytes, maxInputBytes, costTable, issuedAt, expiresAt } =
    offer;
  return {
    provider,
    rates: { ...rates },
    defaultTimeoutMs: BigInt(defaultTimeoutMs),
    defaultOutputBytes: BigInt(defaultOutputBytes),
    maxInputBytes: BigInt(maxInputBytes),
    ...(costTable !== undefined && { costTable: BigInt(costTable) }),
    issuedAt: BigInt(issuedAt),
    expiresAt: BigInt(expiresAt),
  };
}
