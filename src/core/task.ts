import type { ErrorCode } from "./errors.ts";
import type { Span } from "./trace.ts";
import type { RequesterId } from "./ids.ts";
import type { TaskReceipt } from "./receipt.ts";
import type { Usage } from "./usage.ts";

/** Bounds of one task. */
export interface TaskLimits {
  /** The longest run in the plugin, in milliseconds. */
  readonly timeoutMs: number;
  /** The largest linear memory, in bytes. */
  readonly memoryBytes: number;
  /** The largest output, in bytes. */
  readonly outputBytes: number;
  /** The most metered instructions; absent in what was written before they were counted, and then without a bound. */
  readonly instructions?: number;
  /**
   * Whether no GPU is to work on the task, so that no money is set aside for one: a plugin that works on a GPU is refused. It changes no
   * result, and a task with it is the same task without it.
   */
  readonly noGpu?: boolean;
}

/** The limits that are quantities. */
export type TaskBound = Exclude<keyof TaskLimits, "noGpu">;

/** What to run, as a requester asks for it. Empty strings and absent limits mean the node's defaults. */
export interface TaskSpec {
  /** The requester's own name for the task, which makes it idempotent; empty lets the node draw one. */
  readonly id: string;
  /** `name`, `name@version`, or the SHA-256 of a module in hex; empty means the default plugin. */
  readonly plugin: string;
  /** Empty means the plugin's first function. */
  readonly function: string;
  readonly input: Uint8Array;
  /** Media type of the input; empty means `application/octet-stream`. */
  readonly contentType: string;
  readonly limits: Partial<TaskLimits>;
  /** -100 to 100; higher leaves the queue first. */
  readonly priority: number;
}

/** Where a task is in its life: queued → running → one of the four ends. */
export type TaskState = "queued" | "running" | TaskEnd;
export type TaskEnd = "succeeded" | "failed" | "canceled" | "expired";

/** All states, in the order of a task's life. */
export const TASK_STATES = ["queued", "running", "succeeded", "failed", "canceled", "expired"] as const;

/** Whether a task in this state will never change again. */
export function isEnd(state: TaskState): state is TaskEnd {
  return state !== "queued" && state !== "running";
}

/** A task as its provider knows it, without its input and output. Times are milliseconds since the epoch. */
export interface TaskRecord {
  readonly id: string;
  readonly requester: RequesterId;
  /** The provider it was sent to, as `host:port`; absent for the node that holds the record. */
  readonly target?: string;
  /** The plugin as the task named it. */
  readonly plugin: string;
  /** The plugin that ran or will run, as `name@version`; empty until it is known. */
  readonly resolvedPlugin: string;
  /** Empty for an external plugin. */
  readonly pluginSha256: string;
  readonly function: string;
  readonly contentType: string;
  readonly limits: TaskLimits;
  readonly priority: number;
  readonly state: TaskState;
  /** Why it ended as it did; absent while it has not, or when it succeeded. */
  readonly reason?: ErrorCode;
  /** The reason in words. */
  readonly message?: string;
  readonly createdAt: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  /** When record and output will be dropped; absent while it has not ended. */
  readonly expiresAt?: number;
  /** How often a worker began it. */
  readonly attempts: number;
  readonly usage?: Usage;
  readonly outputContentType?: string;
  /**
   * What made the result depend on more than the module and the input: permissions that the plugin used (`clock`, `kv`, `files.read`, `http`),
   * and `relaxed-simd`, in the order of the alphabet. Absent when nothing did, and for external plugins, of which it is not known.
   */
  readonly nondeterministic?: readonly string[];
  /** Lower-case hex. */
  readonly inputSha256: string;
  readonly outputSha256?: string;
  /** The provider's signed word on it, once it has succeeded; absent in lists, and from providers that sign none. */
  readonly receipt?: TaskReceipt;
}

/** What a finished task gave. */
export interface TaskResult {
  readonly id: string;
  readonly output: Uint8Array;
  readonly contentType: string;
  readonly usage: Usage;
  /** Whether this is the stored result of an earlier run of the same task. */
  readonly replayed: boolean;
  /** As in {@link TaskRecord}. */
  readonly nondeterministic?: readonly string[];
  /** The provider's signed word on it; absent for a task that its provider does not keep. */
  readonly receipt?: TaskReceipt;
}

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

/** What a plugin says while it runs. */
export type PluginEvent =
  | { readonly type: "log"; readonly level: LogLevel; readonly message: string; readonly at: number }
  | { readonly type: "progress"; readonly fraction: number; readonly message: string; readonly at: number }
  | { readonly type: "chunk"; readonly bytes: Uint8Array };

/** One thing that happened to a task. The last event of a stream is a state event with an end state. */
export type TaskEvent = PluginEvent | { readonly type: "state"; readonly task: TaskRecord };

/** Who calls, and how long the caller waits. */
export interface CallContext {
  readonly requester: RequesterId;
  /** Whether the requester has proven who it is, by signing the call; by default not. */
  readonly authenticated?: boolean;
  /** Leave of somebody else, for calls about that one's shards. */
  readonly capability?: string;
  /** When the capability ends by which the call acts for {@link requester}, in milliseconds since the epoch. */
  readonly capabilityEndsAt?: number;
  /** Aborts when the caller goes away or its deadline passes. */
  readonly signal: AbortSignal;
  /** The caller's own deadline, in milliseconds since the epoch. */
  readonly deadlineAt?: number;
  /** Names the call in logs, across nodes. */
  readonly requestId: string;
  /** What the call is part of; by default, what the running code works for. */
  readonly span?: Span | undefined;
}

export interface TaskQuery {
  /** Only tasks in one of these states; empty means all. */
  readonly states: readonly TaskState[];
  /** 1 to 1000. */
  readonly pageSize: number;
  /** Empty for the first page. */
  readonly pageToken: string;
}

export interface TaskPage {
  readonly tasks: readonly TaskRecord[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/**
 * Runs tasks. Three things are one: the provider in this process, the RPC client of a provider elsewhere, and the
 * requester that picks between them; `test/contract-suites/task-service.ts` holds for each. Every method throws a
 * NodeError: `not_found` for an id that the caller does not have, `overloaded` when the queue is full,
 * `already_exists` for a known id with another input, and what the plugin's run gave.
 */
export interface TaskService {
  /** Runs a task and returns its output. When `ctx.signal` aborts, the task is canceled. */
  run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult>;
  /** Runs a task on a stream of input; `spec.input` is empty. Ends with a state event; does not throw for a failed task. */
  runStream(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent>;
  /** Queues a task durably and returns its record. */
  submit(spec: TaskSpec, ctx: CallContext): Promise<TaskRecord>;
  get(id: string, ctx: CallContext): Promise<TaskRecord>;
  /** The stored output of a succeeded task; `failed_precondition` when it has none. */
  output(id: string, ctx: CallContext): Promise<TaskResult>;
  /** The caller's tasks, newest first. */
  list(query: TaskQuery, ctx: CallContext): Promise<TaskPage>;
  /** The events from now on, the present state first. */
  watch(id: string, ctx: CallContext): AsyncIterable<TaskEvent>;
  /** Stops a queued or running task; changes nothing on a finished one. */
  cancel(id: string, ctx: CallContext): Promise<TaskRecord>;
}
