import type { FilePolicy, ShardHealth } from "./file.ts";
import type { NodeId } from "./ids.ts";
import type { StoredLease } from "./shard.ts";

/** Where one shard of a file is, as its owner keeps it. Times are milliseconds since the epoch. */
export interface StoredShard {
  /** The provider, as `host:port`; empty while none is chosen. */
  readonly target: string;
  readonly providerId?: NodeId;
  readonly region?: string;
  readonly state: ShardHealth["state"];
  /** By the steady clock. */
  readonly leaseExpiresAt?: number;
  /** The provider's signed promise, where it is paid to keep the shard. */
  readonly lease?: StoredLease;
  /** When the provider last proved that it has the shard. */
  readonly lastAuditAt?: number;
  /** Since when every attempt to reach the shard has failed, by the steady clock. */
  readonly failingSince?: number;
  /** How many audits in a row have failed. */
  readonly failures?: number;
  readonly lastError?: string;
  /** Whether a read got wrong bytes since the provider last proved the shard: a fault that was counted. */
  readonly faulted?: true;
  /** Up to which end of capabilities the provider refuses them; see {@link StoredFile.refusedUpTo}. */
  readonly refusedUpTo?: number;
}

/** A shard at a provider that is not needed there any more, and is still to be freed. */
export interface LeftoverShard {
  readonly index: number;
  readonly target: string;
  readonly providerId?: NodeId;
}

/** One version of a file with all that its owner keeps of it, but its manifest. */
export interface StoredFile {
  /** 32 lower-case hex digits: the file id of header and manifest. */
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly contentType: string;
  readonly sizeBytes: number;
  /** Lower-case hex; empty while uploading. */
  readonly sha256: string;
  readonly policy: FilePolicy;
  readonly createdAt: number;
  /** When it was last written to by a put, for giving up uploads that nobody goes on with; by the steady clock. */
  readonly touchedAt: number;
  readonly warnings: readonly string[];
  readonly sharedBy?: NodeId;
  /** For a file that was shared: the leave to read its shards. */
  readonly capability?: string;
  /** Shares that end by then were taken back; new ones end later. */
  readonly refusedUpTo?: number;
  /** `uploading` until it is acknowledged, then `kept`; `removed` while its shards are freed. */
  readonly phase: "uploading" | "kept" | "removed";
  /** While uploading: the header in hex, and the most bytes that each provider was told would come. */
  readonly upload?: { readonly header: string; readonly maxShardBytes: number };
  /** The providers that its put named, as `host:port`: its shards go to no others. */
  readonly targets?: readonly string[];
  readonly shards: readonly StoredShard[];
  readonly leftovers: readonly LeftoverShard[];
  /** When something is to be done for it: audit, repair, freeing. By the steady clock. */
  readonly dueAt: number;
  /** When its leases are next to be looked at, by the steady clock; at once when it is not set. */
  readonly renewAt?: number;
}

/** A step in the life of a stored file, applied whole or not at all. */
export type FileChange =
  /** A new one, or another state of a known one; `before` is what is stored now. */
  | {
    readonly type: "save";
    readonly file: StoredFile;
    readonly before?: StoredFile;
    readonly manifest?: Uint8Array;
  }
  /** Forgets a file with its manifest. */
  | { readonly type: "remove"; readonly file: StoredFile }
  /** The digest of the next piece of an upload; see docs/files.md. */
  | { readonly type: "piece"; readonly fileId: string; readonly index: number; readonly digest: string }
  /** Forgets the digests of an upload. */
  | { readonly type: "dropPieces"; readonly fileId: string; readonly count: number }
  | { readonly type: "score"; readonly score: ProviderScore };

/** A version in the order of names. */
export interface NamedVersion {
  readonly name: string;
  readonly version: number;
  readonly id: string;
  readonly uploading: boolean;
}

/** A piece of the list of names. */
export interface NameRange {
  readonly prefix: string;
  /** Goes on behind this version of a name, or behind all versions of it, or behind all names with a prefix. */
  readonly after?:
    | { readonly name: string; readonly version?: number }
    | { readonly prefix: string };
  readonly limit: number;
}

/** What a node thinks of a provider of shards: successes and failures, each halved with every half-life that passes. */
export interface ProviderScore {
  readonly provider: NodeId;
  readonly good: number;
  readonly bad: number;
  /**
   * Of how many shards it is known that it lost them or gave other bytes, halved likewise. Silence is none of these. Absent means none, as in
   * records from before it was kept.
   */
  readonly faults?: number;
  /** Whether shards leave it: from many faults on until few are left. */
  readonly avoided?: true;
  /** When `good`, `bad` and `faults` were right. */
  readonly at: number;
  readonly lastError?: string;
}
