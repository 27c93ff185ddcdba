import { type Clock, type Hex32, type Log, type Metrics, toNodeError } from "../core/mod.ts";
import type { AuditCalls } from "./audit-calls.ts";
import type { CustodyBook, Statement } from "./custody-book.ts";
import type { CustodyHolder } from "./custody-holder.ts";

export interface CustodyChallengerOptions {
  readonly holder: CustodyHolder;
  readonly book: CustodyBook;
  readonly calls: AuditCalls;
  readonly chain: { healthy(): boolean };
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** How often it is looked for what to do, in milliseconds. */
  readonly everyMs: number;
}

/** What happened with a challenge. */
type Result = "opened" | "answered" | "slashed" | "failed" | "too_dear";

/** For how long a provider that answered a challenge is not challenged by itself again: each answer is paid by who asked. */
const REST_MS = 30 * 86_400_000;

/**
 * Challenges by itself the providers that failed to prove shards which they have put stake on, follows what comes of it, and has them slashed when
 * they do not answer.
 *
 * A provider that gives no proof off the chain and answers on it takes the challenger's bond, so that it could make a business of it. Therefore a
 * provider is challenged for one shard first; only once it was slashed for that, for the others too; and one that answered is left alone for
 * 30 days. A challenge is opened only if all that it can cost is no more than what a slash brings.
 */
export class CustodyChallenger {
  readonly #options: CustodyChallengerOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #results;
  /** Statements that were found too dear to challenge, which is logged once. */
  readonly #tooDear = new Set<Hex32>();
  #looking: Promise<void> | undefined;

  constructor(options: CustodyChallengerOptions) {
    this.#options = options;
    this.#results = options.metrics.counter(
      "velas_custody_challenges_total",
      "Challenges of shards that were lost, which this node has opened by itself, by what came of them.",
      ["result"],
    );
    this.#timer = setInterval(() => void this.look(), options.everyMs);
    this.#timer.unref();
  }

  /** Does what is due now. */
  look(): Promise<void> {
    return this.#looking ??= this.#look().catch((error) =>
      this.#options.log.debug("Custody was not looked after", { error: toNodeError(error).message })
    ).finally(() => this.#looking = undefined);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { book, chain } = this.#options;
    await book.prune();
    if (!chain.healthy()) return;
    const byProvider = new Map<string, Hex32[]>();
    for (const [id, { custody: { provider } }] of book.lost()) {
      byProvider.set(provider.toLowerCase(), [...byProvider.get(provider.toLowerCase()) ?? [], id]);
    }
    for (const ids of byProvider.values()) {
      for (const id of ids) await this.#tried(id, () => this.#follow(id));
      for (const id of this.#due(ids)) await this.#tried(id, () => this.#challenge(id));
    }
  }

  /** Takes up a challenge, also one that somebody else has opened, and ends it when its time is over. */
  async #follow(id: Hex32): Promise<void> {
    const { holder, calls, book } = this.#options;
    const { challenge } = book.get(id)!;
    if (challenge !== undefined && challenge.state !== "open") return;
    const { status, deadline } = await calls.challengeOf(id);
    if (status === "challenged") {
      if (challenge?.deadline !== deadline) await holder.note(id, { state: "open", deadline });
      if (await calls.now() <= deadline) return;
      await holder.slash(id);
      this.#tell(id, "slashed");
    } else if (status === "done") {
      await holder.note(id, { state: "done" });
    } else if (challenge !== undefined) {
      await holder.note(id, { state: "answered" });
      this.#tell(id, "answered");
    }
  }

  /** Which of the statements of one provider are to be challenged now. */
  #due(ids: readonly Hex32[]): readonly Hex32[] {
    const { book, clock } = this.#options;
    const now = clock.now();
    const statements = ids.map((id): [Hex32, Statement] => [id, book.get(id)!]);
    const has = (state: string) => statements.some(([, { challenge }]) => challenge?.state === state);
    const answered = statements.some(([, { challenge }]) =>
      challenge?.state === "answered" && now - challenge.at < REST_MS
    );
    if (answered) return [];
    const fresh = statements
      .filter(([, { challenge, custody }]) => challenge === undefined && custody.expiresAt * 1000 > now)
      .sort(([, a], [, b]) => a.custody.expiresAt - b.custody.expiresAt)
      .map(([id]) => id);
    if (has("slashed")) return fresh;
    return has("open") ? [] : fresh.slice(0, 1);
  }

  async #challenge(id: Hex32): Promise<void> {
    const { calls, holder, book, log } = this.#options;
    const { custody, shard } = book.get(id)!;
    const { bonded } = await calls.stakeOf(custody.provider);
    // Half of a slash is the requester's.
    const brings = (bonded < custody.penalty ? bonded : custody.penalty) / 2n;
    const costs = await calls.challengeCost();
    if (costs > brings) {
      if (this.#tooDear.has(id)) return;
      this.#tooDear.add(id);
      this.#results.add(1, { result: "too_dear" });
      log.warn("A provider that lost a shard is not challenged: it may cost more than it brings", {
        provider: custody.provider,
        shard: shard.id,
        custody: id,
        costs: String(costs),
        brings: String(brings),
      });
      return;
    }
    await holder.challenge(id);
    this.#tell(id, "opened");
  }

  async #tried(id: Hex32, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      const error = toNodeError(cause);
      if (error.code === "shutting_down") throw error;
      this.#results.add(1, { result: "failed" });
      this.#options.log.warn("A challenge did not go on; it is tried again", { custody: id, error: error.message });
    }
  }

  #tell(id: Hex32, result: Exclude<Result, "failed" | "too_dear">): void {
    const { book, log } = this.#options;
    const { custody: { provider }, shard, fileId } = book.get(id)!;
    this.#results.add(1, { result });
    const told = {
      opened: "A provider that failed to prove a shard is challenged on the chain",
      answered: "A provider has answered a challenge on the chain, and has the bond",
      slashed: "A provider has not answered a challenge, and lost stake",
    }[result];
    log.warn(told, { provider, shard: shard.id, custody: id, ...(fileId !== undefined && { fileId }) });
  }
}
