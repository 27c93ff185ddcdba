import { type Lease, leaseDigest, type Settlement } from "./deal.ts";
import type { ShardLease, ShardRecord, StoredLease } from "./shard.ts";
import type { Custody } from "./custody.ts";
import type { NodeId } from "./ids.ts";
import { fromHex, toHex } from "./typed-data.ts";
import type { Wei } from "./wei.ts";

/** Why the receipt of a provider that is paid was refused: the reason in the error's data. */
export const LEASE_REFUSED = "lease_refused";

/** The lease of a shard that both sides reckon from its record. A shard's id has 16 bytes, and 16 zeros behind them here. */
export function leaseOf(
  { id, root, sizeBytes, expiresAt }: ShardRecord,
  { quote, startsAt }: Pick<ShardLease, "quote" | "startsAt">,
): Lease {
  return { quote, shard: `0x${id.padEnd(64, "0")}`, root: `0x${root}`, sizeBytes, startsAt, expiresAt };
}

/** What the provider signs for a shard's lease. */
export function shardLeaseDigest(
  at: Settlement,
  record: ShardRecord,
  lease: Pick<ShardLease, "quote" | "startsAt">,
): Uint8Array {
  return leaseDigest(at, leaseOf(record, lease));
}

/** A lease that was found good, as it is stored. */
export function storedLease({ quote, startsAt, signature }: ShardLease, { expiresAt }: ShardRecord): StoredLease {
  return { v: 1, quote, startsAt, expiresAt, signature: toHex(signature) };
}

/** A lease as it was signed. */
export function shardLeaseOf({ quote, startsAt, signature }: StoredLease): ShardLease {
  return { quote, startsAt, signature: fromHex(signature) };
}

const LEAF_BYTES = 1024;

/** The custody statement that goes with a lease; it ends with the last whole second of it. */
export function custodyOf(
  record: ShardRecord,
  { provider, penalty, at, lease }: {
    readonly provider: NodeId;
    readonly penalty: Wei;
    readonly at: Settlement;
    readonly lease: Pick<ShardLease, "quote" | "startsAt">;
  },
): Custody {
  return {
    provider,
    requester: record.owner as NodeId,
    root: `0x${record.root}`,
    leafCount: record.sizeBytes / LEAF_BYTES,
    expiresAt: Math.floor(record.expiresAt / 1000),
    penalty,
    lease: toHex(shardLeaseDigest(at, record, lease)),
  };
}
