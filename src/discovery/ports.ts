import type { NodeId, NodeInfo, SignedOffer } from "../core/mod.ts";

/** What a peer answered when it was asked. */
export interface ProbeAnswer {
  /** Signed by the node that it names. */
  readonly info: NodeInfo;
  /** One round trip on an open connection. */
  readonly latencyMs: number;
  /** Its offer as it came, not checked yet; absent when it takes no money. */
  readonly offer?: SignedOffer;
  /** Why there is no offer although it may take money. */
  readonly offerProblem?: string;
  readonly keepsShards: boolean;
}

/** Asks peers who they are, on connections of its own, whose answers it takes up to a small size only. */
export interface PeerProber {
  /** Throws a NodeError: `target_unreachable`, or `target_misbehaved` for answers that cannot be believed. */
  probe(target: string, signal: AbortSignal): Promise<ProbeAnswer>;
}

/** What a provider says of itself on the chain. */
export interface RegistryEvent {
  readonly node: NodeId;
  /** Empty when it took its profile back. */
  readonly url: string;
  /** Printable ASCII, or empty. */
  readonly region: string;
  readonly block: number;
}

/** A block up to which the registry was read. */
export interface RegistryCheckpoint {
  readonly block: number;
  /** The block's hash, by which a chain that was reorganised below it is noticed. */
  readonly hash: string;
}

/** What was read at one go. */
export interface RegistryPage {
  readonly events: readonly RegistryEvent[];
  /** Where to go on. */
  readonly checkpoint: RegistryCheckpoint | undefined;
  /** Whether this was all that there is for now. */
  readonly caughtUp: boolean;
  /** The chain was reorganised below the checkpoint: what was read before may be wrong, and reading begins anew. */
  readonly reorganised: boolean;
}

/** Reads the registry's events in order, a bounded range of blocks at a time, as deep as the node believes. */
export interface RegistryReader {
  /** Goes on behind a checkpoint, or begins. Throws `chain_failed`. */
  read(after: RegistryCheckpoint | undefined): Promise<RegistryPage>;
}
