import type { CustodyRelease, ShardCustody } from "./custody.ts";
import type { NodeId, RequesterId } from "./ids.ts";
import type { CallContext } from "./task.ts";
import type { Hex32 } from "./typed-data.ts";

/** Names a shard of one owner at one provider: 32 lower-case hex digits, drawn from the file's key so that shards of a file look unrelated. */
export type ShardId = string;

/** From `start` to before `end`, in bytes. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

/** The most bytes that one {@link ShardService.get} gives: 64 stripes of 64 KiB. */
export const MAX_SHARD_READ_BYTES = 4 << 20; // 4 MiB

/** The most leaves that one {@link ShardService.prove} proves. */
export const MAX_CHALLENGE_LEAVES = 512;

/** What a provider keeps of a shard. Times are milliseconds since the epoch. */
export interface ShardRecord {
  readonly id: ShardId;
  readonly owner: RequesterId;
  readonly sizeBytes: number;
  /** The root of the Merkle tree over its bytes, 64 lower-case hex digits; the count of leaves is `sizeBytes / 1024`. */
  readonly root: string;
  readonly storedAt: number;
  /** When the lease ends. */
  readonly expiresAt: number;
  /** How long after that the shard is still kept, and can be renewed, in milliseconds. */
  readonly graceMs: number;
  /** Capabilities that end by then are refused: the owner has taken them back. */
  readonly refusedUpTo?: number;
}

/** Names a shard in a store: ids are unique within their owner. */
export interface ShardKey {
  readonly owner: RequesterId;
  readonly id: ShardId;
}

/** What a new shard is to be. Times are milliseconds since the epoch. */
export interface NewShard extends ShardKey {
  /** Set aside in the quota until the upload ends. */
  readonly maxBytes: number;
  readonly expiresAt: number;
  readonly graceMs: number;
}

/** What a lease says beside the shard's record, with which it makes the EIP-712 type `Lease` that is signed. */
export interface ShardLease {
  /** The digest of the quote by which the shard is kept: it names provider, requester, channel and prices. */
  readonly quote: Hex32;
  /** When the provider granted it, in milliseconds since the epoch. It ends when the record says. */
  readonly startsAt: number;
  /** 65 bytes, by the provider's node key over that type. */
  readonly signature: Uint8Array;
}

/** A lease as the requester keeps it with the shard that it is for; `test/vectors/storage-files.json` pins it. */
export interface StoredLease {
  /** The version of this form. */
  readonly v: 1;
  readonly quote: Hex32;
  /** Milliseconds since the epoch, by the provider's clock. */
  readonly startsAt: number;
  readonly expiresAt: number;
  /** 65 bytes in hex. */
  readonly signature: `0x${string}`;
}

/** A provider's signed word that it keeps a shard. */
export interface ShardReceipt {
  readonly provider: NodeId;
  readonly record: ShardRecord;
  /** 65 bytes: an EIP-191 personal-message signature over the receipt's canonical text (docs/protocol.md). */
  readonly signature: Uint8Array;
  /** The terms on which it keeps the shard, where it is paid for that. */
  readonly lease?: ShardLease;
}

/** How to keep a shard. */
export interface PutShardOrder {
  readonly id: ShardId;
  /** The most bytes that will come; the provider sets them aside. */
  readonly maxBytes: number;
  /** How long to keep it, in milliseconds from now. */
  readonly leaseMs: number;
  /** Where the bytes of `source` begin, when an interrupted upload of the same shard goes on; see {@link ShardService.uploaded}. */
  readonly offset?: number;
  /** As in {@link QuoteTerms}. */
  readonly quote?: Hex32;
}

/** On which terms a shard is to be kept. */
export interface QuoteTerms {
  /**
   * The digest of the quote to be charged by: by this one and no other. Without it, by whichever quote on the channel that holds comes
   * cheapest.
   */
  readonly quote?: Hex32;
}

/** Bytes of a shard with the proof of their leaves. */
export interface ShardBytes {
  readonly bytes: Uint8Array;
  readonly proof: Uint8Array;
}

/** One leaf of an audit, with its path to the root. */
export interface LeafProof {
  readonly leaf: number;
  readonly bytes: Uint8Array;
  readonly proof: Uint8Array;
}

export interface ShardPage {
  readonly shards: readonly ShardRecord[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** What an owner's shards take at a provider, and what is left there for them. */
export interface ShardUsage {
  readonly shards: number;
  readonly bytes: number;
  /** Bytes that the provider would still take from this owner now. */
  readonly freeBytes: number;
}

/**
 * Keeps shards. Two things are one: the provider in this process and the RPC client of a provider elsewhere;
 * `test/contract-suites/shard-service.ts` holds for both. The owner is the call's requester; nobody sees another's shards. Every method
 * throws a NodeError: `not_found` for a shard that the owner does not have, `storage_full` when quota or disk are full.
 */
export interface ShardService {
  /**
   * Stores a shard; when it returns, the bytes are on disk. The same id with the same bytes again answers with the shard that is there and
   * extends its lease; with other bytes it is `already_exists`. Throws `invalid_argument` for bytes that are not whole leaves or more than announced,
   * and before it takes any `payment_required` with the reason {@link QUOTE_EXPIRED} when the quote is over. The pieces of the source are the
   * put's from then on, which may give their memory back.
   */
  put(source: AsyncIterable<Uint8Array>, order: PutShardOrder, ctx: CallContext): Promise<ShardReceipt>;
  /** How many bytes of an interrupted upload are on disk, so that it can go on there; 0 when none are. */
  uploaded(id: ShardId, ctx: CallContext): Promise<number>;
  /** Whole leaves of a shard, at most {@link MAX_SHARD_READ_BYTES}, with the proof of their range. */
  get(id: ShardId, span: ByteSpan, ctx: CallContext): Promise<ShardBytes>;
  /** Answers an audit: the leaves that are asked for, in that order. */
  prove(id: ShardId, leaves: readonly number[], ctx: CallContext): Promise<readonly LeafProof[]>;
  /** Extends the lease to `leaseMs` from now, if that is later. Throws `payment_required` as {@link ShardService.put} does. */
  renew(id: ShardId, leaseMs: number, ctx: CallContext, terms?: QuoteTerms): Promise<ShardReceipt>;
  /**
   * Refuses the newest put or renewal of a shard: it is taken back and what it was charged is credited. A shard that was new is removed. Throws
   * `failed_precondition` when there was none within the last minute or custody was signed for it, and `overloaded` for an owner that refuses too many.
   */
  refuseLease(id: ShardId, ctx: CallContext): Promise<void>;
  /**
   * Removes a shard, or what an interrupted upload left of it. One that is not there is no error. Throws `failed_precondition` with the reason
   * {@link CUSTODY_NOT_RELEASED} for one that the provider has signed custody of, without the owner's releases.
   */
  remove(id: ShardId, ctx: CallContext, options?: { readonly releases?: readonly CustodyRelease[] }): Promise<void>;
  /**
   * Signs that the provider keeps a shard or loses stake, for the time of its newest lease; the same lease gets the same statement. Throws
   * `unimplemented` where the provider puts no stake on shards, and `failed_precondition` for another lease.
   */
  custody(id: ShardId, lease: ShardLease, ctx: CallContext): Promise<ShardCustody>;
  /**
   * From now on refuses capabilities for a shard that end by `upTo` (milliseconds since the epoch), and what was made from them, for as long as the
   * shard is kept. An earlier time than one before changes nothing.
   */
  refuse(id: ShardId, upTo: number, ctx: CallContext): Promise<void>;
  stat(id: ShardId, ctx: CallContext): Promise<ShardRecord>;
  list(page: { readonly pageSize: number; readonly pageToken: string }, ctx: CallContext): Promise<ShardPage>;
  usage(ctx: CallContext): Promise<ShardUsage>;
}
