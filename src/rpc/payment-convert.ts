import {
  fromHex,
  type Hex32,
  NodeError,
  type NodeId,
  type Offer,
  parseNodeId,
  type Quote,
  RATE_NAMES,
  type Rates,
  type Settlement,
  type SignedAccount,
  type SignedOffer,
  type SignedQuote,
  toHex,
  type Wei,
  wei,
  ZERO_WEI,
} from "../core/mod.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type * as pb from "../gen/velas/sphere/v1/payment_pb.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A decimal number of a message. Throws `invalid_argument` when it is none, or does not fit a voucher. */
export function weiFromText(text: string): Wei {
  if (!/^\d{1,39}$/.test(text)) {
    throw new NodeError("invalid_argument", `"${text.slice(0, 50)}" is not an amount: it must be a decimal number`);
  }
  return wei(BigInt(text));
}

export function offerToProto(
  { chainId, channels }: Settlement,
  offer: Offer,
): MessageInitShape<typeof pb.OfferSchema> {
  const { rates } = offer;
  const amounts = Object.fromEntries(RATE_NAMES.map((name) => [name, String(rates[name])]));
  return {
    chainId: BigInt(chainId),
    channels,
    provider: offer.provider,
    rates: { token: rates.token, ...amounts },
    defaultTimeoutMs: BigInt(offer.defaultTimeoutMs),
    defaultOutputBytes: BigInt(offer.defaultOutputBytes),
    maxInputBytes: BigInt(offer.maxInputBytes),
    costTable: offer.costTable ?? 0,
    issuedAt: BigInt(offer.issuedAt),
    expiresAt: BigInt(offer.expiresAt),
  };
}

export function signedOfferToProto(signed: SignedOffer): MessageInitShape<typeof pb.GetOfferResponseSchema> {
  return { offer: offerToProto(signed.settlement, signed.offer), signature: signed.signature as Bytes };
}

export function signedOfferFromProto(response: pb.GetOfferResponse, target: string): SignedOffer {
  return reading(target, () => {
    const { settlement, offer } = offerFromProto(response.offer);
    return { settlement, offer, signature: response.signature };
  });
}

export function signedQuoteToProto(signed: SignedQuote): MessageInitShape<typeof pb.QuoteSchema> {
  const { quote, settlement } = signed;
  return {
    offer: offerToProto(settlement, quote),
    requester: quote.requester,
    channelId: fromHex(quote.channelId) as Bytes,
    nonce: fromHex(quote.nonce) as Bytes,
  };
}

export function signedQuoteFromProto(
  message: pb.Quote | undefined,
  { signature, target }: { readonly signature: Uint8Array; readonly target: string },
): SignedQuote {
  return reading(target, () => {
    if (message === undefined) throw new Error("there is no quote in it");
    const { settlement, offer } = offerFromProto(message.offer);
    const quote: Quote = {
      ...offer,
      requester: parseNodeId(message.requester),
      channelId: toHex(message.channelId),
      nonce: toHex(message.nonce),
    };
    return { settlement, quote, signature };
  });
}

export function accountToProto(account: SignedAccount): MessageInitShape<typeof pb.AccountSchema> {
  const { receipt, signature, credit, reserved } = account;
  return {
    channelId: fromHex(receipt.channelId) as Bytes,
    sequence: BigInt(receipt.sequence),
    charged: String(receipt.charged),
    paid: String(receipt.paid),
    items: BigInt(receipt.items),
    issuedAt: BigInt(receipt.issuedAt),
    signature: signature as Bytes,
    credit: String(credit),
    reserved: String(reserved),
  };
}

export function accountFromProto(message: pb.Account | undefined, target: string): SignedAccount {
  return reading(target, () => {
    if (message === undefined) throw new Error("there is no account in it");
    return {
      receipt: {
        channelId: channelIdOf(message.channelId),
        sequence: Number(message.sequence),
        charged: weiFromText(message.charged),
        paid: weiFromText(message.paid),
        items: Number(message.items),
        issuedAt: Number(message.issuedAt),
      },
      signature: message.signature,
      credit: weiFromText(message.credit),
      // Nodes of earlier versions do not say it.
      reserved: message.reserved === "" ? ZERO_WEI : weiFromText(message.reserved),
    };
  });
}

export function channelIdOf(bytes: Uint8Array): Hex32 {
  return toHex(bytes);
}

function offerFromProto(message: pb.Offer | undefined): { settlement: Settlement; offer: Offer } {
  const rates = message?.rates;
  if (message === undefined || rates === undefined) throw new Error("there are no prices in it");
  const amounts = Object.fromEntries(RATE_NAMES.map((name) => [name, weiFromText(rates[name])]));
  return {
    settlement: { chainId: Number(message.chainId), channels: parseNodeId(message.channels) },
    offer: {
      provider: parseNodeId(message.provider),
      rates: { token: parseNodeId(rates.token) as NodeId, ...amounts } as Rates,
      defaultTimeoutMs: Number(message.defaultTimeoutMs),
      defaultOutputBytes: Number(message.defaultOutputBytes),
      maxInputBytes: Number(message.maxInputBytes),
      ...(message.costTable !== 0 && { costTable: message.costTable }),
      issuedAt: Number(message.issuedAt),
      expiresAt: Number(message.expiresAt),
    },
  };
}

/** Whatever cannot be read in an answer is the target's fault. */
function reading<T>(target: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new NodeError(
      "target_misbehaved",
      `What ${target} says of prices and payments cannot be read: ${(cause as Error).message}`,
      { cause, data: { target } },
    );
  }
}
