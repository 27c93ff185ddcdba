import { newSecretKey, nodeKeyOf, noMetrics, silentLog, systemClock } from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createShardProvider } from "../../src/provider/mod.ts";
import { openMemoryShardStore } from "../../src/storage/mod.ts";
import { shardServiceContract } from "../contract-suites/shard-service.ts";

const QUOTA_BYTES = 64 << 20;
const LIMITS = { maxShardBytes: 2 ** 40, maxLeaseMs: 86_400_000, graceMs: 3_600_000, uploadTtlMs: 3_600_000 };

shardServiceContract("the provider", async (t) => {
  const { shards: store, close } = await openMemoryShardStore({ quotaBytes: QUOTA_BYTES });
  t.after(close);
  const shards = createShardProvider({
    store,
    key: nodeKeyOf(newSecretKey()),
    ledger: freeLedger,
    limits: LIMITS,
    clock: systemClock,
    log: silentLog,
    metrics: noMetrics,
  });
  t.after(() => shards.close());
  const { nodeId: owner } = nodeKeyOf(newSecretKey());
  const { nodeId: other } = nodeKeyOf(newSecretKey());
  const never = new AbortController().signal;
  return {
    shards,
    ctx: (signal = never) => ({ requester: owner, signal, requestId: "r1" }),
    other: { shards, ctx: { requester: other, signal: never, requestId: "r2" } },
    quotaBytes: QUOTA_BYTES,
  };
});
