import type { Settlement } from "./deal.ts";
import type { NodeId } from "./ids.ts";
import type { NodeLimits } from "./node-info.ts";
import type { Rates } from "./price.ts";
import type { TaskLimits } from "./task.ts";
import type { Wei } from "./wei.ts";

/** How a node came to know a peer: from its configuration, from its owner, from the registry. */
export type PeerSource = "static" | "added" | "registry";

/** A plugin that a peer says it has. */
export interface PeerPlugin {
  readonly name: string;
  readonly version: string;
  /** Lower-case hex; empty for an external plugin. */
  readonly sha256: string;
  readonly functions: readonly string[];
  readonly isDefault: boolean;
  readonly ready: boolean;
  /** Whether it works on a GPU; absent in what was written before peers were asked that. */
  readonly gpu?: boolean;
}

/** What a peer wants for its work, as its signed offer says. */
export interface PeerOffer {
  readonly settlement: Settlement;
  readonly rates: Rates;
  readonly defaultTimeoutMs: number;
  readonly defaultOutputBytes: number;
  /** The most that a streamed input may have. */
  readonly maxInputBytes: number;
  /** The version of the cost table that instructions are counted by; absent means the first. */
  readonly costTable?: number;
  readonly expiresAt: number;
}

/** What a peer says of itself, signed with its key. None of it counts towards its score. Texts and lists are cut to what a record may hold. */
export interface PeerClaims {
  readonly name: string;
  readonly version: string;
  /** Empty when it says none. */
  readonly region: string;
  readonly plugins: readonly PeerPlugin[];
  readonly limits: NodeLimits;
  /** Absent when it takes no money, and when its offer cannot be believed. */
  readonly offer?: PeerOffer;
  /** Why its offer cannot be believed. */
  readonly offerProblem?: string;
  /** Whether it keeps shards for this node. */
  readonly keepsShards: boolean;
  /** The largest WASM module that it takes from requesters, in bytes; absent when it takes none. */
  readonly moduleBytes?: number;
}

/** What this node has seen a peer do. The two sums fall by half in a week without news. */
export interface PeerExperience {
  readonly good: number;
  readonly bad: number;
  /** How much longer its tasks take than those of others: the mean natural logarithm of the ratio; 0 for as long. */
  readonly pace: number;
  /** When it was last reckoned, in milliseconds since the epoch. */
  readonly at: number;
  readonly lastError?: string;
}

export type Reachability = "reachable" | "unreachable" | "unknown";

/** A peer, as its node knows it. Times are milliseconds since the epoch. */
export interface PeerView {
  /** `host:port`. */
  readonly target: string;
  readonly sources: readonly PeerSource[];
  /** Who answers there, proven by its signature; absent before it answered. */
  readonly nodeId?: NodeId;
  readonly reachability: Reachability;
  /** Whether the owner of this node wants nothing to do with it. */
  readonly blocked: boolean;
  /** 0 to 1, from this node's own experience only. */
  readonly score: number;
  readonly experience: PeerExperience;
  /** A round trip, averaged over probes. */
  readonly latencyMs?: number;
  readonly firstSeenAt: number;
  readonly lastSeenAt?: number;
  readonly lastProbeAt?: number;
  /** Probes in a row that failed. */
  readonly failures: number;
  /** Why it is out of reach or not used. */
  readonly problem?: string;
  readonly claims?: PeerClaims;
}

/** What the owner of a node does with the peers that it knows. `target` is `host:port`; every method throws a NodeError. */
export interface PeerAdmin {
  /** All peers, the most wanted first. */
  list(): readonly PeerView[];
  /** Throws `not_found`. */
  get(target: string): PeerView;
  /** Takes a peer in, or back when it was blocked. Asks it who it is; a peer that does not answer is kept all the same. */
  add(target: string, signal: AbortSignal): Promise<PeerView>;
  /** Forgets a peer; one that the registry names is blocked. Throws `failed_precondition` for one that the configuration names. */
  remove(target: string): Promise<void>;
  /** Asks a known peer who it is, what it offers and how fast it answers. */
  probe(target: string, signal: AbortSignal): Promise<PeerView>;
}

/** What a provider must have to be chosen for a task. */
export interface PeerWish {
  /** The most that the task may cost, all limits spent; absent for any price that the caps of this node allow. */
  readonly maxPrice?: Wei;
  /** As the peer says it. */
  readonly region?: string;
}

/** A peer that fits a task. */
export interface ChosenPeer extends PeerView {
  /** Whether the task costs no more than the wish allows only as long as no GPU works on it: it must say so (`limits.noGpu`). */
  readonly noGpu?: boolean;
}

/** What a task needs of the peer that is chosen for it. */
export interface PeerNeed extends PeerWish {
  /** As in TaskSpec. */
  readonly plugin: string;
  readonly function: string;
  readonly limits: Partial<TaskLimits>;
  /** Undefined for a stream. */
  readonly inputBytes: number | undefined;
  /** The size of the module that `plugin` is the SHA-256 of, when this node can bring it to a peer that lacks it. */
  readonly moduleBytes?: number | undefined;
}

/** Kinds of entries of the peer book: peers by target, nodes that the registry lists, and how far it was read. */
export type PeerKind = "peer" | "listed" | "checkpoint";

/** One change of the peer book; without a text the entry goes. */
export interface PeerChange {
  readonly kind: PeerKind;
  readonly key: string;
  readonly text: string | undefined;
}

/** Keeps the peer book, as JSON texts by kind and key. */
export interface PeerStore {
  /** All entries of a kind, in the order of their keys. */
  entries(kind: PeerKind): Promise<[key: string, text: string][]>;
  /** Applies changes, all or none, after all earlier ones. With `durable` it returns when they would survive a power cut. */
  write(changes: readonly PeerChange[], options: { readonly durable: boolean }): Promise<void>;
}
