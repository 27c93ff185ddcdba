import { type Config, dataPaths } from "../config/mod.ts";
import { type Log, type Metrics, newUlid, type NodeKey, SteadyClock, systemClock } from "../core/mod.ts";
import type { CustodyKeeper } from "../payments/mod.ts";
import { createShardProvider, paceShards, type ShardProvider, type StorageLedger } from "../provider/mod.ts";
import type { ShardKeeping } from "../rest/mod.ts";
import type { Bandwidths } from "./bandwidths.ts";
import { openShardStore } from "../storage/mod.ts";

export interface ShardPartOptions {
  readonly config: Config;
  readonly key: NodeKey;
  readonly ledger: StorageLedger;
  /** Puts stake on shards, when the node is to. */
  readonly custody: CustodyKeeper | undefined;
  readonly bandwidths: Bandwidths;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** What a node keeps for others. */
export interface ShardPart {
  readonly provider: ShardProvider;
  /** For the provider's operator. */
  readonly keeping: ShardKeeping;
  close(): Promise<void>;
}

/** Opens the shard database and serves it; nothing when the configuration leaves no room for shards (`storage.quotaBytes` 0). */
export async function openShardPart(
  { config, key, ledger, custody, bandwidths, log, metrics }: ShardPartOptions,
): Promise<ShardPart | undefined> {
  const {
    quotaBytes,
    minFreeBytes,
    maxShardBytes,
    maxLeaseMs,
    graceMs,
    uploadTtlMs,
    expiryEveryMs,
    compactBytes,
    sync,
  } = config.storage;
  if (quotaBytes === 0) return undefined;
  const clock = systemClock;
  const path = dataPaths(config.node.dataDir).shards;
  const store = await openShardStore(path, { quotaBytes, minFreeBytes, compactBytes, sync, clock, log, metrics });
  // It runs on from where it was, so that a node that was off gives owners time to renew.
  const keptMs = await store.shards.keptTime();
  const steady = new SteadyClock({ clock, ...(keptMs !== undefined && { startMs: keptMs }) });
  const limits = { maxShardBytes, maxLeaseMs, graceMs, uploadTtlMs, expiryEveryMs };
  const provider = createShardProvider({
    store: store.shards,
    key,
    ledger,
    ...(custody !== undefined && { custody }),
    limits,
    clock,
    steady,
    keepTime: (nowMs) => store.shards.keepTime(nowMs),
    log,
    metrics,
  });
  const never = new AbortController().signal;
  custody?.proveWith(async ({ owner, id }, leaf) => {
    const call = { requester: owner, signal: never, requestId: newUlid(clock.now()) };
    return (await provider.prove(id, [leaf], call))[0]!;
  });
  return {
    provider: paceShards(provider, bandwidths),
    keeping: {
      usage: () => ({ ...store.shards.stats(), freeBytes: store.shards.freeBytes() }),
      list: (after, limit) => store.shards.listAll(after, limit),
    },
    async close() {
      await provider.close();
      await store.close();
    },
  };
}
