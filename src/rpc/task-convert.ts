import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type ErrorCode,
  isEnd,
  type LogLevel,
  NodeError,
  type TaskEvent,
  type TaskLimits,
  type TaskPage,
  type TaskQuery,
  type TaskRecord,
  type TaskResult,
  type TaskSpec,
  type TaskState,
} from "../core/mod.ts";
import * as taskPb from "../gen/velas/sphere/v1/task_pb.ts";
import { parseErrorCode } from "./errors.ts";
import { bytesOf, hexOf } from "./hex.ts";
import { misbehaved } from "./misbehaved.ts";
import {
  nondeterministicFromProto,
  receiptFromProto,
  receiptToProto,
  usageFromProto,
  usageToProto,
} from "./receipt-convert.ts";
import { requesterFromText } from "./requester-text.ts";

/** The page size of a list request that names none. */
const DEFAULT_PAGE_SIZE = 50;

const STATES = {
  queued: taskPb.TaskState.QUEUED,
  running: taskPb.TaskState.RUNNING,
  succeeded: taskPb.TaskState.SUCCEEDED,
  failed: taskPb.TaskState.FAILED,
  canceled: taskPb.TaskState.CANCELED,
  expired: taskPb.TaskState.EXPIRED,
} as const satisfies Record<TaskState, taskPb.TaskState>;

const LEVELS = {
  trace: taskPb.LogLevel.TRACE,
  debug: taskPb.LogLevel.DEBUG,
  info: taskPb.LogLevel.INFO,
  warn: taskPb.LogLevel.WARN,
  error: taskPb.LogLevel.ERROR,
} as const satisfies Record<LogLevel, taskPb.LogLevel>;

const STATE_OF: ReadonlyMap<number, TaskState> = new Map(
  Object.entries(STATES).map(([state, number]) => [number, state as TaskState]),
);
const LEVEL_OF: ReadonlyMap<number, LogLevel> = new Map(
  Object.entries(LEVELS).map(([level, number]) => [number, level as LogLevel]),
);

// --- limits

/** Limits of a request: zero means the node's default, so it becomes absence. */
export function limitsFromProto(limits: taskPb.TaskLimits | undefined): Partial<TaskLimits> {
  if (limits === undefined) return {};
  const { timeoutMs, memoryBytes, outputBytes, instructions, noGpu } = limits;
  return {
    ...(timeoutMs > 0n ? { timeoutMs: Number(timeoutMs) } : {}),
    ...(memoryBytes > 0n ? { memoryBytes: Number(memoryBytes) } : {}),
    ...(outputBytes > 0n ? { outputBytes: Number(outputBytes) } : {}),
    ...(instructions > 0n ? { instructions: Number(instructions) } : {}),
    ...(noGpu ? { noGpu } : {}),
  };
}

export function limitsToProto(limits: Partial<TaskLimits>): taskPb.TaskLimits {
  return create(taskPb.TaskLimitsSchema, {
    timeoutMs: BigInt(limits.timeoutMs ?? 0),
    memoryBytes: BigInt(limits.memoryBytes ?? 0),
    outputBytes: BigInt(limits.outputBytes ?? 0),
    instructions: BigInt(limits.instructions ?? 0),
    noGpu: limits.noGpu ?? false,
  });
}

// --- tasks

export function specFromProto(spec: taskPb.TaskSpec): TaskSpec {
  return {
    id: spec.id,
    plugin: spec.plugin,
    function: spec.function,
    input: spec.input,
    contentType: spec.contentType,
    limits: limitsFromProto(spec.limits),
    priority: spec.priority,
  };
}

export function specToProto(spec: TaskSpec): taskPb.TaskSpec {
  return create(taskPb.TaskSpecSchema, {
    id: spec.id,
    plugin: spec.plugin,
    function: spec.function,
    input: spec.input as Uint8Array<ArrayBuffer>,
    contentType: spec.contentType,
    priority: spec.priority,
    ...(Object.keys(spec.limits).length > 0 ? { limits: limitsToProto(spec.limits) } : {}),
  });
}

export function resultFromProto(response: taskPb.RunTaskResponse): TaskResult {
  const receipt = receiptFromProto(response.receipt);
  return {
    id: response.id,
    output: response.output,
    contentType: response.contentType,
    usage: usageFromProto(response.usage),
    replayed: response.replayed,
    ...nondeterministicFromProto(response),
    ...(receipt && { receipt }),
  };
}

export function resultToProto(result: TaskResult): taskPb.RunTaskResponse {
  return create(taskPb.RunTaskResponseSchema, {
    id: result.id,
    output: result.output as Uint8Array<ArrayBuffer>,
    contentType: result.contentType,
    usage: usageToProto(result.usage),
    replayed: result.replayed,
    nondeterministic: [...result.nondeterministic ?? []],
    ...(result.receipt && { receipt: receiptToProto(result.receipt) }),
  });
}

export function recordToProto(record: TaskRecord): taskPb.Task {
  const task = create(taskPb.TaskSchema, {
    id: record.id,
    requester: record.requester,
    plugin: record.plugin,
    resolvedPlugin: record.resolvedPlugin,
    pluginSha256: record.pluginSha256,
    function: record.function,
    contentType: record.contentType,
    limits: limitsToProto(record.limits),
    priority: record.priority,
    state: STATES[record.state],
    reason: record.reason ?? "",
    message: record.message ?? "",
    createdAt: timestampFromMs(record.createdAt),
    attempts: record.attempts,
    outputContentType: record.outputContentType ?? "",
    inputSha256: bytesOf(record.inputSha256),
    outputSha256: bytesOf(record.outputSha256 ?? ""),
    nondeterministic: [...record.nondeterministic ?? []],
  });
  if (record.startedAt !== undefined) task.startedAt = timestampFromMs(record.startedAt);
  if (record.finishedAt !== undefined) task.finishedAt = timestampFromMs(record.finishedAt);
  if (record.expiresAt !== undefined) task.expiresAt = timestampFromMs(record.expiresAt);
  if (record.usage !== undefined) task.usage = usageToProto(record.usage);
  if (record.receipt !== undefined) task.receipt = receiptToProto(record.receipt);
  return task;
}

/**
 * A record that a peer sent. `target` is added to it when given. Throws `target_misbehaved` when the record is absent or has no
 * state that this version knows. A reason that it does not know becomes `target_failed`.
 */
export function recordFromProto(task: taskPb.Task | undefined, target?: string): TaskRecord {
  if (task === undefined) throw misbehaved("the task's record is missing");
  const state = STATE_OF.get(task.state);
  if (state === undefined) throw misbehaved(`task ${task.id} has the unknown state ${task.state}`);
  if (task.createdAt === undefined) throw misbehaved(`task ${task.id} has no time of creation`);
  const receipt = receiptFromProto(task.receipt);
  const reason: ErrorCode | undefined = task.reason === "" ? undefined : parseErrorCode(task.reason) ?? "target_failed";
  return {
    id: task.id,
    requester: requesterFromText(task.requester),
    ...(target === undefined ? {} : { target }),
    plugin: task.plugin,
    resolvedPlugin: task.resolvedPlugin,
    pluginSha256: task.pluginSha256,
    function: task.function,
    contentType: task.contentType,
    limits: {
      timeoutMs: Number(task.limits?.timeoutMs ?? 0n),
      memoryBytes: Number(task.limits?.memoryBytes ?? 0n),
      outputBytes: Number(task.limits?.outputBytes ?? 0n),
      ...(task.limits !== undefined && task.limits.instructions > 0n &&
        { instructions: Number(task.limits.instructions) }),
      ...(task.limits?.noGpu === true && { noGpu: true }),
    },
    priority: task.priority,
    state,
    ...(reason === undefined ? {} : { reason }),
    ...(task.message === "" ? {} : { message: task.message }),
    createdAt: timestampMs(task.createdAt),
    ...(task.startedAt ? { startedAt: timestampMs(task.startedAt) } : {}),
    ...(task.finishedAt ? { finishedAt: timestampMs(task.finishedAt) } : {}),
    ...(task.expiresAt ? { expiresAt: timestampMs(task.expiresAt) } : {}),
    attempts: task.attempts,
    ...(task.usage ? { usage: usageFromProto(task.usage) } : {}),
    ...(task.outputContentType === "" ? {} : { outputContentType: task.outputContentType }),
    inputSha256: hexOf(task.inputSha256),
    ...(task.outputSha256.length === 0 ? {} : { outputSha256: hexOf(task.outputSha256) }),
    ...nondeterministicFromProto(task),
    ...(receipt && { receipt }),
  };
}

// --- events

export function eventToProto(event: TaskEvent): taskPb.TaskEvent {
  switch (event.type) {
    case "chunk":
      return create(taskPb.TaskEventSchema, {
        event: { case: "chunk", value: event.bytes as Uint8Array<ArrayBuffer> },
      });
    case "state":
      return create(taskPb.TaskEventSchema, { event: { case: "state", value: recordToProto(event.task) } });
    case "log":
      return create(taskPb.TaskEventSchema, {
        event: {
          case: "log",
          value: { level: LEVELS[event.level], message: event.message, at: timestampFromMs(event.at) },
        },
      });
    case "progress":
      return create(taskPb.TaskEventSchema, {
        event: {
          case: "progress",
          value: { fraction: event.fraction, message: event.message, at: timestampFromMs(event.at) },
        },
      });
  }
}

/**
 * An event that a peer sent; undefined for a kind that this version does not know, which is to be passed over. Throws
 * `target_misbehaved` as {@link recordFromProto} does.
 */
export function eventFromProto(message: taskPb.TaskEvent | undefined, target?: string): TaskEvent | undefined {
  const event = message?.event;
  switch (event?.case) {
    case "chunk":
      return { type: "chunk", bytes: event.value };
    case "state":
      return { type: "state", task: recordFromProto(event.value, target) };
    case "log":
      return {
        type: "log",
        level: LEVEL_OF.get(event.value.level) ?? "info",
        message: event.value.message,
        at: event.value.at ? timestampMs(event.value.at) : 0,
      };
    case "progress":
      return {
        type: "progress",
        fraction: event.value.fraction,
        message: event.value.message,
        at: event.value.at ? timestampMs(event.value.at) : 0,
      };
    default:
      return undefined;
  }
}

/** Whether an event is the last one of its stream. */
export function isLastEvent(event: TaskEvent): boolean {
  return event.type === "state" && isEnd(event.task.state);
}

// --- lists

/** Throws `invalid_argument` when a state is TASK_STATE_UNSPECIFIED. */
export function queryFromProto(request: taskPb.ListTasksRequest): TaskQuery {
  return {
    states: request.states.map((number) => {
      const state = STATE_OF.get(number);
      if (state === undefined) {
        throw new NodeError("invalid_argument", `Cannot list tasks in the state ${number}: name one of 1 to 6`);
      }
      return state;
    }),
    pageSize: request.pageSize || DEFAULT_PAGE_SIZE,
    pageToken: request.pageToken,
  };
}

export function queryToProto(query: TaskQuery): taskPb.ListTasksRequest {
  return create(taskPb.ListTasksRequestSchema, {
    states: query.states.map((state) => STATES[state]),
    pageSize: query.pageSize,
    pageToken: query.pageToken,
  });
}

export function pageToProto(page: TaskPage): taskPb.ListTasksResponse {
  return create(taskPb.ListTasksResponseSchema, {
    tasks: page.tasks.map(recordToProto),
    nextPageToken: page.nextPageToken,
  });
}

export function pageFromProto(response: taskPb.ListTasksResponse, target?: string): TaskPage {
  return {
    tasks: response.tasks.map((task) => recordFromProto(task, target)),
    nextPageToken: response.nextPageToken,
  };
}
