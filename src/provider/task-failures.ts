import { type ErrorCode, NodeError, type TaskEnd, type TaskRecord } from "../core/mod.ts";

/** What a call ends with whose caller went away, or whose deadline has passed. */
export function goneError(signal: AbortSignal): NodeError {
  const { reason } = signal;
  if (reason instanceof NodeError) return reason;
  if (reason instanceof Error && reason.name === "TimeoutError") return deadlineError();
  return new NodeError("canceled", "The caller went away before the task ended");
}

export function deadlineError(): NodeError {
  return new NodeError("deadline_exceeded", "The caller's deadline passed before the task ended: allow more time");
}

export function expiredError(): NodeError {
  return new NodeError(
    "expired",
    "The task waited in the queue for longer than this node allows (tasks.queueTimeoutMs)",
    {
      retryable: true,
    },
  );
}

export function canceledError(): NodeError {
  return new NodeError("canceled", "The task was canceled at its requester's wish");
}

export function shuttingDownError(): NodeError {
  return new NodeError("shutting_down", "The node is stopping and takes no tasks: try again later, or another node", {
    retryAfterMs: 5000,
  });
}

export function interruptedError(attempts: number): NodeError {
  return new NodeError(
    "interrupted",
    `The node stopped while the task ran, ${attempts} times: that is as often as it is begun (tasks.maxAttempts)`,
  );
}

export function notFoundError(id: string): NodeError {
  return new NodeError(
    "not_found",
    `This node has no task ${
      JSON.stringify(id)
    } of yours: it may have been dropped by now. GET /v1/tasks lists those that there are`,
    {
      data: { id },
    },
  );
}

export function takenError(id: string): NodeError {
  return new NodeError(
    "already_exists",
    `The task id ${
      JSON.stringify(id)
    } is taken by a task with another plugin, function, input or limits: choose another id`,
    { data: { id } },
  );
}

/** Why no further task is kept: what is kept already, of whom, and which setting bounds it. */
export function fullError(
  { takenBytes, maxBytes, whose, setting, retentionMs }: {
    readonly takenBytes: number;
    readonly maxBytes: number;
    readonly whose: string;
    readonly setting: string;
    readonly retentionMs: number;
  },
): NodeError {
  return new NodeError(
    "storage_full",
    `No room to keep another task: ${whose} take ${takenBytes} of ${maxBytes} bytes (${setting}), and give them back ${retentionMs} ms ` +
      "after their ends (tasks.retentionMs). Run it without an id, which keeps nothing, or at another node",
    { data: { takenBytes, maxBytes }, retryAfterMs: Math.min(retentionMs, 60_000) },
  );
}

export function noOutputError(record: TaskRecord, why: string): NodeError {
  return new NodeError("failed_precondition", `The task ${JSON.stringify(record.id)} has no stored output: ${why}`, {
    data: { id: record.id, state: record.state },
  });
}

/** What a task that ended without a result gives to those who ask for one. The same task will not run again. */
export function endError(record: TaskRecord): NodeError {
  return new NodeError(record.reason ?? "internal", record.message ?? `The task ended as ${record.state}`, {
    retryable: false,
    data: { id: record.id, state: record.state },
  });
}

const END_STATES: Partial<Record<ErrorCode, TaskEnd>> = {
  canceled: "canceled",
  shutting_down: "canceled",
  expired: "expired",
};

/** The state in which a task ends that ends with this error. */
export function endState(error: NodeError): TaskEnd {
  return END_STATES[error.code] ?? "failed";
}
