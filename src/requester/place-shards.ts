import { NodeError } from "../core/mod.ts";
import type { Candidate, ProviderPool } from "./provider-pool.ts";

export interface PlaceOptions {
  /** How many shards there are. */
  readonly count: number;
  /** The providers to use, as `host:port`; by default those that the pool knows. */
  readonly targets: readonly string[] | undefined;
  readonly allowFewer: boolean;
  readonly signal: AbortSignal;
}

/** Which provider gets which shard. */
export interface Placement {
  /** At each shard's place its provider. */
  readonly providers: readonly Candidate[];
  readonly warnings: readonly string[];
}

/**
 * Chooses a provider for each shard, each another node. With one target all shards go there, and the placement warns. Throws `shards_missing` when
 * fewer nodes answer than there are shards, unless fewer are allowed, and then when none does.
 */
export async function placeShards(pool: ProviderPool, options: PlaceOptions): Promise<Placement> {
  const { count, targets, allowFewer, signal } = options;
  const { candidates, failed } = await pool.survey(targets, signal);
  const single = targets?.length === 1;
  if (candidates.length === 0 || (candidates.length < count && !allowFewer && !single)) {
    throw tooFew({ count, found: candidates.length, failed, chosen: targets !== undefined });
  }
  const providers = Array.from({ length: count }, (_, shard) => candidates[shard % candidates.length]!);
  return { providers, warnings: warningsOf(providers) };
}

/** How many of these places are in each region; those of unknown region count nowhere. */
export class RegionCounts {
  readonly #counts = new Map<string, number>();

  constructor(places: Iterable<{ readonly region?: string }>) {
    for (const place of places) this.add(place);
  }

  add({ region }: { readonly region?: string }): void {
    if (region !== undefined) this.#counts.set(region, (this.#counts.get(region) ?? 0) + 1);
  }

  /** How many are where this place is. */
  near({ region }: { readonly region?: string }): number {
    return region === undefined ? 0 : this.#counts.get(region) ?? 0;
  }
}

/** What the owner of shards at these providers should know. */
export function warningsOf(providers: readonly { readonly target: string; readonly nodeId: string }[]): string[] {
  const nodes = new Set(providers.map(({ nodeId }) => nodeId));
  if (nodes.size === providers.length) return [];
  if (nodes.size > 1) return [`The ${providers.length} shards are at only ${nodes.size} providers`];
  return [`All shards are at one provider, ${providers[0]!.target}: when it goes, the file goes`];
}

function tooFew(
  { count, found, failed, chosen }: { count: number; found: number; failed: readonly string[]; chosen: boolean },
): NodeError {
  const missing = count - found;
  const silent = failed.length === 0 ? "" : ` (${failed.slice(0, 5).join("; ")}${failed.length > 5 ? "; …" : ""})`;
  return new NodeError(
    "shards_missing",
    `${count} shards need ${count} providers and ${found} answer${found === 1 ? "s" : ""}: ${missing} ${
      missing === 1 ? "is" : "are"
    } missing${silent}. Name more ${
      chosen ? "providers" : "in requester.providers"
    }, choose a smaller policy, or allow fewer`,
    { data: { needed: count, found, missing } },
  );
}
