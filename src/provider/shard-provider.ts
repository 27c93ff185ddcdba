import {
  type ByteSpan,
  type CallContext,
  type Clock,
  type CustodyRelease,
  type Hex32,
  type LeafProof,
  type Log,
  MAX_CHALLENGE_LEAVES,
  MAX_SHARD_READ_BYTES,
  type Metrics,
  NodeError,
  type NodeKey,
  type PutShardOrder,
  type QuoteTerms,
  receiptText,
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
import {
  LEAF_BYTES,
  type LeafRange,
  MerkleBuilder,
  type NodePosition,
  proveRange,
  type TreeHead,
} from "../codec/mod.ts";
import { abortable } from "./abortable.ts";
import { LeaseGrants } from "./lease-grants.ts";
import type {
  CustodyKeeper,
  ShardStore,
  ShardUpload,
  StorageLedger,
  StorageQuote,
  StorageReservation,
} from "./shard-ports.ts";
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

/** From when to when a lease is to last. */
interface Term {
  readonly startsAt: number;
  readonly expiresAt: number;
  readonly leaseMs: number;
}

/** Keeps shards for others: the provider side of {@link ShardService}. */
export interface ShardProvider extends ShardService {
  /** Stops looking after leases. */
  close(): Promise<void>;
}

const SHARD_ID = /^[0-9a-f]{32}$/;
/** Bytes of an interrupted upload that are read at once to make its tree anew. */
const REREAD_BYTES = 1 << 20; // 1 MiB

export function createShardProvider(options: ShardProviderOptions): ShardProvider {
  return new Provider(options);
}

/** Every call checks all that it was given, then reserves what it may cost, then acts, then settles. */
class Provider implements ShardProvider {
  readonly #options: ShardProviderOptions;
  readonly #upkeep: ShardUpkeep;
  readonly #steady: Clock;
  readonly #grants: LeaseGrants;
  readonly #bytes;

  constructor(options: ShardProviderOptions) {
    const { steady = new SteadyClock({ clock: options.clock }) } = options;
    this.#options = options;
    this.#steady = steady;
    this.#grants = new LeaseGrants(steady);
    this.#upkeep = new ShardUpkeep({ ...options, steady });
    this.#bytes = options.metrics.counter("velas_shard_bytes_total", "Bytes of shards taken and given", ["direction"]);
  }

  async put(source: AsyncIterable<Uint8Array>, order: PutShardOrder, ctx: CallContext): Promise<ShardReceipt> {
    const { store, limits } = this.#options;
    const { id, maxBytes, offset = 0 } = order;
    const leaseMs = this.#lease(order.leaseMs);
    const shard = this.#key(id, ctx);
    if (!(Number.isSafeInteger(maxBytes) && maxBytes >= LEAF_BYTES && maxBytes <= limits.maxShardBytes)) {
      throw new NodeError(
        "invalid_argument",
        `A shard has ${LEAF_BYTES} to ${limits.maxShardBytes} bytes here, not ${maxBytes} (storage.maxShardBytes)`,
        { data: { maxBytes } },
      );
    }
    const known = await store.get(shard).catch((error: unknown) => {
      // One in quarantine may be put anew.
      if (error instanceof NodeError && error.code === "data_corrupt") return undefined;
      throw error;
    });
    if (known !== undefined) return await this.#putAgain(known, source, { order, leaseMs, ctx });

    const { quote } = order;
    const reservation = this.#reserve(ctx, { action: "put", bytes: maxBytes, durationMs: leaseMs, ...by(quote) });
    const { startsAt, expiresAt } = this.#term(leaseMs);
    let upload: ShardUpload | undefined;
    let record: ShardRecord;
    try {
      upload = await store.begin({ ...shard, maxBytes, expiresAt, graceMs: limits.graceMs });
      record = await this.#take(upload, source, { offset, ctx });
    } catch (error) {
      reservation.release();
      await this.#end(upload, error);
      throw error;
    }
    const { sizeBytes } = record;
    this.#grants.note(shard, { refund: () => reservation.refund() });
    await reservation.settle({ writtenBytes: sizeBytes, readBytes: 0, byteMs: BigInt(sizeBytes) * BigInt(leaseMs) });
    return this.#receipt(record, reservation.lease(record, startsAt));
  }

  /** Takes the bytes of a shard, and makes its tree on the way. */
  async #take(
    upload: ShardUpload,
    source: AsyncIterable<Uint8Array>,
    { offset, ctx }: { readonly offset: number; readonly ctx: CallContext },
  ): Promise<ShardRecord> {
    if (offset > upload.offset) {
      throw new NodeError(
        "failed_precondition",
        `The upload goes on at ${offset}, but only ${upload.offset} bytes are here: send it from there`,
        { data: { uploadedBytes: upload.offset } },
      );
    }
    const tree = new MerkleBuilder(({ level, index }, digest) => upload.keepNode(level, index, digest));
    for (let start = 0; start < upload.offset; start += REREAD_BYTES) {
      tree.append(await upload.read({ start, end: Math.min(start + REREAD_BYTES, upload.offset) }));
    }
    let skip = upload.offset - offset;
    for await (const piece of abortable(source, ctx.signal)) {
      const fresh = piece.subarray(Math.min(skip, piece.length));
      skip -= piece.length - fresh.length;
      if (fresh.length === 0) continue;
      tree.append(fresh);
      await upload.write(fresh);
      this.#bytes.add(fresh.length, { direction: "in" });
    }
    if (skip > 0) {
      throw new NodeError("invalid_argument", `The shard ended ${skip} bytes before what is here of it already`);
    }
    return await upload.finish(rootOf(tree.finish()));
  }

  /** A shard that is here: the same bytes extend its lease. */
  async #putAgain(
    known: ShardRecord,
    source: AsyncIterable<Uint8Array>,
    { order, leaseMs, ctx }: { readonly order: PutShardOrder; readonly leaseMs: number; readonly ctx: CallContext },
  ): Promise<ShardReceipt> {
    const taken = new NodeError("already_exists", `Shard ${order.id} is here with other bytes: remove it first`, {
      data: { id: order.id, root: known.root },
    });
    if ((order.offset ?? 0) > 0) throw taken;
    const { quote } = order;
    // Before any bytes are taken, so that the quote holds now or the put is refused now.
    const reservation = this.#reserve(ctx, {
      action: "renew",
      bytes: known.sizeBytes,
      durationMs: leaseMs,
      ...by(quote),
    });
    try {
      await this.#expectSame(known, source, { taken, ctx });
    } catch (error) {
      reservation.release();
      throw error;
    }
    return await this.#extend(known, { term: this.#term(leaseMs), reservation });
  }

  /** Reads the bytes of a shard that is here. Throws `taken` when they are others. */
  async #expectSame(
    known: ShardRecord,
    source: AsyncIterable<Uint8Array>,
    { taken, ctx }: { readonly taken: NodeError; readonly ctx: CallContext },
  ): Promise<void> {
    const tree = new MerkleBuilder();
    let size = 0;
    for await (const piece of abortable(source, ctx.signal)) {
      size += piece.length;
      if (size > known.sizeBytes) throw taken;
      tree.append(piece);
    }
    if (size !== known.sizeBytes || rootOf(tree.finish()) !== known.root) throw taken;
  }

  /** What becomes of an upload that failed: wrong bytes are dropped, others wait to go on. */
  async #end(upload: ShardUpload | undefined, error: unknown): Promise<void> {
    if (upload === undefined) return;
    const wrong = error instanceof NodeError && ["invalid_argument", "data_corrupt"].includes(error.code);
    await (wrong ? upload.abort() : upload.suspend()).catch((failure: unknown) =>
      this.#options.log.warn("An upload did not end cleanly", { error: failure })
    );
  }

  async uploaded(id: ShardId, ctx: CallContext): Promise<number> {
    return await this.#options.store.suspended(this.#key(id, ctx));
  }

  async get(id: ShardId, span: ByteSpan, ctx: CallContext): Promise<ShardBytes> {
    const { store } = this.#options;
    const key = this.#key(id, ctx);
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
    const { sizeBytes } = await this.#recordFor(key, ctx);
    const reservation = this.#reserve(ctx, { action: "get", bytes: end - start, durationMs: 0 });
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
    const key = this.#key(id, ctx);
    if (leaves.length < 1 || leaves.length > MAX_CHALLENGE_LEAVES) {
      throw new NodeError(
        "invalid_argument",
        `A challenge has 1 to ${MAX_CHALLENGE_LEAVES} leaves, not ${leaves.length}`,
      );
    }
    const { sizeBytes } = await this.#recordFor(key, ctx);
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

  async renew(id: ShardId, leaseMs: number, ctx: CallContext, { quote }: QuoteTerms = {}): Promise<ShardReceipt> {
    const key = this.#key(id, ctx);
    const term = this.#term(this.#lease(leaseMs));
    const record = await this.#record(key);
    const durationMs = addedMs(record, term);
    const reservation = this.#reserve(ctx, { action: "renew", bytes: record.sizeBytes, durationMs, ...by(quote) });
    return await this.#extend(record, { term, reservation });
  }

  /** Extends a lease that money is set aside for. */
  async #extend(
    { owner, id }: ShardKey,
    { term, reservation }: { readonly term: Term; readonly reservation: StorageReservation },
  ): Promise<ShardReceipt> {
    const { store } = this.#options;
    let record: ShardRecord;
    let [durationMs, endedAt] = [0, 0];
    try {
      record = await this.#record({ owner, id });
      endedAt = record.expiresAt;
      durationMs = addedMs(record, term);
      if (durationMs > 0) record = await store.renew({ owner, id }, term.expiresAt);
    } catch (error) {
      reservation.release();
      throw error;
    }
    const byteMs = BigInt(record.sizeBytes) * BigInt(durationMs);
    this.#grants.note(record, { endedAt, refund: () => reservation.refund() });
    if (durationMs === 0) reservation.release();
    else await reservation.settle({ writtenBytes: 0, readBytes: 0, byteMs });
    return this.#receipt(record, reservation.lease(record, term.startsAt));
  }

  async refuseLease(id: ShardId, ctx: CallContext): Promise<void> {
    const { store, custody } = this.#options;
    const key = this.#key(id, ctx);
    const refuse = () =>
      this.#grants.refuse(key, async ({ endedAt }) => {
        if (endedAt === undefined) await store.remove(key);
        else if (await store.get(key) !== undefined) await store.renew(key, endedAt);
      });
    // Not while a statement is signed for it.
    await (custody === undefined ? refuse() : custody.apart(key, refuse));
  }

  async remove(
    id: ShardId,
    ctx: CallContext,
    { releases = [] }: { readonly releases?: readonly CustodyRelease[] } = {},
  ): Promise<void> {
    const { store, custody } = this.#options;
    const key = this.#key(id, ctx);
    if (custody === undefined) return void await store.remove(key);
    await custody.apart(key, async () => {
      await custody.release(key, releases);
      await store.remove(key);
    });
  }

  async custody(id: ShardId, lease: ShardLease, ctx: CallContext): Promise<ShardCustody> {
    const { custody } = this.#options;
    const key = this.#key(id, ctx);
    if (custody !== undefined) {
      return await custody.apart(key, async () => {
        const signed = await custody.sign(await this.#record(key), lease);
        this.#grants.accept(key);
        return signed;
      });
    }
    throw new NodeError("unimplemented", "This node puts no stake on shards (payments.custodyPenalty)");
  }

  async refuse(id: ShardId, upTo: number, ctx: CallContext): Promise<void> {
    const key = this.#key(id, ctx);
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
    return await this.#record(this.#key(id, ctx));
  }

  async list({ pageSize, pageToken }: { pageSize: number; pageToken: string }, ctx: CallContext): Promise<ShardPage> {
    if (!(pageSize >= 1 && pageSize <= 1000) || (pageToken !== "" && !SHARD_ID.test(pageToken))) {
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

  /** The time from which leases run: of the two clocks the later, while they end by the earlier. No jump of one ends a lease too soon. */
  #now(): number {
    return Math.max(this.#options.clock.now(), this.#steady.now());
  }

  /** The time of a lease that is granted now: it begins by the wall clock, which the requester can compare with its own. */
  #term(leaseMs: number): Term {
    const startsAt = this.#options.clock.now();
    return { startsAt, expiresAt: this.#now() + leaseMs, leaseMs };
  }

  #key(id: ShardId, { requester }: CallContext): ShardKey {
    if (SHARD_ID.test(id)) return { owner: requester, id };
    throw new NodeError("invalid_argument", "A shard's id is 32 lower-case hex digits");
  }

  #lease(leaseMs: number): number {
    const { maxLeaseMs } = this.#options.limits;
    if (Number.isSafeInteger(leaseMs) && leaseMs >= 1 && leaseMs <= maxLeaseMs) return leaseMs;
    throw new NodeError(
      "invalid_argument",
      `A lease lasts 1 to ${maxLeaseMs} ms here, not ${leaseMs}: renew it before it ends (storage.maxLeaseMs)`,
      { data: { maxLeaseMs } },
    );
  }

  /** Sets aside what an operation may cost; not for a caller that has gone, who thinks by now that nothing will be charged. */
  #reserve(ctx: CallContext, order: Omit<StorageQuote, "requester" | "provider">): StorageReservation {
    ctx.signal.throwIfAborted();
    const { ledger, key: { nodeId } } = this.#options;
    return ledger.reserve({ requester: ctx.requester, provider: nodeId, ...order });
  }

  async #record(key: ShardKey): Promise<ShardRecord> {
    const record = await this.#options.store.get(key);
    if (record !== undefined) return record;
    throw new NodeError("not_found", `There is no shard ${key.id} of yours here`, { data: { id: key.id } });
  }

  /** The record of a shard that the call may read: for a call by leave of the owner, unless that was taken back. */
  async #recordFor(key: ShardKey, { capabilityEndsAt }: CallContext): Promise<ShardRecord> {
    const record = await this.#record(key);
    if (capabilityEndsAt !== undefined && capabilityEndsAt <= (record.refusedUpTo ?? 0)) {
      throw new NodeError(
        "permission_denied",
        `The capability was taken back for shard ${key.id}: ask the file's owner for another`,
        { data: { id: key.id, refusedUpTo: record.refusedUpTo!, reason: "capability_revoked" } },
      );
    }
    return record;
  }

  #tree(key: ShardKey) {
    const { store } = this.#options;
    return {
      nodes: (positions: readonly NodePosition[]) => store.nodes(key, positions),
      leaves: ({ first, end }: LeafRange) => store.read(key, { start: first * LEAF_BYTES, end: end * LEAF_BYTES }),
    };
  }

  #receipt(record: ShardRecord, lease: ShardLease | undefined): ShardReceipt {
    const { nodeId, sign } = this.#options.key;
    const signature = sign(receiptText(nodeId, record));
    return { provider: nodeId, record, signature, ...(lease !== undefined && { lease }) };
  }
}

/** Only the time that is added costs; what lies between the end of a lease and its renewal is the provider's own. */
function addedMs(record: ShardRecord, { expiresAt, leaseMs }: Term): number {
  return Math.max(0, Math.min(expiresAt - record.expiresAt, leaseMs));
}

function by(quote: Hex32 | undefined): { readonly quote?: Hex32 } {
  return quote === undefined ? {} : { quote };
}

function rootOf({ root }: TreeHead): string {
  return Buffer.from(root.buffer, root.byteOffset, root.length).toString("hex");
}
