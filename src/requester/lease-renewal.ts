import {
  inRequest,
  LEASE_REFUSED,
  newUlid,
  NodeError,
  type NodeId,
  shardLeaseOf,
  type ShardRecord,
  type StoredFile,
  type StoredShard,
  toNodeError,
} from "../core/mod.ts";
import { openShards } from "./open-file.ts";
import { DuePool } from "./due-pool.ts";
import type { FileAudit } from "./file-audit.ts";
import type { FileKit } from "./file-kit.ts";
import type { CustodyHolder } from "./file-ports.ts";
import { isHealthy, withShard } from "./file-state.ts";
import { hex } from "./hex.ts";
import { leased } from "./lease-end.ts";
import { isLeaseRefused } from "./paid-shards.ts";
import { shardIdOf } from "./shard-ids.ts";
import { withTimeout } from "./with-timeout.ts";

export interface LeaseRenewalOptions extends FileKit {
  /** Has shards proven before their leases are paid. Its bandwidth is its own, so that audits and renewals do not wait for each other. */
  readonly audit: FileAudit;
  /** This node. */
  readonly self: NodeId;
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
    let refused: ReadonlySet<number> = new Set();
    if (due.length > 0) {
      const audited = await audit.audit(file, closing, due);
      if (audited?.phase === "kept") refused = await this.#renewShards(audited, due);
    }
    const after = await book.get(file.id);
    if (after === undefined) return;
    const hasCustody = await this.#takeCustody(after);
    const waits = after.shards.flatMap((shard, index) => {
      if (!isHealthy(shard)) return [];
      const leftMs = this.#leftMs(shard);
      // Of one whose receipts are wrong nothing better is to be expected soon: it is asked ever more seldom.
      return [refused.has(index) ? leftMs / 2 : leftMs - margin];
    });
    // With nothing to renew, what comes next is a repair, which has it looked at again.
    const next = !hasCustody ? 0 : waits.length === 0 ? settings.leaseMs : Math.min(...waits);
    await this.#later(file.id, Math.max(next, retryMs(settings.leaseMs)));
  }

  /** How long a lease still lasts. */
  #leftMs({ leaseExpiresAt = 0 }: StoredShard): number {
    return leaseExpiresAt - this.#options.steady.now();
  }

  /** Renews the leases of shards that were proven. Returns the shards whose provider signed something else than was asked for. */
  async #renewShards(file: StoredFile, due: readonly number[]): Promise<ReadonlySet<number>> {
    const { settings, book, clock, steady, closing, pool, scores, log } = this.#options;
    const { header, layout, roots } = await openShards(this.#options, file);
    const refused = new Set<number>();
    await Promise.all(due.map(async (index) => {
      const shard = file.shards[index]!;
      if (shard.state !== "proven") return;
      try {
        const limit = { timeoutMs: settings.stallMs, what: `A renewal at ${shard.target}` };
        const receipt = await withTimeout(
          closing,
          limit,
          (signal) =>
            pool.at(shard.target, shard.providerId).renew(
              shardIdOf(header, index),
              settings.leaseMs,
              pool.call(signal),
              {
                sizeBytes: layout.shardBytes,
                ...(shard.lease !== undefined && { expiresAt: shard.lease.expiresAt }),
                accept: ({ record }) => {
                  if (record.root !== hex(roots[index]!)) throw otherShard(shard, index);
                },
              },
            ),
        );
        const granted = leased(receipt, { clock, steady, leaseMs: settings.leaseMs });
        await book.update(file.id, (now) => {
          const old = now.shards[index]!;
          return old.target === shard.target ? withShard(now, index, { ...old, ...granted }) : undefined;
        }, { durable: false });
      } catch (error) {
        closing.throwIfAborted();
        if (isLeaseRefused(error)) {
          refused.add(index);
          if (shard.providerId !== undefined) {
            scores.bad({ nodeId: shard.providerId, target: shard.target }, toNodeError(error).message);
          }
        }
        log.warn("A lease could not be renewed; it is tried again", {
          fileId: file.id,
          provider: shard.target,
          error: toNodeError(error).message,
        });
      }
    }));
    return refused;
  }

  /**
   * Has providers sign for the newest leases. Returns whether it is not to be tried again soon: those that put no stake on shards, or have too
   * little, are asked with the next lease.
   */
  async #takeCustody(file: StoredFile): Promise<boolean> {
    const { custody, settings, self } = this.#options;
    if (custody === undefined || !settings.asksCustody || file.phase !== "kept" || file.sharedBy !== undefined) {
      return true;
    }
    const { header, layout, roots } = await openShards(this.#options, file);
    const taken = await Promise.all(file.shards.map(async (shard, index) => {
      const { lease: stored, providerId, state } = shard;
      if (state === "pending") return false;
      if (stored === undefined || providerId === undefined || !isHealthy(shard)) return true;
      const record: ShardRecord = {
        id: shardIdOf(header, index),
        owner: self,
        sizeBytes: layout.shardBytes,
        root: hex(roots[index]!),
        expiresAt: stored.expiresAt,
        storedAt: 0,
        graceMs: 0,
      };
      const order = { provider: providerId, record, lease: shardLeaseOf(stored), fileId: file.id };
      return custody.has(order) || await this.#askCustody(custody, order, shard.target);
    }));
    return taken.every((done) => done);
  }

  async #askCustody(
    custody: CustodyHolder,
    order: Parameters<CustodyHolder["take"]>[0],
    target: string,
  ): Promise<boolean> {
    const { settings, closing, pool, log } = this.#options;
    try {
      const limit = { timeoutMs: settings.stallMs, what: `Asking ${target} for custody` };
      const { record: { id }, lease, provider } = order;
      await custody.take(
        order,
        () => withTimeout(closing, limit, (signal) => pool.at(target, provider).custody(id, lease, pool.call(signal))),
      );
      return true;
    } catch (cause) {
      closing.throwIfAborted();
      const error = toNodeError(cause);
      log.warn("A provider has put no stake on a shard", {
        fileId: order.fileId,
        provider: target,
        error: error.message,
      });
      return !["target_unreachable", "deadline_exceeded", "chain_failed"].includes(error.code);
    }
  }

  async #later(id: string, delayMs: number): Promise<void> {
    const { book, steady } = this.#options;
    await book.update(id, (file) => ({ ...file, renewAt: steady.now() + Math.floor(delayMs) }), { durable: false });
  }
}

function otherShard({ target }: StoredShard, index: number): NodeError {
  return new NodeError(
    "target_misbehaved",
    `The lease of shard ${index} at ${target} is refused: its root is another`,
    {
      data: { target, reason: LEASE_REFUSED },
    },
  );
}

function retryMs(leaseMs: number): number {
  return Math.min(RETRY_MS, leaseMs / 20);
}
