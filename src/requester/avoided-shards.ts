import type { StoredFile } from "../core/mod.ts";
import { isHealthy } from "./file-state.ts";
import type { ProviderScores } from "./provider-scores.ts";

/** The shards of an own file, by their places, that are at providers that are avoided. */
export function avoidedShards(file: StoredFile, scores: Pick<ProviderScores, "isAvoided">): number[] {
  if (file.phase !== "kept" || file.sharedBy !== undefined) return [];
  return file.shards.flatMap((shard, index) =>
    isHealthy(shard) && shard.providerId !== undefined && scores.isAvoided(shard.providerId) ? [index] : []
  );
}

/** What the owner of a file should know of its shards at providers that are avoided. */
export function avoidedWarnings(file: StoredFile, scores: Pick<ProviderScores, "isAvoided">): string[] {
  const targets = new Set(avoidedShards(file, scores).map((index) => file.shards[index]!.target));
  const next = file.policy.parityShards > 0
    ? "what it has of the file moves when a better provider without a shard of it is there"
    : "a file without parity cannot be moved: put it again elsewhere";
  return [...targets].map((target) => `${target} lost shards or gave wrong bytes: ${next}`);
}
