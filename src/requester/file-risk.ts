import type { FileHealth, StoredFile } from "../core/mod.ts";
import { healthyShards, isHealthy, recordOf, shardHealthOf } from "./file-state.ts";

const YEAR_MS = 365.25 * 86_400_000;

export interface RiskOptions {
  readonly isLatest: boolean;
  /** The chance, 0 to 1, that each shard's provider serves for a year. */
  readonly reliability: (shard: StoredFile["shards"][number]) => number;
  /** How long it takes from a loss to the end of its repair, in milliseconds. */
  readonly repairMs: number;
}

/** How safe a file is, from what is known. */
export function healthOf(file: StoredFile, { isLatest, reliability, repairMs }: RiskOptions): FileHealth {
  return {
    record: recordOf(file, isLatest),
    shards: file.shards.map(shardHealthOf),
    margin: healthyShards(file) - file.policy.dataShards,
    risk: riskOf(file.shards.filter(isHealthy).map(reliability), { needed: file.policy.dataShards, repairMs }),
  };
}

/**
 * The chance to lose a file within a year: that within some span from a loss to its repair more shards go than may. Providers are taken to fail
 * apart from each other, so it is a lower bound where several are one operator's.
 */
export function riskOf(
  reliabilities: readonly number[],
  { needed, repairMs }: { readonly needed: number; readonly repairMs: number },
): number {
  if (reliabilities.length < needed) return 1;
  const spans = Math.max(1, YEAR_MS / repairMs);
  // At place i the chance that i shards are left after one span.
  let left = [1];
  for (const reliability of reliabilities) {
    const stays = Math.max(0, Math.min(1, reliability)) ** (1 / spans);
    const next = Array.from({ length: left.length + 1 }, () => 0);
    left.forEach((chance, count) => {
      next[count]! += chance * (1 - stays);
      next[count + 1]! += chance * stays;
    });
    left = next;
  }
  const lost = left.slice(0, needed).reduce((sum, chance) => sum + chance, 0);
  return Math.min(1, -Math.expm1(spans * Math.log1p(-Math.min(lost, 1 - Number.EPSILON))));
}
