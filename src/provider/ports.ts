import type {
  PluginCall,
  PluginOutcome,
  RequesterId,
  ResolvedFunction,
  StoredTask,
  TaskChange,
  TaskKey,
  TaskLimits,
  TaskRange,
  TaskRangePage,
  TaskRoom,
  TaskTerms,
  Usage,
} from "../core/mod.ts";

/** Runs plugin functions. */
export interface PluginHost {
  /** What a call of this requester would run. Throws `plugin_not_found` or `function_not_found`. */
  resolve(plugin: string, fn: string, requester: RequesterId): ResolvedFunction;
  /** Runs a function to its end. Throws a NodeError when it fails, is stopped, or breaks a limit. */
  execute(call: PluginCall): Promise<PluginOutcome>;
  /** Keeps what a task needs here while it waits: a module that its requester brought. To be let go of with what this returns. */
  keep(plugin: string): () => void;
}

/** Keeps tasks. `test/contract-suites/task-store.ts` holds for it. */
export interface TaskStore {
  get(key: TaskKey): Promise<StoredTask | undefined>;
  /** The stored input or output of a task; undefined when none is stored. */
  body(task: StoredTask, part: "input" | "output"): Promise<Uint8Array | undefined>;
  /** Throws `invalid_argument` when `range.after` is no position. */
  list(range: TaskRange): Promise<TaskRangePage>;
  /** What stored tasks take. */
  room(requester: RequesterId): TaskRoom;
  /** Tasks that have not ended, the most urgent first, behind the given one. */
  unfinished(after: StoredTask | undefined, limit: number): Promise<StoredTask[]>;
  /** Ended tasks whose time to be dropped has come. */
  expired(nowMs: number, limit: number): Promise<StoredTask[]>;
  /** Applies changes, all or none, after all earlier ones. With `durable` it returns when they would survive a power cut. */
  write(changes: readonly TaskChange[], options: { readonly durable: boolean }): Promise<void>;
}

/** What a task may cost at most. */
export interface TaskQuote {
  readonly requester: RequesterId;
  readonly plugin: string;
  readonly function: string;
  readonly limits: TaskLimits;
  /** Undefined for a stream, whose input may reach the node's limit. */
  readonly inputBytes: number | undefined;
}

/** Decides whether a task is paid for. */
export interface Ledger {
  /** Sets aside what the task may cost at most. Throws when the requester has no credit for it. */
  reserve(quote: TaskQuote): Reservation;
}

/** Money set aside for one task. Exactly one of `settle` and `release` is called, once. */
export interface Reservation {
  /**
   * Called before the end of a task is stored: notes what settling this usage will charge, so that a process that ends between the two
   * charges it at its next start.
   */
  prepare?(task: TaskKey, usage: Usage): void | Promise<void>;
  /** Charges what was used and frees the rest. The result leaves the node only after this. */
  settle(usage: Usage): void | Promise<void>;
  /** Frees all of it: the task gave nothing. */
  release(): void;
  /** What settling this usage will charge; undefined when it is free. Changes nothing. */
  terms?(usage: Usage): TaskTerms | undefined;
}
