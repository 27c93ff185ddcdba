import type { Clock, Log } from "../core/mod.ts";
import type { ShardStore } from "./shard-ports.ts";

/** How often it looks when nobody says otherwise. */
const EVERY_MS = 60_000;
const BATCH = 1000;

export interface ShardUpkeepOptions {
  readonly store: ShardStore;
  readonly clock: Clock;
  readonly steady: Clock;
  readonly keepTime?: (nowMs: number) => Promise<void>;
  readonly log: Log;
  readonly limits: { readonly uploadTtlMs: number; readonly expiryEveryMs?: number };
}

/** Drops what nobody renews, after its lease and grace, and uploads that nobody goes on with. */
export class ShardUpkeep {
  readonly #options: ShardUpkeepOptions;
  readonly #timer: NodeJS.Timeout;
  #round: Promise<void>;
  #closed = false;

  constructor(options: ShardUpkeepOptions) {
    this.#options = options;
    this.#round = this.#run();
    this.#timer = setInterval(() => void this.look(), options.limits.expiryEveryMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /** Looks now, after what is under way; resolves when it has. */
  look(): Promise<void> {
    return this.#round = this.#round.then(() => this.#run());
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#round;
  }

  async #run(): Promise<void> {
    const { store, clock, steady, keepTime, log, limits } = this.#options;
    try {
      // By the earlier of the clocks, so that no jump of one ends a lease.
      const now = Math.min(clock.now(), steady.now());
      await keepTime?.(steady.now());
      let dropped = 0;
      while (!this.#closed) {
        const expired = await store.expired(now, BATCH);
        for (const record of expired) {
          if (this.#closed) return;
          if (await store.remove(record)) dropped++;
        }
        if (expired.length < BATCH) break;
      }
      const uploads = this.#closed ? 0 : await store.dropUploadsBefore(now - limits.uploadTtlMs);
      if (dropped + uploads > 0) log.info("Dropped shards whose lease is over", { shards: dropped, uploads });
    } catch (error) {
      log.error("Leases of shards could not be looked after", { error });
    }
  }
}
