import {
  costTableOf,
  countsOtherwise,
  type Hex32,
  paymentRequired,
  type Quote,
  QUOTE_EXPIRED,
  QUOTE_GRACE_MS,
  quoteDigest,
  type Settlement,
  toHex,
} from "../core/mod.ts";
import type { EarningState } from "./earning-account.ts";

/** Digests of quotes, each reckoned once. */
export class QuoteIds {
  readonly #settlement: Settlement;
  readonly #known = new WeakMap<Quote, Hex32>();

  constructor(settlement: Settlement) {
    this.#settlement = settlement;
  }

  of(quote: Quote): Hex32 {
    let id = this.#known.get(quote);
    if (id === undefined) this.#known.set(quote, id = toHex(quoteDigest(this.#settlement, quote)));
    return id;
  }
}

export interface HeldQuotesOptions {
  readonly ids: QuoteIds;
  /** The version of the cost table that this node meters by. */
  readonly costTable: number;
  readonly nowMs: number;
}

const NONE: readonly Quote[] = [];

/** Whether a quote pays for what arrives now: until its end, and {@link QUOTE_GRACE_MS} longer for what was on its way then. */
export function quoteHolds(quote: Quote, nowMs: number): boolean {
  return quote.expiresAt + QUOTE_GRACE_MS > nowMs;
}

/**
 * The quotes of a channel by which something that arrives now can be charged, the newest first; with the digest of one, that one alone. Throws
 * `payment_required` with the reason {@link QUOTE_EXPIRED} when there is none.
 */
export function heldQuotes(
  { quote: newest, earlier = NONE, channelId }: EarningState,
  named: Hex32 | undefined,
  { ids, costTable, nowMs }: HeldQuotesOptions,
): readonly Quote[] {
  // Most often there is one, and any will do.
  if (
    named === undefined && earlier.length === 0 && newest !== undefined && quoteHolds(newest, nowMs) &&
    !countsOtherwise(newest, costTable)
  ) return [newest];
  const valid = [newest, ...earlier].filter((quote) => quote !== undefined && quoteHolds(quote, nowMs)) as Quote[];
  const held = valid.filter((quote) =>
    !countsOtherwise(quote, costTable) && (named === undefined || ids.of(quote) === named)
  );
  if (held.length > 0) return held;
  const other = valid.find((quote) => countsOtherwise(quote, costTable));
  if (other === undefined) {
    const which = named === undefined ? "The quote" : `The quote ${named}`;
    throw paymentRequired(`${which} has expired: ask for another one`, { channelId, reason: QUOTE_EXPIRED });
  }
  throw paymentRequired(
    `The quote counts instructions by version ${
      costTableOf(other)
    } of the cost table, and this node by version ${costTable}: ask for another one`,
    {
      channelId,
      reason: QUOTE_EXPIRED,
      quoteCostTable: String(costTableOf(other)),
      providerCostTable: String(costTable),
    },
  );
}
