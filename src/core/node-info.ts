import type { NodeId } from "./ids.ts";
import type { PluginInfo } from "./plugin.ts";

/** The bounds within which a node accepts tasks. */
export interface NodeLimits {
  readonly inputBytes: number;
  readonly outputBytes: number;
  readonly memoryBytes: number;
  readonly timeoutMs: number;
  /** Absent from a node that does not meter. */
  readonly instructions?: number;
}

/** What a node says of itself. Times are milliseconds since the epoch. */
export interface NodeInfo {
  readonly nodeId: NodeId;
  readonly name: string;
  readonly version: string;
  readonly plugins: readonly PluginInfo[];
  readonly issuedAt: number;
  readonly limits: NodeLimits;
  /** Where it is, in the operator's words; absent when nothing is said. */
  readonly region?: string;
  /** Its X25519 key for MACs of requests; absent from a node that takes signatures only. */
  readonly macKey?: Uint8Array;
  /** The newest version of MACs that it takes; absent from a node that takes the first only. */
  readonly macVersion?: number;
  /** The chain that it pays and is paid on, which sessions with it name; absent without one. */
  readonly chainId?: number;
  /** The largest WASM module that it takes from requesters, in bytes; absent when it takes none. */
  readonly moduleBytes?: number;
}

/** This node, as the faces show it. */
export interface NodeDescriber {
  /** What the node says of itself now. */
  describe(): NodeInfo;
  /** Signs with the node key: 65 bytes, an EIP-191 personal-message signature. */
  sign(message: Uint8Array): Uint8Array;
}

/** Asks other nodes who they are. */
export interface PeerDirectory {
  /**
   * The description of the node at `host:port`, with its signature checked against the node id it names. Throws
   * `target_unreachable`, or `target_misbehaved` when the signature is wrong.
   */
  info(target: string, signal: AbortSignal): Promise<NodeInfo>;
}
