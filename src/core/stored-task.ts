import type { RequesterId } from "./ids.ts";
import type { TaskRecord, TaskState } from "./task.ts";

/** Names a task within a node: ids are unique within their requester. */
export interface TaskKey {
  readonly requester: RequesterId;
  readonly id: string;
}

/** A task's record with what its provider keeps beside it. Input and output lie apart, so that listing reads little. */
export interface StoredTask {
  readonly record: TaskRecord;
  /** What makes a second task with the same id the same task; see `taskDigest`. Lower-case hex. */
  readonly digest: string;
  /** Rises with every task of the node; among equal priorities the lower one runs first. Below 2^53. */
  readonly seq: number;
  /** Size of the stored input, in bytes. The input is dropped when the task ends. */
  readonly inputBytes: number;
  /** Size of the stored output, in bytes; absent when none is stored. */
  readonly storedOutputBytes?: number;
  /** Why a succeeded task has no stored output, in words. */
  readonly outputMissing?: string;
}

/** A step in the life of a stored task. A store derives indexes and byte counts from it and applies it whole or not at all. */
export type TaskChange =
  /** A new task, queued or already running. */
  | { readonly type: "add"; readonly task: StoredTask; readonly input: Uint8Array }
  /** A task that has not ended, in another state or attempt. */
  | { readonly type: "update"; readonly task: StoredTask }
  /** A task that has just ended; its input goes, its output comes. */
  | { readonly type: "end"; readonly task: StoredTask; readonly output?: Uint8Array }
  /** A task, as last stored, to be dropped with all that belongs to it. */
  | { readonly type: "remove"; readonly task: StoredTask };

/** What stored tasks take, in bytes: records, inputs of those that have not ended, outputs of those that have. */
export interface TaskRoom {
  readonly bytes: number;
  readonly ofRequester: number;
}

/** Which of a requester's tasks to list. */
export interface TaskRange {
  readonly requester: RequesterId;
  /** Empty means all. */
  readonly states: readonly TaskState[];
  /** The most tasks to return. */
  readonly limit: number;
  /** A position (see `taskPosition`) to go on behind; empty to begin with the newest task. */
  readonly after: string;
}

/** Tasks of a range, newest first. */
export interface TaskRangePage {
  readonly tasks: readonly StoredTask[];
  /** Where to go on; empty when nothing is left. A page may be short, even empty, and still have more behind it. */
  readonly next: string;
}
