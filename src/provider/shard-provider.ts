import {
  type ByteSpan,
  type CallContext,
  type Clock,
  type CustodyRelease,
  type LeafProof,
  type Log,
  MAX_CHALLENGE_LEAVES,
  MAX_SHARD_READ_BYTES,
  type Metrics,
  NodeError,
  type NodeKey,
  type PutShardOrder,
  type QuoteTerms,
  type ShardBytes,
  type ShardCustody,
  type ShardId,
  type ShardKey,
  type ShardLease,
  type ShardPage,
  type ShardReceipt,
  type ShardRecord,
  type ShardService,
  type ShardUsage,
  SteadyClock,
} from "../core/mod.ts";
import { LEAF_BYTES, type LeafRange, type NodePosition, proveRange } from "../codec/mod.ts";
import { reserveStorage } from "./reserve-storage.ts";
import { isShardId, readableRecordOf, recordOf, shardKeyOf } from "./shard-access.ts";
import { ShardIntake } from "./shard-intake.ts";
import { ShardLeases } from "./shard-leases.ts";
import type { CustodyKeeper, ShardStore, StorageLedger } from "./shard-ports.ts";
import { ShardUpkeep } from "./shard-upkeep.ts";

/** Bounds of what a provider keeps. Durations are milliseconds. */
export interface ShardLimits {
  readonly maxShardBytes: number;
  readonly maxLeaseMs: number;
  /** How long a shard is kept after its lease. */
  readonly graceMs: number;
  /** How long an interrupted upload waits to go on. */
  readonly uploadTtlMs: number;
  /** How often it is looked for what is over; a minute by default. */
  readonly expiryEveryMs?: number;
}

export interface ShardProviderOptions {
  readonly store: ShardStore;
  readonly key: NodeKey;
  readonly ledger: StorageLedger;
  /** Without it no stake is put on shards. */
  readonly custody?: CustodyKeeper;
  readonly limits: ShardLimits;
  readonly clock: Clock;
  /** By default one that begins with the clock's time. */
  readonly steady?: Clock;
  /** Keeps the steady clock's time for the next start. */
  readonly keepTime?: (nowMs: number) => Promise<void>;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Keeps shards for others: the provider side of {@link ShardService}. */
export interface ShardProvider extends ShardService {
  /** Stops looking after leases. */
  close(): Promise<void>;
}

export function createShardProvider(options: ShardProviderOptions): ShardProvider {
  return new Provider(options);
}

/** Every call checks all that it was given, then reserves what it may cost, then acts, then settles. */
class Provider implements ShardProvider {
  readonly #options: ShardProviderOptions;
  readonly #upkeep: ShardUpkeep;
  readonly #leases: ShardLeases;
  readonly #intake: ShardIntake;
  readonly #bytes;

  constructor(options: ShardProviderOptions) {
    const { steady = new SteadyClock({ clock: options.clock }) } = options;
    this.#options = options;
    this.#upkeep = new ShardUpkeep({ ...options, steady });
    this.#bytes = options.metrics.counter("velas_shard_bytes_total", "Bytes of shards taken and given", ["direction"]);
    const leases = this.#leases = new ShardLeases({ ...options, steady });
    this.#intake = new ShardIntake({ ...options, leases, bytes: this.#bytes });
  }

  async put(source: AsyncIterable<Uint8Array>, order: PutShardOrder, ctx: CallContext): Promise<ShardReceipt> {
    return await this.#intake.put(source, order, ctx);
  }

  async uploaded(id: ShardId, ctx: CallContext): Promise<number> {
    return await this.#options.store.suspended(shardKeyOf(id, ctx));
  }

  async get(id: ShardId, span: ByteSpan, ctx: CallContext): Promise<ShardBytes> {
    const { store } = this.#options;
    const key = shardKeyOf(id, ctx);
    const { start, end } = span;
    if (
      !(Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start < end) ||
      start % LEAF_BYTES !== 0 || end % LEAF_BYTES !== 0 || end - start > MAX_SHARD_READ_BYTES
    ) {
      throw new NodeError(
        "invalid_argument",
        `Cannot read bytes ${start} to ${end}: ask for whole leaves of ${LEAF_BYTES} bytes, at most ${MAX_SHARD_READ_BYTES}`,
      );
    }
    const { sizeBytes } = await readableRecordOf(store, key, ctx);
    const reservation = reserveStorage(this.#options, ctx, { action: "get", bytes: end - start, durationMs: 0 });
    let given: ShardBytes;
    try {
      const bytes = await store.read(key, span);
      const range = { first: start / LEAF_BYTES, end: end / LEAF_BYTES };
      given = { bytes, proof: await proveRange(this.#tree(key), sizeBytes / LEAF_BYTES, range) };
    } catch (error) {
      reservation.release();
      throw error;
    }
    await reservation.settle({ writtenBytes: 0, readBytes: given.bytes.length, byteMs: 0n });
    this.#bytes.add(given.bytes.length, { direction: "out" });
    return given;
  }

  async prove(id: ShardId, leaves: readonly number[], ctx: CallContext): Promise<readonly LeafProof[]> {
    const key = shardKeyOf(id, ctx);
    if (leaves.length < 1 || leaves.length > MAX_CHALLENGE_LEAVES) {
      throw new NodeError(
        "invalid_argument",
        `A challenge has 1 to ${MAX_CHALLENGE_LEAVES} leaves, not ${leaves.length}`,
      );
    }
    const { sizeBytes } = await readableRecordOf(this.#options.store, key, ctx);
    const tree = this.#tree(key);
    const proofs: LeafProof[] = [];
    for (const leaf of leaves) {
      if (ctx.signal.aborted) throw ctx.signal.reason;
      const range = { first: leaf, end: leaf + 1 };
      const proof = await proveRange(tree, sizeBytes / LEAF_BYTES, range);
      proofs.push({ leaf, bytes: await tree.leaves(range), proof });
    }
    return proofs;
  }

  async renew(id: ShardId, leaseMs: number, ctx: CallContext, terms: QuoteTerms = {}): Promise<ShardReceipt> {
    return await this.#leases.renew(shardKeyOf(id, ctx), leaseMs, { ctx, ...terms });
  }

  async refuseLease(id: ShardId, ctx: CallContext): Promise<void> {
    const { custody } = this.#options;
    const key = shardKeyOf(id, ctx);
    const refuse = () => this.#leases.refuse(key);
    // Not while a statement is signed for it.
    await (custody === undefined ? refuse() : custody.apart(key, refuse));
  }

  async remove(
    id: ShardId,
    ctx: CallContext,
    { releases = [] }: { readonly releases?: readonly CustodyRelease[] } = {},
  ): Promise<void> {
    const { store, custody } = this.#options;
    const key = shardKeyOf(id, ctx);
    if (custody === undefined) return void await store.remove(key);
    await custody.apart(key, async () => {
      await custody.release(key, releases);
      await store.remove(key);
    });
  }

  async custody(id: ShardId, lease: ShardLease, ctx: CallContext): Promise<ShardCustody> {
    const { store, custody } = this.#options;
    const key = shardKeyOf(id, ctx);
    if (custody !== undefined) {
      return await custody.apart(key, async () => {
        const signed = await custody.sign(await recordOf(store, key), lease);
        this.#leases.accept(key);
        return signed;
      });
    }
    throw new NodeError("unimplemented", "This node puts no stake on shards (payments.custodyPenalty)");
  }

  async refuse(id: ShardId, upTo: number, ctx: CallContext): Promise<void> {
    const key = shardKeyOf(id, ctx);
    if (!Number.isSafeInteger(upTo) || upTo < 1) {
      throw new NodeError(
        "invalid_argument",
        `Capabilities are refused up to a time in milliseconds since 1970, not ${upTo}`,
        { data: { upTo } },
      );
    }
    await this.#options.store.refuse(key, upTo);
  }

  async stat(id: ShardId, ctx: CallContext): Promise<ShardRecord> {
    return await recordOf(this.#options.store, shardKeyOf(id, ctx));
  }

  async list({ pageSize, pageToken }: { pageSize: number; pageToken: string }, ctx: CallContext): Promise<ShardPage> {
    if (!(pageSize >= 1 && pageSize <= 1000) || (pageToken !== "" && !isShardId(pageToken))) {
      throw new NodeError("invalid_argument", "A page has 1 to 1000 shards, and a token that a page before it gave");
    }
    const shards = await this.#options.store.list(ctx.requester, pageToken, pageSize);
    return { shards, nextPageToken: shards.length < pageSize ? "" : shards.at(-1)!.id };
  }

  async usage(ctx: CallContext): Promise<ShardUsage> {
    const { store } = this.#options;
    return { ...await store.totals(ctx.requester), freeBytes: store.freeBytes() };
  }

  async close(): Promise<void> {
    await this.#upkeep.close();
  }

  #tree(key: ShardKey) {
    const { store } = this.#options;
    return {
      nodes: (positions: readonly NodePosition[]) => store.nodes(key, positions),
      leaves: ({ first, end }: LeafRange) => store.read(key, { start: first * LEAF_BYTES, end: end * LEAF_BYTES }),
    };
  }
}
