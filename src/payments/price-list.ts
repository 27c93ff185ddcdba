import {
  type Clock,
  namedCostTable,
  type NodeKey,
  type Offer,
  offerDigest,
  type Rates,
  type Settlement,
  type SignedOffer,
} from "../core/mod.ts";
import { isFree } from "./rates.ts";

/** What a provider wants, and for how long its word on it holds. */
export interface Prices {
  readonly rates: Rates;
  readonly offerMs: number;
}

export interface PriceListOptions extends Prices {
  readonly key: NodeKey;
  readonly settlement: Settlement;
  /** The limits that a task gets that asks for none, and the most input; part of the offer. */
  readonly limits: {
    readonly defaultTimeoutMs: number;
    readonly defaultOutputBytes: number;
    readonly maxInputBytes: number;
  };
  /** The version of the cost table that this node meters by; offers and quotes that charge for instructions name it. */
  readonly costTable: number;
  readonly clock: Clock;
}

/** What this node wants now, as its offers and quotes say it. */
export class PriceList {
  readonly #options: PriceListOptions;
  #prices: Prices;
  #isFree: boolean;
  #offer: SignedOffer | undefined;

  constructor(options: PriceListOptions) {
    this.#options = options;
    this.#prices = options;
    this.#isFree = isFree(options.rates);
  }

  get rates(): Rates {
    return this.#prices.rates;
  }

  /** Whether this node takes no money now. */
  get isFree(): boolean {
    return this.#isFree;
  }

  /** Takes other prices from now on. */
  reprice(prices: Prices): void {
    this.#prices = prices;
    this.#isFree = isFree(prices.rates);
    this.#offer = undefined;
  }

  /** What everybody is offered: signed anew when half of the time of the last one is over. */
  offer(): SignedOffer {
    const { clock, settlement, key } = this.#options;
    const { offerMs } = this.#prices;
    const now = clock.now();
    if (this.#offer === undefined || this.#offer.offer.expiresAt - now < offerMs / 2) {
      const offer = this.terms();
      this.#offer = { settlement, offer, signature: key.signDigest(offerDigest(settlement, offer)) };
    }
    return this.#offer;
  }

  /** The terms of an offer or a quote that is made now. */
  terms(): Offer {
    const { key, limits, clock, costTable } = this.#options;
    const { rates, offerMs } = this.#prices;
    const now = clock.now();
    return {
      provider: key.nodeId,
      rates,
      ...limits,
      ...namedCostTable(rates, costTable),
      issuedAt: now,
      expiresAt: now + offerMs,
    };
  }
}
