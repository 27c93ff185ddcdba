import type {
  ByteSpan,
  CustodyRelease,
  Hex32,
  NewShard,
  NodeId,
  RequesterId,
  ShardCustody,
  ShardId,
  ShardKey,
  ShardLease,
  ShardRecord,
} from "../core/mod.ts";

/** A shard that is being written. One of `finish`, `suspend` and `abort` ends it. */
export interface ShardUpload {
  /** Bytes that are there already, from an upload that was interrupted. */
  readonly offset: number;
  /** Bytes of that upload, up to the offset, for their tree to be made anew. Throws `data_corrupt`. */
  read(span: ByteSpan): Promise<Uint8Array>;
  /** Appends bytes, which are the upload's from then on; resolves when it can take more. Throws `storage_full`. */
  write(bytes: Uint8Array): Promise<void>;
  /** Keeps a node of the shard's tree (block level and above), for proofs. */
  keepNode(level: number, index: number, digest: Uint8Array): void;
  /** Makes the shard: index, lease, accounts and the last bytes in one batch, durable when it returns. */
  finish(root: string): Promise<ShardRecord>;
  /** Keeps what was written for a while, for the upload to go on; durable when it returns. */
  suspend(): Promise<void>;
  /** Drops what was written. */
  abort(): Promise<void>;
}

export interface ShardTotals {
  readonly shards: number;
  readonly bytes: number;
}

/** Keeps shards. `test/contract-suites/shard-store.ts` holds for it. */
export interface ShardStore {
  /**
   * Opens a new upload, or one that was suspended (also by a crash). Throws `storage_full` over the quota, `already_exists` when the shard is
   * there, and `failed_precondition` while another upload of the same shard is open.
   */
  begin(shard: NewShard): Promise<ShardUpload>;
  /** Throws `data_corrupt` for a shard in quarantine. */
  get(key: ShardKey): Promise<ShardRecord | undefined>;
  /** How many bytes of a suspended upload there are; 0 when none is. */
  suspended(key: ShardKey): Promise<number>;
  /** Throws `not_found`, and `data_corrupt` for a block that does not have its checksum, which puts the shard in quarantine. */
  read(key: ShardKey, span: ByteSpan): Promise<Uint8Array>;
  /** Nodes of the shard's tree, as `keepNode` got them, in the order of the positions. Throws like `read`. */
  nodes(
    key: ShardKey,
    positions: readonly { readonly level: number; readonly index: number }[],
  ): Promise<readonly Uint8Array[]>;
  /** Moves the end of a lease. Throws `not_found`. */
  renew(key: ShardKey, expiresAt: number): Promise<ShardRecord>;
  /** Notes up to which end capabilities are refused, unless that is noted already; durable when it returns. Throws `not_found`. */
  refuse(key: ShardKey, upTo: number): Promise<void>;
  /** Removes a shard or a suspended upload: accounted bytes are free at once. Returns whether there was one. */
  remove(key: ShardKey): Promise<boolean>;
  /** Shards of an owner in the order of their ids, behind `afterId`. */
  list(owner: RequesterId, afterId: ShardId, limit: number): Promise<readonly ShardRecord[]>;
  /** Shards whose lease and grace are over, oldest first. */
  expired(nowMs: number, limit: number): Promise<readonly ShardRecord[]>;
  /** Removes uploads that nobody has worked on since a time and are not open. Returns how many. */
  dropUploadsBefore(timeMs: number): Promise<number>;
  /** Of one owner, or of all. */
  totals(owner?: RequesterId): Promise<ShardTotals>;
  /** Bytes that may still be stored: what the quota leaves after shards and open uploads. */
  freeBytes(): number;
}

/** Puts stake on shards, for a provider that does. */
export interface CustodyKeeper {
  /** Runs work on a shard while no other of this runs on it, so that none is signed for while it is dropped. */
  apart<T>(shard: ShardKey, work: () => Promise<T>): Promise<T>;
  /** The statement for the lease of a shard, which is stored before it is given. Throws as `ShardService.custody` does. */
  sign(record: ShardRecord, lease: ShardLease): Promise<ShardCustody>;
  /** Notes releases before a shard is dropped. Throws as `ShardService.remove` does. */
  release(shard: ShardKey, releases: readonly CustodyRelease[]): Promise<void>;
}

/** What a storage operation may cost at most. */
export interface StorageQuote {
  readonly requester: RequesterId;
  readonly provider: NodeId;
  readonly action: "put" | "get" | "renew";
  readonly bytes: number;
  /** For how long the bytes are kept, in milliseconds; 0 for a read. */
  readonly durationMs: number;
  /** The digest of the quote to charge by, where the order names one. */
  readonly quote?: Hex32;
}

/** What was done. */
export interface StorageUsage {
  readonly writtenBytes: number;
  readonly readBytes: number;
  /** Bytes times milliseconds of lease. */
  readonly byteMs: bigint;
}

/** Decides whether storage is paid for. */
export interface StorageLedger {
  /**
   * Sets aside what the operation may cost at most. Throws `payment_required` when the requester has no credit for it, and with the reason
   * {@link QUOTE_EXPIRED} when the quote is over.
   */
  reserve(quote: StorageQuote): StorageReservation;
}

/** Money set aside for one operation. Exactly one of `settle` and `release` is called, once. */
export interface StorageReservation {
  settle(usage: StorageUsage): void | Promise<void>;
  release(): void;
  /** Credits what was settled, once; nothing when it was released. */
  refund(): void | Promise<void>;
  /**
   * Signs the lease of a shard that was granted at a time, by the quote that the operation was paid by; undefined when it is free. After `settle` or
   * `release`.
   */
  lease(record: ShardRecord, startsAt: number): ShardLease | undefined;
}
