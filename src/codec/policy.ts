import { NodeError } from "../core/mod.ts";

/**
 * How a file is spread: any `dataShards` of its `dataShards + parityShards` shards suffice to read it. One data shard and m parity shards
 * are m + 1 plain copies.
 */
export interface ErasurePolicy {
  readonly dataShards: number;
  readonly parityShards: number;
}

/** The most data shards, and the most parity shards, that a policy may have. */
export const MAX_SHARDS_OF_A_KIND = 32;

/** What a file gets when nobody says otherwise: it survives the loss of any two of six shards. */
export const DEFAULT_POLICY: ErasurePolicy = { dataShards: 4, parityShards: 2 };

/** The policy of `count` plain copies. Throws `invalid_argument` unless 1 ≤ count ≤ 33. */
export function copiesPolicy(count: number): ErasurePolicy {
  return checkPolicy({ dataShards: 1, parityShards: count - 1 });
}

/** How many shards a file has. */
export function shardCount(policy: ErasurePolicy): number {
  return policy.dataShards + policy.parityShards;
}

/** Returns the policy, or throws `invalid_argument` when one of its numbers is out of range. */
export function checkPolicy(policy: ErasurePolicy): ErasurePolicy {
  const { dataShards, parityShards } = policy;
  if (!Number.isInteger(dataShards) || dataShards < 1 || dataShards > MAX_SHARDS_OF_A_KIND) {
    throw new NodeError(
      "invalid_argument",
      `The policy has ${dataShards} data shards; choose 1 to ${MAX_SHARDS_OF_A_KIND}`,
    );
  }
  if (!Number.isInteger(parityShards) || parityShards < 0 || parityShards > MAX_SHARDS_OF_A_KIND) {
    throw new NodeError(
      "invalid_argument",
      `The policy has ${parityShards} parity shards; choose 0 to ${MAX_SHARDS_OF_A_KIND}`,
    );
  }
  return policy;
}
