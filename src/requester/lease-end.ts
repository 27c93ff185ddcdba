import { type Clock, type ShardReceipt, storedLease, type StoredShard } from "../core/mod.ts";

interface LeaseClocks {
  readonly clock: Clock;
  readonly steady: Clock;
  /** What was asked for. */
  readonly leaseMs: number;
}

/** What is noted of a shard that a provider has just signed for: when its lease ends, and the lease where it is paid. */
export function leased(
  { record, lease }: ShardReceipt,
  clocks: LeaseClocks,
): Pick<StoredShard, "leaseExpiresAt" | "lease"> {
  return {
    leaseExpiresAt: leaseEnd(record.expiresAt, clocks),
    ...(lease !== undefined && { lease: storedLease(lease, record) }),
  };
}

/**
 * When a lease that was granted just now ends, by this node's steady clock. The provider tells its end by a clock of its own: of this node's two the
 * one by which the lease lasts longer is believed, up to what was asked for, since a provider grants that or nothing.
 */
function leaseEnd(expiresAt: number, { clock, steady, leaseMs }: LeaseClocks): number {
  const now = steady.now();
  const left = Math.max(expiresAt - clock.now(), expiresAt - now, 0);
  return now + Math.min(left, leaseMs);
}
