import type { NodeId, RequesterId } from "./ids.ts";
import type { Hex32 } from "./typed-data.ts";
import type { Usage } from "./usage.ts";

/** What a paid task costs, and on which terms. */
export interface TaskTerms {
  readonly chainId: number;
  /** The address of the `Channels` contract on it. */
  readonly channels: NodeId;
  readonly channelId: Hex32;
  /** The digest of the quote whose prices hold (`quoteDigest`). */
  readonly quote: Hex32;
  /** In the token's smallest unit, in decimal digits. */
  readonly charge: string;
}

/** A provider's signed word on a task that succeeded. */
export interface TaskReceipt {
  /** 1; 2 when the task worked on a GPU; 3 when its result depends on more than the module and the input. */
  readonly version: 1 | 2 | 3;
  readonly provider: NodeId;
  readonly taskId: string;
  readonly requester: RequesterId;
  /** The plugin that ran, as `name@version`. */
  readonly plugin: string;
  /** Lower-case hex, as all hashes here; empty for an external plugin. */
  readonly pluginSha256: string;
  readonly function: string;
  readonly inputSha256: string;
  readonly outputSha256: string;
  readonly usage: Usage;
  /** As in TaskRecord; absent in versions 1 and 2. */
  readonly nondeterministic?: readonly string[];
  /** Milliseconds since the epoch, by the provider's clock. */
  readonly finishedAt: number;
  /** Absent when the task was free. */
  readonly terms?: TaskTerms;
  /** The Ed25519 public key that signs the provider's receipts. */
  readonly key: Hex32;
  /** The node key's signature (EIP-191) that vouches for it, 65 bytes in hex. */
  readonly keySignature: string;
  /** The key's signature, 64 bytes in hex. */
  readonly signature: string;
}
