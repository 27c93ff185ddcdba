import {
  type Clock,
  costTableOf,
  countsOtherwise,
  NodeError,
  type NodeId,
  type Offer,
  offerDigest,
  otherCostTable,
  type PaymentDesk,
  type Settlement,
  type SignedOffer,
  toNodeError,
} from "../core/mod.ts";
import type { Curve } from "./curve.ts";
import { isFree } from "./rates.ts";

export interface OfferBookOptions {
  readonly settlement: Settlement;
  readonly curve: Curve;
  /** The version of the cost table that this node counts instructions by. */
  readonly costTable: number;
  readonly clock: Clock;
  readonly desk: (target: string) => PaymentDesk;
}

interface Known {
  readonly offer: Offer | undefined;
  readonly until: number;
}

/** For how long a provider that has no prices is not asked again. */
const FREE_MEMORY_MS = 300_000;

/** The prices of providers, asked once until they expire. */
export class OfferBook {
  readonly #options: OfferBookOptions;
  readonly #known = new Map<string, Known>();

  constructor(options: OfferBookOptions) {
    this.#options = options;
  }

  /** A provider's prices, checked against its signature. Undefined for one that takes no money. */
  async of(target: string, signal: AbortSignal): Promise<Offer | undefined> {
    const { clock, desk } = this.#options;
    const known = this.#known.get(target);
    if (known !== undefined && known.until > clock.now()) return known.offer;
    let signed: SignedOffer | undefined;
    try {
      signed = await desk(target).offer(signal);
    } catch (error) {
      if (toNodeError(error).code !== "unimplemented") throw error;
    }
    const offer = signed === undefined || isFree(signed.offer.rates) ? undefined : this.#check(target, signed);
    this.#known.set(target, { offer, until: offer?.expiresAt ?? clock.now() + FREE_MEMORY_MS });
    return offer;
  }

  /** Whether a provider said of late that it takes no money. */
  isKnownFree(target: string): boolean {
    const known = this.#known.get(target);
    return known !== undefined && known.offer === undefined && known.until > this.#options.clock.now();
  }

  #check(target: string, { offer, settlement, signature }: SignedOffer): Offer {
    const { settlement: own, curve, clock, costTable } = this.#options;
    const refuse = (why: string) =>
      new NodeError("target_misbehaved", `The offer of ${target} is refused: ${why}`, { data: { target } });
    if (settlement.chainId !== own.chainId || settlement.channels.toLowerCase() !== own.channels.toLowerCase()) {
      throw new NodeError(
        "failed_precondition",
        `${target} is paid in ${settlement.channels} on chain ${settlement.chainId}, and this node pays in ${own.channels} on ${own.chainId}`,
      );
    }
    if (!isSigner(curve, offerDigest(own, offer), signature, offer.provider)) throw refuse("its signature is wrong");
    if (offer.expiresAt <= clock.now()) throw refuse("it has expired");
    if (countsOtherwise(offer, costTable)) {
      throw otherCostTable(target, { provider: costTableOf(offer), requester: costTable });
    }
    return offer;
  }
}

/** Whether a digest was signed by this node. */
export function isSigner(curve: Curve, digest: Uint8Array, signature: Uint8Array, who: NodeId): boolean {
  try {
    return curve.recover(digest, signature) === who;
  } catch {
    return false;
  }
}
