import type { NodeId, StoredShard } from "../core/mod.ts";
import type { Candidate } from "./provider-pool.ts";

/** A shard, and the provider that is to have it. */
export interface ShardMove {
  readonly index: number;
  readonly provider: Candidate;
}

/** Whether a node has several shards of a file, as after a put that allowed fewer nodes than shards. */
export function hasDoubles({ shards }: { readonly shards: readonly StoredShard[] }): boolean {
  const nodes = shards.flatMap(({ providerId }) => providerId === undefined ? [] : [providerId]);
  return new Set(nodes).size < nodes.length;
}

/**
 * The fewest moves after which no node has two shards more than one of the candidates: each from a node that has most to one that has least, of
 * those the earliest. No move is given where it would make nothing better.
 */
export function spreadMoves(shards: readonly StoredShard[], candidates: readonly Candidate[]): ShardMove[] {
  const held = new Map<NodeId, number[]>(candidates.map(({ nodeId }) => [nodeId, []]));
  for (const [index, { providerId }] of shards.entries()) {
    if (providerId !== undefined) held.set(providerId, [...held.get(providerId) ?? [], index]);
  }
  const count = (nodeId: NodeId) => held.get(nodeId)!.length;
  const moves: ShardMove[] = [];
  for (;;) {
    const provider = candidates.reduce<Candidate | undefined>(
      (least, one) => least === undefined || count(one.nodeId) < count(least.nodeId) ? one : least,
      undefined,
    );
    const most = [...held.keys()].reduce<NodeId | undefined>(
      (a, b) => a === undefined || count(b) > count(a) ? b : a,
      undefined,
    );
    if (provider === undefined || most === undefined || count(most) - count(provider.nodeId) < 2) return moves;
    const index = held.get(most)!.pop()!;
    held.get(provider.nodeId)!.push(index);
    moves.push({ index, provider });
  }
}
