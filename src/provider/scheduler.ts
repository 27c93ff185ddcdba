import { type Clock, NodeError, type RequesterId } from "../core/mod.ts";
import { FairQueue } from "./fair-queue.ts";
import type { Job } from "./task-queue.ts";

/** The share of slots, and of room in the queue, that is kept for requesters who have none yet: one in so many. */
const KEPT_SHARE = 4;
const RATE_WINDOW_MS = 5000;
const MIN_RETRY_MS = 100;
const MAX_RETRY_MS = 60_000;

export interface SchedulerOptions {
  readonly maxRunning: number;
  readonly maxQueued: number;
  readonly maxQueuedBytes: number;
  readonly clock: Clock;
}

/**
 * Hands out a bounded number of slots: at once while some are free, then to the requesters in turns. However many tasks a requester
 * sends, a quarter of the slots goes only to who has none, and a quarter of the queue to who has nothing in it.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #queue = new FairQueue();
  /** Slots taken, by requester. */
  readonly #taken = new Map<RequesterId, number>();
  readonly #keptSlots: number;
  readonly #keptPlaces: number;
  #running = 0;
  #paused = false;
  #idle: PromiseWithResolvers<void> | undefined;
  // Ends of runs in the present window and the one before it.
  #windowStart = 0;
  #ends = 0;
  #endsBefore = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#keptSlots = Math.floor(options.maxRunning / KEPT_SHARE);
    this.#keptPlaces = Math.floor(options.maxQueued / KEPT_SHARE);
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#queue.size;
  }

  get queuedBytes(): number {
    return this.#queue.bytes;
  }

  /** Takes a slot when one is free for this requester. Then nobody waits who could have it. */
  tryTake(requester: RequesterId): boolean {
    if (this.#paused || !this.#hasSlot(requester)) return false;
    this.#take(requester);
    return true;
  }

  /** Throws `overloaded`, with the time after which there should be room, when the queue cannot take a job of this size. */
  checkRoom(requester: RequesterId, sizeBytes: number): void {
    const { maxQueued, maxQueuedBytes } = this.#options;
    const { size, bytes } = this.#queue;
    if (size >= maxQueued) throw this.#overloaded(`its queue holds ${size} tasks, the most it takes (tasks.maxQueued)`);
    if (size >= maxQueued - this.#keptPlaces && this.#queue.has(requester)) {
      throw this.#overloaded(
        `its queue holds ${size} tasks, and the last ${this.#keptPlaces} of ${maxQueued} places (tasks.maxQueued) are for requesters ` +
          "that have none in it",
      );
    }
    if (size > 0 && bytes + sizeBytes > maxQueuedBytes) {
      throw this.#overloaded(
        `its queue holds ${bytes} bytes of input and takes at most ${maxQueuedBytes} (tasks.maxQueuedBytes)`,
      );
    }
  }

  /** Puts a job in the queue, however full it is. It may start before this returns. */
  enqueue(job: Job): void {
    this.#queue.push(job);
    this.#startWaiting();
  }

  /** Takes a job out of the queue; false when it is not waiting. */
  remove(job: Job): boolean {
    return this.#queue.remove(job);
  }

  /** Gives a requester's slot back, and starts who is next. */
  release(requester: RequesterId): void {
    this.#running--;
    const left = (this.#taken.get(requester) ?? 1) - 1;
    if (left > 0) this.#taken.set(requester, left);
    else this.#taken.delete(requester);
    this.#countEnd();
    if (this.#queue.size > 0) this.#startWaiting();
    if (this.#running === 0 && this.#idle !== undefined) {
      this.#idle.resolve();
      this.#idle = undefined;
    }
  }

  /** Takes out the jobs that began to wait at or before a time and tells each. */
  expire(timeMs: number): void {
    if (this.#queue.size === 0) return;
    for (const job of this.#queue.takeOlder(timeMs)) job.expire();
  }

  /** Starts nothing any more. */
  pause(): void {
    this.#paused = true;
  }

  /** Resolves when no slot is taken. */
  idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    this.#idle ??= Promise.withResolvers<void>();
    return this.#idle.promise;
  }

  #startWaiting(): void {
    while (this.#running < this.#options.maxRunning && !this.#paused && this.#queue.size > 0) {
      const job = this.#queue.pop((requester) => this.#hasSlot(requester));
      if (job === undefined) return;
      this.#take(job.requester);
      job.start();
    }
  }

  #hasSlot(requester: RequesterId): boolean {
    const free = this.#options.maxRunning - this.#running;
    return free > this.#keptSlots || (free > 0 && !this.#taken.has(requester));
  }

  #take(requester: RequesterId): void {
    this.#running++;
    this.#taken.set(requester, (this.#taken.get(requester) ?? 0) + 1);
  }

  #countEnd(): void {
    const now = this.#options.clock.now();
    if (now - this.#windowStart >= RATE_WINDOW_MS) {
      this.#endsBefore = now - this.#windowStart < 2 * RATE_WINDOW_MS ? this.#ends : 0;
      this.#ends = 0;
      this.#windowStart = now;
    }
    this.#ends++;
  }

  #overloaded(why: string): NodeError {
    const elapsedMs = Math.max(1, this.#options.clock.now() - this.#windowStart);
    const perMs = (this.#ends + this.#endsBefore) / (elapsedMs + (this.#endsBefore > 0 ? RATE_WINDOW_MS : 0));
    // Half the queue: early enough not to leave slots idle, late enough that most who come back find room.
    const wait = perMs > 0 ? this.#queue.size / 2 / perMs : 1000;
    const retryAfterMs = Math.round(Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, wait)));
    return new NodeError("overloaded", `The node is busy: ${why}. Try again in ${retryAfterMs} ms`, { retryAfterMs });
  }
}
