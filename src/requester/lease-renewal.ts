import { inRequest, newUlid, type StoredFile, type StoredShard, toNodeError } from "../core/mod.ts";
import { openShards } from "./open-file.ts";
import { DuePool } from "./due-pool.ts";
import type { FileAudit } from "./file-audit.ts";
import type { FileKit } from "./file-kit.ts";
import { isHealthy, withShard } from "./file-state.ts";
import { leaseEnd } from "./lease-end.ts";
import { shardIdOf } from "./shard-ids.ts";
import { withTimeout } from "./with-timeout.ts";

export interface LeaseRenewalOptions extends FileKit {
  /** Has shards proven before their leases are paid. Its bandwidth is its own, so that audits and renewals do not wait for each other. */
  readonly audit: FileAudit;
}

/** How often at most, and at least when leases are shorter, it is looked for leases to renew. */
const EVERY_MS = 10_000;
/** How long after a lease could not be renewed it is tried again, at most. */
const RETRY_MS = 600_000;

/** Renews leases, those that end first before the others. Only a shard that was proven just now is renewed: no proof, no money. */
export class LeaseRenewal {
  readonly #options: LeaseRenewalOptions;
  readonly #pool: DuePool;

  constructor(options: LeaseRenewalOptions) {
    const { store, clock, steady, settings, busy, closing, log } = options;
    this.#options = options;
    this.#pool = new DuePool({
      due: (limit) => store.renewals(steady.now(), limit),
      work: (file) => inRequest(newUlid(clock.now()), () => this.#renew(file)),
      failed: (file) => this.#later(file.id, retryMs(settings.leaseMs)),
      busy,
      parallel: settings.parallel,
      everyMs: Math.min(EVERY_MS, settings.leaseMs / 10),
      what: "leases",
      closing,
      log,
    });
  }

  start(): void {
    this.#pool.start();
  }

  wake(): void {
    this.#pool.wake();
  }

  settle(): Promise<void> {
    return this.#pool.settle();
  }

  async stop(): Promise<void> {
    await this.#pool.stop();
  }

  async #renew(file: StoredFile): Promise<void> {
    const { audit, settings, closing, book } = this.#options;
    const margin = settings.leaseMs * settings.renewBelow;
    const due = file.shards.flatMap((shard, index) => isHealthy(shard) && this.#leftMs(shard) <= margin ? [index] : []);
    if (due.length > 0) {
      const audited = await audit.audit(file, closing, due);
      if (audited?.phase === "kept") await this.#renewShards(audited, due);
    }
    const after = await book.get(file.id);
    if (after === undefined) return;
    const left = after.shards.filter(isHealthy).map((shard) => this.#leftMs(shard));
    // With nothing to renew, what comes next is a repair, which has it looked at again.
    const next = left.length === 0 ? settings.leaseMs : Math.min(...left) - margin;
    await this.#later(file.id, Math.max(next, retryMs(settings.leaseMs)));
  }

  /** How long a lease still lasts. */
  #leftMs({ leaseExpiresAt = 0 }: StoredShard): number {
    return leaseExpiresAt - this.#options.steady.now();
  }

  async #renewShards(file: StoredFile, due: readonly number[]): Promise<void> {
    const { settings, book, clock, steady, closing, pool, log } = this.#options;
    const { header } = await openShards(this.#options, file);
    await Promise.all(due.map(async (index) => {
      const shard = file.shards[index]!;
      if (shard.state !== "proven") return;
      try {
        const limit = { timeoutMs: settings.stallMs, what: `A renewal at ${shard.target}` };
        const { record } = await withTimeout(
          closing,
          limit,
          (signal) =>
            pool.at(shard.target, shard.providerId).renew(
              shardIdOf(header, index),
              settings.leaseMs,
              pool.call(signal),
            ),
        );
        const leaseExpiresAt = leaseEnd(record.expiresAt, { clock, steady, leaseMs: settings.leaseMs });
        await book.update(file.id, (now) => {
          const old = now.shards[index]!;
          return old.target === shard.target ? withShard(now, index, { ...old, leaseExpiresAt }) : undefined;
        }, { durable: false });
      } catch (error) {
        closing.throwIfAborted();
        log.warn("A lease could not be renewed; it is tried again", {
          fileId: file.id,
          provider: shard.target,
          error: toNodeError(error).message,
        });
      }
    }));
  }

  async #later(id: string, delayMs: number): Promise<void> {
    const { book, steady } = this.#options;
    await book.update(id, (file) => ({ ...file, renewAt: steady.now() + Math.floor(delayMs) }), { durable: false });
  }
}

function retryMs(leaseMs: number): number {
  return Math.min(RETRY_MS, leaseMs / 20);
}
