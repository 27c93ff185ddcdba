import type { TaskLimits, TaskRecord } from "./task.ts";

/** A task that this node submitted to another one, as the requester keeps it. */
export interface StoredRequest {
  /** The last known state of the task, with the provider it was sent to as `target`. */
  readonly record: TaskRecord & { readonly target: string };
  /** See `taskDigest`. */
  readonly digest: string;
  /** The limits as they were asked for, so that the submission can be sent again unchanged. */
  readonly askedLimits: Partial<TaskLimits>;
  /**
   * - `sending`: recorded, and nobody has an answer yet; sent again at the next start
   * - `sent`: the provider has it
   * - `doubtful`: the caller was told of a failure after which the provider may or may not have it
   */
  readonly phase: "sending" | "sent" | "doubtful";
}

/** A step in the life of a stored request, applied whole or not at all. */
export type RequestChange =
  /** A new one; its input is kept while it is `sending`. */
  | { readonly type: "add"; readonly request: StoredRequest; readonly input: Uint8Array }
  | { readonly type: "update"; readonly request: StoredRequest }
  | { readonly type: "remove"; readonly request: StoredRequest };

/** Requests, newest first. */
export interface RequestPage {
  readonly requests: readonly StoredRequest[];
  /** Where to go on (see `taskPosition`); empty when nothing is left. */
  readonly next: string;
}
