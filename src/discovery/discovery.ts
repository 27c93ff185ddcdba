import {
  type ChosenPeer,
  type Clock,
  type Log,
  type Metrics,
  NodeError,
  type NodeId,
  type OutboundRules,
  parseTarget,
  type PeerAdmin,
  type PeerNeed,
  type PeerStore,
  type PeerView,
  type Settlement,
  type TaskService,
} from "../core/mod.ts";
import { choosePeers } from "./choose-peer.ts";
import type { Outcome } from "./experience.ts";
import { DiscoveryMetrics } from "./discovery-metrics.ts";
import { failureOutcome, observeTasks, TaskMemory } from "./observe-tasks.ts";
import { PeerBook } from "./peer-book.ts";
import type { PeerProber, RegistryReader } from "./ports.ts";
import { ProbeSchedule } from "./probe-schedule.ts";
import { RegistryFollower } from "./registry-follower.ts";

/** Bounds of discovery. Times are in milliseconds. */
export interface DiscoveryLimits {
  /** The most nodes of the registry, and the most that the owner adds. */
  readonly max: number;
  readonly probeEveryMs: number;
  readonly probeTimeoutMs: number;
  readonly parallelProbes: number;
  readonly registryEveryMs: number;
}

export interface DiscoveryOptions {
  readonly self: NodeId;
  readonly store: PeerStore;
  readonly prober: PeerProber;
  /** The registry, and what names it; absent on a node without one. */
  readonly registry?: { readonly key: string; readonly reader: RegistryReader };
  /** Targets that the configuration names. */
  readonly static: readonly string[];
  /** Where this node pays; absent for a node that pays nobody. */
  readonly settlement?: Settlement | undefined;
  /** The version of the cost table that this node counts instructions by. */
  readonly costTable: number;
  readonly limits: DiscoveryLimits;
  /** Which addresses the registry may name. */
  readonly outbound: OutboundRules;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** From 0 to below 1; by default `Math.random`. */
  readonly random?: () => number;
}

/** A peer on which shards may be placed. */
export interface ShardPeer {
  readonly target: string;
  readonly region?: string;
  readonly score: number;
}

/** The other nodes, as this one knows them. */
export interface Discovery {
  readonly admin: PeerAdmin;
  /** Takes over the targets that the configuration names now. Throws `invalid_argument`, and changes nothing, when one cannot be read. */
  setStatic(targets: readonly string[]): void;
  /** Begins to ask peers and to follow the registry. */
  start(): void;
  /**
   * The peers that fit a task, the best first. When none of those that were asked fits, others are asked first, for a few seconds. Throws
   * `no_peer_fits`, which says why.
   */
  choose(need: PeerNeed, signal: AbortSignal): Promise<readonly ChosenPeer[]>;
  /** All peers that the configuration names and, unless only those are wanted, others that keep shards and answer. */
  shardPeers(options: { readonly namedOnly: boolean }): readonly ShardPeer[];
  /** Whether only the registry, where anybody writes, names a target, so that it must not lead to forbidden addresses. */
  isStrangers(target: string): boolean;
  /** Whether the operator named the target, in the configuration or with "peers add". */
  isNamed(target: string): boolean;
  /** The same service, from whose tasks the book learns. */
  observe(target: string, tasks: TaskService): TaskService;
  /** A peer failed this node in a way that the task itself did not show, such as with a result that others contradict. */
  taskFailed(target: string, error: NodeError): void;
  /** A peer kept, proved or gave back a shard, or failed to. Counts only for the node that the book knows there. */
  shardOutcome(place: ShardPlace, outcome: Outcome): void;
  close(): Promise<void>;
}

/** A node at a target. */
export interface ShardPlace {
  readonly target: string;
  readonly nodeId: NodeId;
}

/** How many peers that were never asked are asked when a task waits for one, and for how long. */
const ASK_COUNT = 64;
const ASK_MS = 5000;
const COUNT_EVERY_MS = 5000;

/** Opens the peer book; {@link Discovery.start} begins the work. */
export async function openDiscovery(options: DiscoveryOptions): Promise<Discovery> {
  const { self, store, prober, registry, limits, clock, log, settlement, costTable, outbound, random = Math.random } =
    options;
  const metrics = new DiscoveryMetrics(options.metrics);
  const namesOf = (targets: readonly string[]) => [...new Set(targets.map((target) => parseTarget(target).name))];
  const targets = namesOf(options.static);
  const book = new PeerBook({ store, clock, log, self, static: targets, maxPeers: limits.max, outbound });
  await book.load();
  const schedule = new ProbeSchedule({
    book,
    prober,
    clock,
    metrics,
    random,
    everyMs: limits.probeEveryMs,
    timeoutMs: limits.probeTimeoutMs,
    parallel: limits.parallelProbes,
  });
  const follower = registry &&
    new RegistryFollower({ ...registry, book, store, metrics, log, everyMs: limits.registryEveryMs });
  await follower?.load();
  const memory = new TaskMemory();
  let counting: NodeJS.Timeout | undefined;

  const count = () => {
    const counts = { reachable: 0, unreachable: 0, unknown: 0, blocked: 0 };
    for (const { blocked, reachability } of book.views()) counts[blocked ? "blocked" : reachability]++;
    metrics.count(counts);
  };
  const known = (text: string): string => {
    const target = parseTarget(text).name;
    if (book.has(target)) return target;
    throw new NodeError("not_found", `No peer ${target} is known: "peers list" shows those that are`, {
      data: { target },
    });
  };

  const admin: PeerAdmin = {
    list: () => book.views().sort((a, b) => weightOf(b) - weightOf(a) || (a.target < b.target ? -1 : 1)),
    get: (text) => book.view(known(text))!,
    add: async (text, signal) => {
      const target = parseTarget(text).name;
      await book.add(target);
      await schedule.probe(target, signal);
      return book.view(target)!;
    },
    remove: async (text) => await book.remove(known(text)),
    probe: async (text, signal) => {
      const target = known(text);
      await schedule.probe(target, signal);
      return book.view(target)!;
    },
  };

  return {
    admin,
    setStatic: (targets) => book.setStatic(namesOf(targets)),
    start: () => {
      schedule.start();
      follower?.start();
      count();
      counting = setInterval(count, COUNT_EVERY_MS);
      counting.unref();
    },
    choose: async (need, signal) => {
      const pick = () => choosePeers(book.views(), need, { settlement, costTable, nowMs: clock.now(), random });
      try {
        const chosen = await orAsk(pick, () => schedule.probeUnknown(ASK_COUNT, timed(signal)));
        metrics.chose(true);
        return chosen;
      } catch (error) {
        metrics.chose(false);
        throw error;
      }
    },
    shardPeers: ({ namedOnly }) =>
      book.views().flatMap((view): ShardPeer[] => {
        const { target, score, claims, sources } = view;
        const isNamed = sources.includes("static");
        const serves = claims?.keepsShards === true && view.reachability === "reachable" && view.problem === undefined;
        if (!isNamed && (namedOnly || !serves)) return [];
        return [{ target, score, ...(claims !== undefined && claims.region !== "" && { region: claims.region }) }];
      }),
    isStrangers: (target) => book.isStrangers(target),
    isNamed: (target) => book.isNamed(target),
    observe: (target, tasks) =>
      observeTasks(tasks, {
        target,
        memory,
        onOutcome: (where, outcome) => {
          book.outcome(where, outcome);
          if (outcome.gone === true) schedule.doubt(where);
        },
      }),
    taskFailed: (target, error) => {
      const outcome = failureOutcome(error);
      if (outcome !== undefined) book.outcome(target, outcome);
    },
    shardOutcome: ({ target, nodeId }, outcome) => book.outcome(target, { ...outcome, nodeId }),
    close: async () => {
      clearInterval(counting);
      await Promise.all([schedule.close(), follower?.close()]);
      await book.flush();
    },
  };
}

/** Picks; when that fails, asks around and picks again. */
async function orAsk<T>(pick: () => T, ask: () => Promise<void>): Promise<T> {
  try {
    return pick();
  } catch {
    await ask();
    return pick();
  }
}

function timed(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]);
}

/** Those that can be used come first. */
function weightOf({ reachability, problem, score }: PeerView): number {
  return score + (reachability === "reachable" && problem === undefined ? 2 : reachability === "unknown" ? 1 : 0);
}
