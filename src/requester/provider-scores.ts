import type { Clock, NodeId, ProviderScore } from "../core/mod.ts";
import type { FileStore } from "./file-ports.ts";

export interface ProviderScoresOptions {
  readonly store: FileStore;
  readonly clock: Clock;
  readonly halfLifeMs: number;
  /** Hears what is learned, to weigh it for other purposes. */
  readonly onOutcome?: (place: ProviderPlace, outcome: { readonly weight: number; readonly error?: string }) => void;
}

/** A provider, where it was met. */
export interface ProviderPlace {
  readonly nodeId: NodeId;
  /** `host:port`. */
  readonly target: string;
}

/** How long a provider that just failed is asked last. */
const REST_MS = 30_000;
/** So many faults make a provider one that is avoided, or more where it did much right: one for so many successes. */
const AVOIDED_FROM = 3;
const GOOD_PER_FAULT = 200;
/** By so much those faults may have faded until the last of them. */
const FADED = 0.5;
/** It stays avoided until less than this part of that is left. */
const AVOIDED_UNTIL = 1 / 3;

/** What this node thinks of each provider, from how it served and what it proved. Old news counts ever less. */
export class ProviderScores {
  readonly #options: ProviderScoresOptions;
  readonly #scores = new Map<string, ProviderScore>();
  readonly #failedAt = new Map<string, number>();
  #loading: Promise<void> | undefined;
  #isLoaded = false;

  constructor(options: ProviderScoresOptions) {
    this.#options = options;
  }

  /** Reads what was remembered, once, and adds it to what was noted before that. Throws what the store throws; it is tried again then. */
  load(): Promise<void> {
    return this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
  }

  /**
   * The chance that the provider does the next thing right: (good + 1) ÷ (good + bad + 2), the rule of succession, so that one of whom nothing
   * is known has a half.
   */
  of(provider: NodeId): number {
    const { good, bad } = this.#now(provider);
    return (good + 1) / (good + bad + 2);
  }

  /** Whether it failed a moment ago, so that others should be asked first. */
  isResting(provider: NodeId): boolean {
    const failedAt = this.#failedAt.get(keyOf(provider));
    // Wall clocks jump; a failure in the future is none of this moment.
    const ago = failedAt === undefined ? Infinity : this.#options.clock.now() - failedAt;
    return ago >= 0 && ago < REST_MS;
  }

  /**
   * Whether it lost so many shards, or gave so many wrong ones, that others leave it and it gets none as long as there is another. Being out of reach,
   * however long, does not count. It begins and ends at different marks, so that a provider does not go back and forth.
   */
  isAvoided(provider: NodeId): boolean {
    return this.#now(provider).avoided === true;
  }

  /** Those that are avoided, of all that are known. */
  avoided(): NodeId[] {
    return [...this.#scores.values()]
      .filter(({ provider, avoided }) => avoided === true && this.isAvoided(provider))
      .map(({ provider }) => provider);
  }

  /** Something went well; `weight` tells an audit from a whole upload. */
  good({ nodeId: provider, target }: ProviderPlace, weight = 1): void {
    this.#options.onOutcome?.({ nodeId: provider, target }, { weight });
    this.#failedAt.delete(keyOf(provider));
    const score = this.#now(provider);
    this.#keep({ ...score, good: score.good + weight });
  }

  /** Something failed. Lies weigh more than silence. */
  bad({ nodeId: provider, target }: ProviderPlace, lastError: string, weight = 1): void {
    this.#options.onOutcome?.({ nodeId: provider, target }, { weight, error: lastError });
    this.#failedAt.set(keyOf(provider), this.#options.clock.now());
    const score = this.#now(provider);
    this.#keep({ ...score, bad: score.bad + weight, lastError: lastError.slice(0, 500) });
  }

  /**
   * It is proven that it has lost a shard that it acknowledged, or gave other bytes for it. To be told once for each shard, beside {@link bad}. Returns
   * whether it is avoided from now on.
   */
  fault({ nodeId: provider }: ProviderPlace): boolean {
    const score = this.#now(provider);
    const faults = (score.faults ?? 0) + 1;
    const begins = score.avoided !== true && isTooMany(faults, score);
    this.#keep({ ...score, faults, ...(begins && { avoided: true as const }) });
    return begins;
  }

  async #load(): Promise<void> {
    const scores = await this.#options.store.scores();
    const early = [...this.#scores.values()].map(({ provider }) => this.#now(provider));
    this.#scores.clear();
    for (const score of scores) this.#scores.set(keyOf(score.provider), score);
    this.#isLoaded = true;
    for (const score of early) this.#keep(sumOf(this.#now(score.provider), score));
  }

  #now(provider: NodeId): ProviderScore {
    const at = this.#options.clock.now();
    const score = this.#scores.get(keyOf(provider));
    if (score === undefined) return { provider, good: 0, bad: 0, at };
    const left = 0.5 ** (Math.max(0, at - score.at) / this.#options.halfLifeMs);
    const { faults: before, avoided, ...rest } = score;
    const aged = { ...rest, good: score.good * left, bad: score.bad * left, at };
    if (before === undefined) return aged;
    const faults = before * left;
    const stays = avoided === true && faults >= AVOIDED_UNTIL * avoidedFrom(aged);
    return { ...aged, faults, ...(stays && { avoided }) };
  }

  #keep(score: ProviderScore): void {
    this.#scores.set(keyOf(score.provider), score);
    // What is remembered must not be written over by what little is known without it.
    if (!this.#isLoaded) return void this.load().catch(() => {});
    // Losing the last of these to a crash costs nothing that the next audit does not tell again.
    this.#options.store.write([{ type: "score", score }], { durable: false }).catch(() => {});
  }
}

/** What two scores of a provider, of the same moment, say together. */
function sumOf(before: ProviderScore, after: ProviderScore): ProviderScore {
  const faults = (before.faults ?? 0) + (after.faults ?? 0);
  const sum = { ...before, ...after, good: before.good + after.good, bad: before.bad + after.bad };
  if (faults === 0) return sum;
  const avoided = before.avoided === true || after.avoided === true || isTooMany(faults, sum);
  return { ...sum, faults, ...(avoided && { avoided }) };
}

/** Whether a provider of so many faults is to be avoided from now on. */
function isTooMany(faults: number, score: Pick<ProviderScore, "good">): boolean {
  return faults >= avoidedFrom(score) - FADED;
}

function avoidedFrom({ good }: Pick<ProviderScore, "good">): number {
  return Math.max(AVOIDED_FROM, good / GOOD_PER_FAULT);
}

function keyOf(provider: NodeId): string {
  return provider.toLowerCase();
}
