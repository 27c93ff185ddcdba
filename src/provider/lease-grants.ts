import { type Clock, NodeError, type RequesterId, type ShardKey } from "../core/mod.ts";

/** A lease that was granted just now. */
export interface LeaseGrant {
  /** When the lease before it ended; absent for a shard that is new. */
  readonly endedAt?: number;
  /** Credits what the lease was charged. */
  refund(): void | Promise<void>;
}

interface Noted extends LeaseGrant {
  readonly at: number;
  isRefused: boolean;
}

/** For how long an owner can refuse a lease. */
export const REFUSE_WITHIN_MS = 60_000;
/** How many an owner can refuse a day: what was sent for them was work, and is credited too. */
const REFUSALS_A_DAY = 100;
const DAY_MS = 86_400_000;

/** The newest lease of each shard, for as long as its owner can refuse it. Forgotten with the process. */
export class LeaseGrants {
  readonly #clock: Clock;
  /** The oldest first. */
  readonly #grants = new Map<string, Noted>();
  /** How many each owner has refused today. */
  readonly #refused = new Map<RequesterId, number>();
  #day = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(shard: ShardKey, grant: LeaseGrant): void {
    const name = nameOf(shard);
    const now = this.#clock.now();
    for (const [other, { at }] of this.#grants) {
      if (Math.abs(now - at) < REFUSE_WITHIN_MS) break;
      this.#grants.delete(other);
    }
    this.#grants.delete(name);
    this.#grants.set(name, { ...grant, at: now, isRefused: false });
  }

  /** The owner has taken the newest lease of a shard for good. */
  accept(shard: ShardKey): void {
    this.#grants.delete(nameOf(shard));
  }

  /**
   * Has the newest lease of a shard taken back by `undo`, and credited; once, though it may be asked for again. Throws `failed_precondition`
   * when none was granted of late, and `overloaded` when the owner has refused too many today.
   */
  async refuse(shard: ShardKey, undo: (grant: LeaseGrant) => Promise<void>): Promise<void> {
    const grant = this.#grants.get(nameOf(shard));
    if (grant === undefined || Math.abs(this.#clock.now() - grant.at) >= REFUSE_WITHIN_MS) {
      throw new NodeError(
        "failed_precondition",
        `No lease of shard ${shard.id} was granted in the last ${REFUSE_WITHIN_MS / 1000} seconds: none is taken back`,
        { data: { id: shard.id } },
      );
    }
    if (grant.isRefused) return;
    this.#count(shard.owner);
    grant.isRefused = true;
    try {
      await undo(grant);
    } catch (error) {
      grant.isRefused = false;
      throw error;
    }
    await grant.refund();
  }

  #count(owner: RequesterId): void {
    const day = Math.floor(this.#clock.now() / DAY_MS);
    if (day !== this.#day) this.#refused.clear();
    this.#day = day;
    const count = (this.#refused.get(owner) ?? 0) + 1;
    if (count > REFUSALS_A_DAY) {
      throw new NodeError("overloaded", `${owner} has refused ${REFUSALS_A_DAY} leases today: no more is taken back`);
    }
    this.#refused.set(owner, count);
  }
}

function nameOf({ owner, id }: ShardKey): string {
  return `${owner.toLowerCase()}/${id}`;
}
