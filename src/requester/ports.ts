import type { RequestChange, RequestPage, StoredRequest, TaskLimits, TaskState, Usage } from "../core/mod.ts";

/** Keeps the tasks that this node submitted to others. */
export interface RequestStore {
  /** The requests with these ids, in the same places. */
  getMany(ids: readonly string[]): Promise<(StoredRequest | undefined)[]>;
  /** The input of a request that is still `sending`. */
  input(id: string): Promise<Uint8Array | undefined>;
  /** Newest first, behind the position `after`. Throws `invalid_argument` when that is no position. */
  list(
    range: { readonly states: readonly TaskState[]; readonly limit: number; readonly after: string },
  ): Promise<RequestPage>;
  /** Requests that are `sending`, in the order of their ids, behind the given one. */
  sending(afterId: string, limit: number): Promise<StoredRequest[]>;
  /** Requests made before a time, oldest first. */
  olderThan(timeMs: number, limit: number): Promise<StoredRequest[]>;
  /** Where the newest `count` requests end (see `taskPosition`); empty when there are fewer. */
  endOfNewest(count: number): Promise<string>;
  /** Applies a change. With `durable` it returns when it would survive a power cut. */
  write(change: RequestChange, options: { readonly durable: boolean }): Promise<void>;
}

/** What a task may cost at most at a provider. */
export interface TaskOrder {
  /** The provider, as `host:port`. */
  readonly target: string;
  readonly plugin: string;
  readonly function: string;
  /** As asked for; what is absent is the provider's default. */
  readonly limits: Partial<TaskLimits>;
  /** Undefined for a stream. */
  readonly inputBytes: number | undefined;
}

/** Decides what this node may spend. */
export interface Ledger {
  /**
   * Sets aside the most that a task may cost. Throws when that is over a cap. Returns a promise when the provider has to be paid first; in
   * most cases what was paid before suffices.
   */
  reserve(order: TaskOrder): Reservation | Promise<Reservation>;
}

/** Money set aside for one task. Exactly one of its methods is called, once. */
export interface Reservation {
  /** The result is good: pays for what was used and frees the rest. */
  commit(usage: Usage): void | Promise<void>;
  /** Frees all of it: the task gave nothing, but failed with this error, if any. */
  release(error?: unknown): void;
  /** Whether it has nothing for time on a GPU, so that the task must say so (`limits.noGpu`). */
  readonly noGpu?: boolean | undefined;
}
