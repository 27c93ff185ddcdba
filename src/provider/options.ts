import type { Clock, Log, Metrics, NodeLimits, ReceiptSigner, TaskLimits } from "../core/mod.ts";
import type { Ledger, PluginHost, TaskStore } from "./ports.ts";

/** How a provider works; everything has a default in {@link DEFAULT_SETTINGS}. */
export interface TaskSettings {
  /** The largest values that a task may ask for. */
  readonly maxLimits: NodeLimits;
  /** What a task gets that does not ask. */
  readonly defaultLimits: TaskLimits;
  /** How many tasks the plugin host is given at once. */
  readonly maxRunning: number;
  /** How many tasks may wait. */
  readonly maxQueued: number;
  /** How many bytes of input waiting tasks may have together. */
  readonly maxQueuedBytes: number;
  /** The longest wait in the queue, in milliseconds; a task that waits longer ends as `expired`. */
  readonly queueTimeoutMs: number;
  /** How often a task is begun when the node stops while it runs. */
  readonly maxAttempts: number;
  /** How long records and outputs of ended tasks are kept, in milliseconds. */
  readonly retentionMs: number;
  /** What stored tasks may take together, in bytes; what is accepted may go over it by its output. */
  readonly maxStoredBytes: number;
  /** What the stored tasks of one requester may take, in bytes. */
  readonly maxStoredBytesPerRequester: number;
  /** The largest output that is stored, in bytes. A larger one goes to the callers that wait for it, and is not kept. */
  readonly maxStoredOutputBytes: number;
  /** How long a stream may wait for its next piece of input, in milliseconds. */
  readonly inputIdleMs: number;
  /** How much of its output a stream may have unread before the plugin is held back, in bytes. */
  readonly streamBufferBytes: number;
  /** How often expired things are looked for, in milliseconds; 0 leaves that to calls of `sweep()`. */
  readonly sweepIntervalMs: number;
}

export interface TaskProviderOptions extends Partial<TaskSettings> {
  readonly store: TaskStore;
  readonly host: PluginHost;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Signs the receipts of tasks that are kept; without it they have none. */
  readonly receipts?: ReceiptSigner;
  /** Draws the id of a task that has none; by default a ULID. */
  readonly newId?: () => string;
}

export const DEFAULT_SETTINGS: TaskSettings = {
  maxLimits: {
    inputBytes: 64 << 20,
    outputBytes: 64 << 20,
    memoryBytes: 1 << 30,
    timeoutMs: 600_000,
    instructions: 2e12,
  },
  defaultLimits: { timeoutMs: 30_000, memoryBytes: 128 << 20, outputBytes: 16 << 20, instructions: 1e11 },
  maxRunning: 64,
  maxQueued: 10_000,
  maxQueuedBytes: 256 << 20,
  queueTimeoutMs: 3_600_000,
  maxAttempts: 2,
  retentionMs: 86_400_000,
  maxStoredBytes: 8 * 2 ** 30,
  maxStoredBytesPerRequester: 2 * 2 ** 30,
  maxStoredOutputBytes: 16 << 20,
  inputIdleMs: 30_000,
  streamBufferBytes: 1 << 20,
  sweepIntervalMs: 1000,
};
