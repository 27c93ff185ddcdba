import {
  NodeError,
  type RequesterId,
  type StoredRequest,
  type StoredTask,
  TASK_STATES,
  type TaskKey,
} from "../core/mod.ts";

/** The format of stored records; `test/vectors/storage.json` pins it. */
const FORMAT = 1;

/** A task's record as stored: JSON with the format's number first. */
export function encodeTask(task: StoredTask): string {
  return JSON.stringify({ v: FORMAT, ...task });
}

/** Reads what {@link encodeTask} wrote. Throws `storage_failed` when it is damaged or of another format. */
export function decodeTask(text: string): StoredTask {
  return decode(text, "task") as StoredTask;
}

export function encodeRequest(request: StoredRequest): string {
  return JSON.stringify({ v: FORMAT, ...request });
}

export function decodeRequest(text: string): StoredRequest {
  return decode(text, "request") as StoredRequest;
}

function decode(text: string, kind: string): unknown {
  let value: { v?: unknown; record?: { id?: unknown; state?: unknown } };
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(kind, cause);
  }
  if (value?.v !== FORMAT) {
    throw new NodeError(
      "storage_failed",
      `A stored ${kind} has the format ${
        JSON.stringify(value?.v)
      }, and this program reads ${FORMAT}: use the version that wrote it`,
    );
  }
  if (typeof value.record?.id !== "string" || !(TASK_STATES as readonly unknown[]).includes(value.record.state)) {
    throw damaged(kind);
  }
  delete value.v;
  return value;
}

function damaged(kind: string, cause?: unknown): NodeError {
  return new NodeError("storage_failed", `A stored ${kind} is damaged: run "velas-sphere doctor"`, { cause });
}

/** The key of a task's record. Requesters are hex addresses whose case means nothing. */
export function recordKey({ requester, id }: TaskKey): string {
  return `${requesterKey(requester)}/${id}`;
}

/** A requester as keys spell it. Holds no "/". */
export function requesterKey(requester: RequesterId): string {
  return requester.toLowerCase();
}

/** Rises with the sequence number as text: 14 hex digits hold 2^53. */
export function seqKey(seq: number): string {
  return seq.toString(16).padStart(14, "0");
}

/**
 * The key of a task that has not ended: the highest priority first, then the oldest. Priorities are -100 to 100.
 */
export function pendingKey(task: StoredTask): string {
  const urgency = (100 - task.record.priority).toString(16).padStart(2, "0");
  return `${urgency}${seqKey(task.seq)}/${recordKey(task.record)}`;
}

/** The key of a task's input and output. It rises with time, which keeps large values cheap in LevelDB. */
export function bodyKey(task: StoredTask): string {
  return `${seqKey(task.seq)}/${recordKey(task.record)}`;
}

/** The record key at the end of an index key. */
export function recordKeyOf(indexKey: string): string {
  return indexKey.slice(indexKey.indexOf("/") + 1);
}
