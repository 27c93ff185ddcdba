import {
  type CallContext,
  type Clock,
  currentRequestId,
  newUlid,
  type NodeId,
  type PeerDirectory,
  type RequesterId,
  type ShardService,
  targetName,
  toNodeError,
} from "../core/mod.ts";
import type { ProviderOffer, StorageLedger } from "./file-ports.ts";
import { PaidShards } from "./paid-shards.ts";
import type { ProviderScores } from "./provider-scores.ts";
import { withTimeout } from "./with-timeout.ts";

export interface ProviderPoolOptions {
  readonly dial: (target: string) => ShardService;
  readonly peers: PeerDirectory;
  /** The nodes that may be asked to keep shards. */
  readonly providers: () => readonly ProviderOffer[] | Promise<readonly ProviderOffer[]>;
  readonly ledger: StorageLedger;
  readonly scores: ProviderScores;
  readonly self: RequesterId;
  readonly clock: Clock;
  /** 0 to below 1, to spread files over providers that are as good as each other. */
  readonly random: () => number;
  /** How long a node may take to say who it is. */
  readonly infoTimeoutMs: number;
}

/** A provider that answered. */
export interface Candidate {
  /** `host:port` in its one spelling. */
  readonly target: string;
  readonly nodeId: NodeId;
  readonly region?: string;
  /** As in {@link ProviderOffer}. */
  readonly score?: number;
}

/** What came of asking for providers. */
export interface Survey {
  /** One for each node, the most wanted first. */
  readonly candidates: readonly Candidate[];
  /** Those that did not answer, as `host:port: why`. */
  readonly failed: readonly string[];
}

/** How long a node's word of who it is counts. */
const INFO_MS = 60_000;
const PARALLEL = 16;
/** What a provider's other work counts beside its work with files. */
const OTHER_WORK_WEIGHT = 0.3;

/** Finds the nodes on which shards can be placed, and reaches those where they are. */
export class ProviderPool {
  readonly #options: ProviderPoolOptions;
  readonly #known = new Map<string, { readonly nodeId: NodeId; readonly at: number }>();

  constructor(options: ProviderPoolOptions) {
    this.#options = options;
  }

  /** The shards at a provider. */
  at(target: string, provider: NodeId | undefined): PaidShards {
    const { dial, ledger } = this.#options;
    return new PaidShards({ target, provider, shards: dial(target), ledger });
  }

  /** A call of this node, with leave of another where one is given. */
  call(signal: AbortSignal, capability?: string): CallContext {
    const { self, clock } = this.#options;
    return {
      requester: self,
      signal,
      requestId: currentRequestId() ?? newUlid(clock.now()),
      ...(capability !== undefined && { capability }),
    };
  }

  /**
   * Asks nodes who they are: those named, else all that are known. The better its score and the less of its region is taken, the earlier a
   * node comes; those that failed a moment ago come last, and behind them those that are avoided. Throws `invalid_argument` for a target that cannot be
   * read.
   */
  async survey(targets: readonly string[] | undefined, signal: AbortSignal): Promise<Survey> {
    const { providers, scores, random } = this.#options;
    await scores.load();
    const offers = targets?.map((target): ProviderOffer => ({ target })) ?? await providers();
    const asked = offers.map((offer) => ({ ...offer, target: targetName(offer.target) }));
    const found: Candidate[] = [];
    const failed: string[] = [];
    const queue = asked.entries();
    await Promise.all(Array.from({ length: Math.min(PARALLEL, asked.length) }, async () => {
      for (const [place, { target, region, score }] of queue) {
        try {
          found[place] = {
            target,
            nodeId: await this.#whoIs(target, signal),
            ...(region === undefined ? {} : { region }),
            ...(score === undefined ? {} : { score }),
          };
        } catch (error) {
          signal.throwIfAborted();
          failed.push(`${target}: ${toNodeError(error).message}`);
        }
      }
    }));
    const nodes = new Map<NodeId, Candidate>();
    for (const candidate of found) {
      if (candidate !== undefined && !nodes.has(candidate.nodeId)) nodes.set(candidate.nodeId, candidate);
    }
    const ranked = [...nodes.values()].map((candidate) => ({
      candidate,
      // Those that were named come in that order.
      rank: targets !== undefined ? 0 : (scores.isResting(candidate.nodeId) ? -1 : 0) + scores.of(candidate.nodeId) +
        OTHER_WORK_WEIGHT * (candidate.score ?? 0) + 0.1 * random(),
    })).sort((a, b) => b.rank - a.rank).map(({ candidate }) => candidate);
    if (targets !== undefined) return { candidates: ranked, failed };
    const isAvoided = ({ nodeId }: Candidate) => scores.isAvoided(nodeId);
    const wanted = ranked.filter((candidate) => !isAvoided(candidate));
    return { candidates: [...spreadRegions(wanted), ...spreadRegions(ranked.filter(isAvoided))], failed };
  }

  async #whoIs(target: string, signal: AbortSignal): Promise<NodeId> {
    const { peers, clock, infoTimeoutMs } = this.#options;
    const known = this.#known.get(target);
    if (known !== undefined && Math.abs(clock.now() - known.at) < INFO_MS) return known.nodeId;
    const { nodeId } = await withTimeout(
      signal,
      { timeoutMs: infoTimeoutMs, what: `Asking ${target} who it is` },
      (limited) => peers.info(target, limited),
    );
    this.#known.set(target, { nodeId, at: clock.now() });
    return nodeId;
  }
}

/** The same nodes, ever one of each region in turn. Nodes of unknown region are a region each. */
function spreadRegions(candidates: readonly Candidate[]): Candidate[] {
  const taken = new Map<string, number>();
  return candidates
    .map((candidate, place) => {
      const turn = candidate.region === undefined ? 0 : taken.get(candidate.region) ?? 0;
      if (candidate.region !== undefined) taken.set(candidate.region, turn + 1);
      return { candidate, turn, place };
    })
    .sort((a, b) => a.turn - b.turn || a.place - b.place)
    .map(({ candidate }) => candidate);
}
