import type { Hex32, NodeId, Wei } from "../core/mod.ts";

/** A channel as the chain has it. Times are seconds since the epoch, as the contract has them. */
export interface ChannelOnChain {
  readonly payer: NodeId;
  readonly signer: NodeId;
  readonly token: NodeId;
  readonly deposit: Wei;
  readonly claimed: Wei;
  readonly exitDelay: number;
  /** When the payer may end it; 0 while it has not announced to. */
  readonly exitAt: number;
}

/** Reads channels from the chain, as deep in it as the node wants. */
export interface ChannelReader {
  /** Undefined for a channel that is not there, or not deep enough. Throws `chain_failed`. */
  channelOf(id: Hex32): Promise<ChannelOnChain | undefined>;
  /** Whether the chain answers and its head is of late; while it is not, no credit is given. */
  healthy(): boolean;
}
