import { type Clock, NodeError } from "../core/mod.ts";
import { type Job, TaskQueue } from "./task-queue.ts";

const RATE_WINDOW_MS = 5000;
const MIN_RETRY_MS = 100;
const MAX_RETRY_MS = 60_000;

export interface SchedulerOptions {
  readonly maxRunning: number;
  readonly maxQueued: number;
  readonly maxQueuedBytes: number;
  readonly clock: Clock;
}

/** Hands out a bounded number of slots: at once while some are free, then in the order of the queue. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #queue = new TaskQueue();
  #running = 0;
  #paused = false;
  #idle: PromiseWithResolvers<void> | undefined;
  // Ends of runs in the present window and the one before it.
  #windowStart = 0;
  #ends = 0;
  #endsBefore = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
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

  /** Takes a slot when one is free and nobody waits. */
  tryTake(): boolean {
    if (this.#running >= this.#options.maxRunning || this.#queue.size > 0 || this.#paused) return false;
    this.#running++;
    return true;
  }

  /** Throws `overloaded`, with the time after which there should be room, when the queue cannot take a job of this size. */
  checkRoom(sizeBytes: number): void {
    const { maxQueued, maxQueuedBytes } = this.#options;
    const { size, bytes } = this.#queue;
    if (size >= maxQueued) throw this.#overloaded(`its queue holds ${size} tasks, the most it takes (tasks.maxQueued)`);
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

  /** Gives a slot back, and starts who is next. */
  release(): void {
    this.#running--;
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
    while (this.#running < this.#options.maxRunning && !this.#paused) {
      const job = this.#queue.pop();
      if (job === undefined) return;
      this.#running++;
      job.start();
    }
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
