import {
  type ChosenPeer,
  countsOtherwise,
  type ErrorData,
  FREE_RATES,
  maxTaskPrice,
  NodeError,
  type PeerClaims,
  type PeerNeed,
  type PeerView,
  type Settlement,
  type Wei,
  ZERO_WEI,
} from "../core/mod.ts";
import { hasFunction, needsNoGpu } from "./claims.ts";

/** What the choice depends on beside the peers. */
export interface ChoiceOptions {
  /** Where this node pays; absent for a node that pays nobody. */
  readonly settlement: Settlement | undefined;
  /** The version of the cost table that this node counts instructions by. */
  readonly costTable: number;
  readonly nowMs: number;
  /** From 0 to below 1. */
  readonly random: () => number;
}

/** Why a peer does not fit, in the order in which it is asked. */
const MISFITS = {
  unusable: "cannot be used (blocked, or not who the registry says)",
  unreachable: "are out of reach",
  unknown: "were not asked yet",
  noPlugin: "lack the plugin or function",
  noModules: "take no modules of requesters, or not of this size",
  otherRegion: "are in another region",
  tooSmall: "do not allow such limits",
  noOffer: "have no offer that can be believed",
  otherMoney: "want to be paid where this node cannot pay",
  otherMeter: "count instructions by another cost table",
  tooDear: "cost more",
} as const;

type Misfit = keyof typeof MISFITS;

/** What the price, the round trip and chance weigh beside a score of 0 to 1. */
const PRICE_WEIGHT = 0.05;
const LATENCY_WEIGHT = 0.05;
const CHANCE_WEIGHT = 0.02;

/**
 * The peers that fit, the best first: by their scores, and among those of like scores the cheaper and nearer. Throws `no_peer_fits`, which says how
 * many of the peers failed for which reason.
 */
export function choosePeers(peers: readonly PeerView[], need: PeerNeed, options: ChoiceOptions): ChosenPeer[] {
  const misfits = new Map<Misfit, number>();
  const fitting: { readonly peer: ChosenPeer; readonly price: Wei }[] = [];
  let cheapest: Wei | undefined;
  for (const peer of peers) {
    const { misfit, price, noGpu = false } = judge(peer, need, options);
    const chosen = noGpu && need.maxPrice !== undefined ? { ...peer, noGpu } : peer;
    if (misfit === undefined) fitting.push({ peer: chosen, price: price! });
    else misfits.set(misfit, (misfits.get(misfit) ?? 0) + 1);
    if (misfit === "tooDear" && (cheapest === undefined || price! < cheapest)) cheapest = price;
  }
  if (fitting.length === 0) throw nobody(peers.length, misfits, { need, cheapest });
  const dearest = Math.max(1, ...fitting.map(({ price }) => Number(price)));
  return fitting
    .map(({ peer, price }) => ({
      peer,
      rank: peer.score - PRICE_WEIGHT * (Number(price) / dearest) -
        LATENCY_WEIGHT * Math.min(1, (peer.latencyMs ?? 0) / 1000) + CHANCE_WEIGHT * options.random(),
    }))
    .sort((a, b) => b.rank - a.rank)
    .map(({ peer }) => peer);
}

interface Judgement {
  readonly misfit?: Misfit;
  readonly price?: Wei;
  /** Whether the price has nothing for time on a GPU, which costs something there. */
  readonly noGpu?: boolean;
}

function judge(
  peer: PeerView,
  need: PeerNeed,
  options: ChoiceOptions,
): Judgement {
  const { claims, reachability } = peer;
  if (reachability === "unreachable") return { misfit: "unreachable" };
  if (peer.blocked || peer.problem !== undefined) return { misfit: "unusable" };
  if (reachability === "unknown" || claims === undefined) return { misfit: "unknown" };
  if (!hasFunction(claims, need.plugin, need.function)) {
    if (need.moduleBytes === undefined) return { misfit: "noPlugin" };
    if (need.moduleBytes > (claims.moduleBytes ?? 0)) return { misfit: "noModules" };
  }
  if (need.region !== undefined && claims.region !== need.region) return { misfit: "otherRegion" };
  if (!allows(claims, need)) return { misfit: "tooSmall" };
  return priceAt(claims, need, options);
}

function allows({ limits }: PeerClaims, need: PeerNeed): boolean {
  const { timeoutMs = 0, memoryBytes = 0, outputBytes = 0, instructions = 0 } = need.limits;
  return (need.inputBytes ?? 0) <= limits.inputBytes && timeoutMs <= limits.timeoutMs &&
    memoryBytes <= limits.memoryBytes && outputBytes <= limits.outputBytes &&
    (limits.instructions === undefined || limits.instructions === 0 || instructions <= limits.instructions);
}

/** What the task may cost there, by the same function as the reservation of its money. */
function priceAt(
  claims: PeerClaims,
  need: PeerNeed,
  { settlement, costTable, nowMs }: ChoiceOptions,
): Judgement {
  const { offer, offerProblem } = claims;
  if (offerProblem !== undefined) return { misfit: "noOffer" };
  if (offer === undefined || isFree(offer.rates)) return { price: ZERO_WEI };
  if (offer.expiresAt <= nowMs) return { misfit: "noOffer" };
  const here = settlement !== undefined && settlement.chainId === offer.settlement.chainId &&
    settlement.channels.toLowerCase() === offer.settlement.channels.toLowerCase();
  if (!here) return { misfit: "otherMoney" };
  if (countsOtherwise(offer, costTable)) return { misfit: "otherMeter" };
  const { instructions } = need.limits;
  // A peer that did not tell may have it work on one. One that told the truth no longer refuses the task.
  const noGpu = offer.rates.gpuSecond > 0n && needsNoGpu(claims, need.plugin);
  const limits = {
    noGpu,
    timeoutMs: need.limits.timeoutMs ?? offer.defaultTimeoutMs,
    outputBytes: need.limits.outputBytes ?? offer.defaultOutputBytes,
    ...(instructions !== undefined && { instructions }),
  };
  let price: Wei;
  try {
    price = maxTaskPrice(offer.rates, { limits, plugin: need.plugin }, need.inputBytes ?? offer.maxInputBytes);
  } catch {
    return { misfit: "noOffer" }; // one that nothing bounds
  }
  return need.maxPrice !== undefined && price > need.maxPrice ? { misfit: "tooDear", price } : { price, noGpu };
}

function isFree(rates: typeof FREE_RATES): boolean {
  return Object.entries(rates).every(([name, amount]) => name === "token" || amount === 0n);
}

function nobody(
  known: number,
  misfits: ReadonlyMap<Misfit, number>,
  { need, cheapest }: { readonly need: PeerNeed; readonly cheapest: Wei | undefined },
): NodeError {
  if (known === 0) {
    return new NodeError(
      "no_peer_fits",
      "No provider can be chosen: this node knows no other one. Name some (peers.static, peers add) or a registry (payments.registry)",
      { data: { known } },
    );
  }
  const reasons = (Object.keys(MISFITS) as Misfit[]).flatMap((misfit) => {
    const count = misfits.get(misfit);
    if (count === undefined) return [];
    if (misfit !== "tooDear") return [`${count} ${MISFITS[misfit]}`];
    return [`${count} cost more than ${need.maxPrice} (the cheapest ${cheapest})`];
  });
  const { plugin, function: fn, region } = need;
  const wanted = `${plugin === "" ? "the default plugin" : `plugin "${plugin.slice(0, 160)}"`}${
    fn === "" ? "" : `, function "${fn.slice(0, 128)}"`
  }${region === undefined ? "" : `, region "${region}"`}`;
  const data: Record<string, string | number> = { known };
  for (const [misfit, count] of misfits) data[misfit] = count;
  if (cheapest !== undefined) data["cheapest"] = String(cheapest);
  return new NodeError(
    "no_peer_fits",
    `No provider fits (${wanted}). Of ${known} known peers ${
      reasons.join(", ")
    }: ask for less, or take more peers in (peers add)`,
    { data: data as ErrorData },
  );
}
