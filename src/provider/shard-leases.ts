import {
  type CallContext,
  type Clock,
  NodeError,
  type NodeKey,
  type QuoteTerms,
  receiptText,
  type ShardKey,
  type ShardLease,
  type ShardReceipt,
  type ShardRecord,
} from "../core/mod.ts";
import { LeaseGrants } from "./lease-grants.ts";
import { reserveStorage } from "./reserve-storage.ts";
import { recordOf } from "./shard-access.ts";
import type { ShardStore, StorageLedger, StorageReservation } from "./shard-ports.ts";

/** From when to when a lease is to last. */
interface LeaseTerm {
  readonly startsAt: number;
  readonly expiresAt: number;
  readonly leaseMs: number;
}

export interface ShardLeasesOptions {
  readonly store: ShardStore;
  readonly key: NodeKey;
  readonly ledger: StorageLedger;
  readonly limits: { readonly maxLeaseMs: number };
  readonly clock: Clock;
  readonly steady: Clock;
}

/** Grants leases of shards for what was set aside, extends them, and takes back the newest one that its owner refuses. */
export class ShardLeases {
  readonly #options: ShardLeasesOptions;
  readonly #grants: LeaseGrants;

  constructor(options: ShardLeasesOptions) {
    this.#options = options;
    this.#grants = new LeaseGrants(options.steady);
  }

  /** The length of a lease as it was asked for. Throws `invalid_argument` when it is out of bounds. */
  checked(leaseMs: number): number {
    const { maxLeaseMs } = this.#options.limits;
    if (Number.isSafeInteger(leaseMs) && leaseMs >= 1 && leaseMs <= maxLeaseMs) return leaseMs;
    throw new NodeError(
      "invalid_argument",
      `A lease lasts 1 to ${maxLeaseMs} ms here, not ${leaseMs}: renew it before it ends (storage.maxLeaseMs)`,
      { data: { maxLeaseMs } },
    );
  }

  /** The time of a lease that is granted now: it begins by the wall clock, which the requester can compare with its own. */
  term(leaseMs: number): LeaseTerm {
    const startsAt = this.#options.clock.now();
    return { startsAt, expiresAt: this.#now() + leaseMs, leaseMs };
  }

  /** Charges a shard that was just stored, with its lease. */
  async grant(
    record: ShardRecord,
    { term: { startsAt, leaseMs }, reservation }: {
      readonly term: LeaseTerm;
      readonly reservation: StorageReservation;
    },
  ): Promise<ShardReceipt> {
    const { sizeBytes } = record;
    this.#grants.note(record, { refund: () => reservation.refund() });
    await reservation.settle({ writtenBytes: sizeBytes, readBytes: 0, byteMs: BigInt(sizeBytes) * BigInt(leaseMs) });
    return this.#receipt(record, reservation.lease(record, startsAt));
  }

  /** Extends a lease, for the time that this adds. */
  async renew(
    key: ShardKey,
    leaseMs: number,
    { ctx, quote }: QuoteTerms & { readonly ctx: CallContext },
  ): Promise<ShardReceipt> {
    const term = this.term(this.checked(leaseMs));
    const record = await recordOf(this.#options.store, key);
    const durationMs = addedMs(record, term);
    const reservation = reserveStorage(this.#options, ctx, {
      action: "renew",
      bytes: record.sizeBytes,
      durationMs,
      quote,
    });
    return await this.extend(record, { term, reservation });
  }

  /** Extends a lease that money is set aside for. */
  async extend(
    { owner, id }: ShardKey,
    { term, reservation }: { readonly term: LeaseTerm; readonly reservation: StorageReservation },
  ): Promise<ShardReceipt> {
    const { store } = this.#options;
    let record: ShardRecord;
    let [durationMs, endedAt] = [0, 0];
    try {
      record = await recordOf(store, { owner, id });
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

  /** The owner has taken the newest lease of a shard for good. */
  accept(key: ShardKey): void {
    this.#grants.accept(key);
  }

  /** Takes the newest lease of a shard back, and with the first one the shard. Throws what {@link LeaseGrants.refuse} does. */
  async refuse(key: ShardKey): Promise<void> {
    const { store } = this.#options;
    await this.#grants.refuse(key, async ({ endedAt }) => {
      if (endedAt === undefined) await store.remove(key);
      else if (await store.get(key) !== undefined) await store.renew(key, endedAt);
    });
  }

  /** The time from which leases run: of the two clocks the later, while they end by the earlier. No jump of one ends a lease too soon. */
  #now(): number {
    return Math.max(this.#options.clock.now(), this.#options.steady.now());
  }

  #receipt(record: ShardRecord, lease: ShardLease | undefined): ShardReceipt {
    const { nodeId, sign } = this.#options.key;
    const signature = sign(receiptText(nodeId, record));
    return { provider: nodeId, record, signature, ...(lease !== undefined && { lease }) };
  }
}

/** Only the time that is added costs; what lies between the end of a lease and its renewal is the provider's own. */
function addedMs(record: ShardRecord, { expiresAt, leaseMs }: LeaseTerm): number {
  return Math.max(0, Math.min(expiresAt - record.expiresAt, leaseMs));
}
