import type {
  CustodyRelease,
  FileChange,
  Hex32,
  NamedVersion,
  NameRange,
  NodeId,
  ProviderScore,
  ShardCustody,
  ShardId,
  ShardLease,
  ShardReceipt,
  ShardRecord,
  StoredFile,
} from "../core/mod.ts";

/** Keeps what this node knows of its files. */
export interface FileStore {
  /** The files with these ids, in the same places. */
  getMany(ids: readonly string[]): Promise<(StoredFile | undefined)[]>;
  manifest(id: string): Promise<Uint8Array | undefined>;
  /** Versions in the order of their names (as UTF-8), the newest of each first. Removed ones are not among them. */
  names(range: NameRange): Promise<NamedVersion[]>;
  /** Files for which something is to be done by now, the most overdue first. */
  due(nowMs: number, limit: number): Promise<StoredFile[]>;
  /** Files whose leases are to be looked at by now, the most overdue first. */
  renewals(nowMs: number, limit: number): Promise<StoredFile[]>;
  /** All files in the order of their ids, behind the given one. */
  all(afterId: string, limit: number): Promise<StoredFile[]>;
  /** The digests of an upload's pieces from `first` on. */
  pieces(fileId: string, first: number, limit: number): Promise<string[]>;
  scores(): Promise<ProviderScore[]>;
  /** Applies changes, all or none, after all earlier ones. With `durable` it returns when they would survive a power cut. */
  write(changes: readonly FileChange[], options: { readonly durable: boolean }): Promise<void>;
}

/** A node that may be asked to keep shards. */
export interface ProviderOffer {
  /** `host:port`. */
  readonly target: string;
  readonly region?: string;
  /** 0 to 1, from all that this node had it do; absent when nothing is known. */
  readonly score?: number;
}

/** What keeping or reading a shard may cost at most. */
export interface StorageOrder {
  /** The provider, as `host:port`. */
  readonly target: string;
  readonly provider: NodeId | undefined;
  readonly action: "put" | "get" | "renew";
  readonly bytes: number;
  /** For how long the bytes are kept, in milliseconds; 0 for a read. */
  readonly durationMs: number;
}

/** Decides what this node may spend on files. */
export interface StorageLedger {
  /** Sets aside the most that an operation may cost. Throws when that is over a cap. A promise when the provider has to be paid first. */
  reserve(order: StorageOrder): StorageReservation | Promise<StorageReservation>;
}

/** Keeps what providers put at stake on shards. */
export interface CustodyHolder {
  /** Whether there is a statement for a lease already. */
  has(order: { readonly record: ShardRecord; readonly lease: ShardLease }): boolean;
  /** Asks for a statement, checks it and keeps it. Throws when the provider's stake, or its answer, is not good. */
  take(
    order: {
      readonly provider: NodeId;
      readonly record: ShardRecord;
      readonly lease: ShardLease;
      readonly fileId: string;
    },
    ask: () => Promise<ShardCustody>,
  ): Promise<void>;
  /** Releases of a provider from all that it has signed for a shard, but for one that it lost. */
  releases(provider: NodeId, shard: ShardId): readonly CustodyRelease[];
  /** A provider failed to prove a shard: it is not released any more. */
  lost(provider: NodeId, shard: ShardId): Promise<void>;
  /** Has what comes of challenges told. */
  onChallenge?(listener: (event: { readonly fileId: string; readonly message: string }) => void): void;
}

/** What a lease must be for. */
export interface LeaseOrder {
  readonly id: ShardId;
  /** How long it was to last, in milliseconds. */
  readonly leaseMs: number;
}

/** Money set aside for one operation. Exactly one of `commit`, `release` and `refuse` is called, once. */
export interface StorageReservation {
  /** The digest of the quote that the operation is to be charged by; undefined when nothing is paid. */
  readonly quote?: Hex32 | undefined;
  /**
   * The lease of a receipt, which is the provider's word on what it is paid for; undefined when nothing is paid. Throws `target_misbehaved` with
   * the reason {@link LEASE_REFUSED} when it is not what was agreed, or there is none. Before `commit`, which pays by the quote that it names.
   */
  checkLease(receipt: ShardReceipt, order: LeaseOrder): ShardLease | undefined;
  /** It was done: pays for the bytes that were written, read or kept, and frees the rest. */
  commit(used: { readonly bytes: number; readonly durationMs: number }): void | Promise<void>;
  /** Frees all of it: nothing was done, but it failed with this error, if any. */
  release(error?: unknown): void;
  /** Frees all of it, and pays nothing: what was done is not what was asked for. `takeBack` has the provider credit what it has charged. */
  refuse(takeBack: () => Promise<void>): void | Promise<void>;
}
