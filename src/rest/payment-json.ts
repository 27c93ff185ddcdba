import {
  type ChannelView,
  type CustodyView,
  type DayTotal,
  type KeptQuote,
  type MinedTransaction,
  toHex,
} from "../core/mod.ts";
import { offerJson } from "./offer.ts";

// Money as JSON has it: amounts are texts, since JSON's numbers end at 2^53.

export function totalJson(total: DayTotal) {
  return { ...total, amount: String(total.amount) };
}

export function channelJson({ receipt, owedSince, ...view }: ChannelView) {
  return {
    ...view,
    ...(owedSince !== undefined && { owedSince: new Date(owedSince).toISOString() }),
    deposit: String(view.deposit),
    charged: String(view.charged),
    paid: String(view.paid),
    claimed: String(view.claimed),
    ...(receipt !== undefined && {
      receipt: {
        ...receipt.receipt,
        charged: String(receipt.receipt.charged),
        paid: String(receipt.receipt.paid),
        issuedAt: new Date(receipt.receipt.issuedAt).toISOString(),
        signature: receipt.signature,
      },
    }),
  };
}

export function quoteJson({ settlement: { chainId, channels }, quote, signature, digest, keepUntil }: KeptQuote) {
  const { requester, channelId, nonce } = quote;
  return {
    digest,
    chainId,
    channels,
    quote: { ...offerJson(quote), requester, channelId, nonce },
    signature: toHex(signature),
    keepUntil: new Date(keepUntil).toISOString(),
  };
}

export function statementJson({ custody, signature, challenge, ...view }: CustodyView) {
  return {
    ...view,
    ...(challenge !== undefined && {
      challenge: {
        state: challenge.state,
        ...(challenge.deadline !== undefined && { deadline: new Date(challenge.deadline * 1000).toISOString() }),
        at: new Date(challenge.at).toISOString(),
      },
    }),
    ...custody,
    expiresAt: new Date(custody.expiresAt * 1000).toISOString(),
    penalty: String(custody.penalty),
    signature: toHex(signature),
  };
}

export function minedJson(mined: MinedTransaction | undefined) {
  return mined === undefined ? {} : { hash: mined.hash, gasUsed: String(mined.gasUsed) };
}
