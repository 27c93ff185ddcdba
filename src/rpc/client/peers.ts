import type { ConnectionOptions } from "node:tls";
import {
  type Clock,
  type ModuleService,
  type NodeId,
  type NodeInfo,
  type NodeKey,
  parseTarget,
  type PaymentDesk,
  type PeerDirectory,
  recoverSigner,
  type ShardService,
  systemClock,
  type TaskService,
  VERSION,
} from "../../core/mod.ts";
import { queryNode, type RecoverSigner } from "./node-query.ts";
import { Peer, type PeerCallOptions } from "./peer.ts";
import type { PeerRules } from "./public-address.ts";
import { RemoteDesk } from "./remote-desk.ts";
import { RemoteModules } from "./remote-modules.ts";
import { RemoteShards } from "./remote-shards.ts";
import { RemoteTasks } from "./remote-tasks.ts";
import { RequestSigner } from "./request-signer.ts";
import { SignedCalls } from "./signed-calls.ts";
import { SessionPool } from "./session-pool.ts";
import { createPeerTransport } from "./transport.ts";

/** Bounds of the calls to peers. Times are in milliseconds. */
export interface PeerLimits {
  /** The largest message, sent or received, in bytes. */
  readonly maxMessageBytes: number;
  /** The most peers connected to at once. */
  readonly maxSessions: number;
  /** For opening a connection, up to the peer's first HTTP/2 frame. */
  readonly connectTimeoutMs: number;
  /** For calls that only read or queue something, when their caller sets no deadline. */
  readonly requestTimeoutMs: number;
  /** For running a task, when its caller sets no deadline. */
  readonly taskTimeoutMs: number;
  /** A connection without a call for this long is closed. */
  readonly idleTimeoutMs: number;
  /** Silence during a call after which the connection is pinged. */
  readonly pingIntervalMs: number;
  /** A ping unanswered for this long ends the connection. */
  readonly pingTimeoutMs: number;
  /** The wait after a first failed connection; it doubles with each further one. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
  /** How long a target is remembered to speak the original protocol only. */
  readonly legacyMemoryMs: number;
}

/** Bounds for a node on an ordinary machine. */
export const DEFAULT_PEER_LIMITS: PeerLimits = {
  maxMessageBytes: 16 << 20, // 16 MiB
  maxSessions: 256,
  connectTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  taskTimeoutMs: 120_000,
  idleTimeoutMs: 300_000,
  pingIntervalMs: 30_000,
  pingTimeoutMs: 10_000,
  backoffMs: 100,
  maxBackoffMs: 3_000,
  legacyMemoryMs: 300_000,
};

export interface PeersOptions {
  /** This node's id, in whose name calls go out that have no requester of their own. */
  readonly requester?: NodeId;
  /** Signs requests in this node's name; without it other nodes keep no shards for it. */
  readonly key?: NodeKey;
  /** Signs calls for tasks too, as nodes that are paid demand it. By default only where a node wants it, since unsigned ones are faster. */
  readonly signTasks?: boolean;
  /** The chain that this node pays on; 0, the default, without one. */
  readonly chainId?: number;
  /** By default `recoverSigner` of core. */
  readonly recover?: RecoverSigner;
  readonly limits?: Partial<PeerLimits>;
  /** For targets of the form `https://host:port`: whom to trust beside those that the runtime trusts. */
  readonly tls?: ConnectionOptions;
  /** Where connections may lead; anywhere by default. */
  readonly rules?: PeerRules;
  readonly clock?: Clock;
  /** From 0 up to 1; spreads reconnections. */
  readonly random?: () => number;
}

/** The other nodes, as this one calls them. */
export interface Peers extends PeerDirectory {
  /**
   * The task service at `host:port`, `[v6]:port` or `dns:///host:port`, or with TLS at `https://host:port`. Connects with the first call.
   * Throws `invalid_argument` for a target that cannot be read.
   */
  dial(target: string): TaskService;
  /** The shard service there. Throws like {@link dial}. */
  dialShards(target: string): ShardService;
  /** The modules that are taken there. Throws like {@link dial}. */
  dialModules(target: string): ModuleService;
  /** The desk there, where it is paid. Throws like {@link dial}. */
  dialDesk(target: string): PaymentDesk;
  info(target: string, signal: AbortSignal): Promise<NodeInfo>;
  /** Ends all connections; open calls fail with `shutting_down`. */
  close(): Promise<void>;
}

interface KnownPeer {
  readonly peer: Peer;
  readonly tasks: TaskService;
  readonly shards: ShardService;
  readonly modules: ModuleService;
}

/** A caller is not held up longer than this for the sake of a retry. */
const MAX_RETRY_DELAY_MS = 250;

/** How many targets are remembered beyond those connected to: a little memory each, against parsing and setting up anew. */
const MAX_KNOWN_PEERS = 1024;

/** Makes the client of other nodes. */
export function createPeers(options: PeersOptions): Peers {
  const limits = { ...DEFAULT_PEER_LIMITS, ...options.limits };
  const clock = options.clock ?? systemClock;
  const pool = new SessionPool({
    ...limits,
    clock,
    random: options.random ?? Math.random,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    ...(options.rules === undefined ? {} : { rules: options.rules }),
  });
  const transportOptions = {
    pool,
    readMaxBytes: limits.maxMessageBytes,
    writeMaxBytes: limits.maxMessageBytes,
    userAgent: `velas-sphere/${VERSION}`,
  };
  const callOptions: PeerCallOptions = {
    ...limits,
    clock,
    requester: options.requester,
    // The wait that a session keeps after its first failure, with room for the timers' own roughness.
    retryDelayMs: Math.min(limits.backoffMs + 20, MAX_RETRY_DELAY_MS),
  };
  const known = new Map<string, KnownPeer>();
  const recover = options.recover ?? recoverSigner;
  const { key, chainId = 0 } = options;
  const signer = key && new RequestSigner({ key, chainId, clock });

  const find = (target: string): KnownPeer => {
    const found = known.get(target);
    if (found !== undefined) return found;
    const address = parseTarget(target);
    const peer = new Peer(address, createPeerTransport(address, transportOptions), callOptions);
    const whoIs = (signal: AbortSignal) => queryNode(peer, recover, signal);
    const { transport } = peer;
    const calls = signer && new SignedCalls({ signer, whoIs, transport, target: peer.target });
    const tasks = new RemoteTasks(peer, calls, { signs: options.signTasks === true });
    const entry = { peer, tasks, shards: new RemoteShards(peer, calls), modules: new RemoteModules(peer, calls) };
    if (known.size >= MAX_KNOWN_PEERS) known.delete(known.keys().next().value!);
    known.set(target, entry);
    return entry;
  };

  return {
    dial: (target) => find(target).tasks,
    dialShards: (target) => find(target).shards,
    dialModules: (target) => find(target).modules,
    dialDesk: (target) => new RemoteDesk(find(target).peer),
    info: async (target, signal) => await queryNode(find(target).peer, recover, signal),
    close: () => pool.close(),
  };
}
