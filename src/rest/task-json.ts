import { Buffer, isUtf8 } from "node:buffer";
import type { z } from "@hono/zod-openapi";
import type {
  CachedModule,
  NodeInfo,
  TaskEvent,
  TaskReceipt,
  TaskRecord,
  TaskResult,
  TaskSpec,
  Verification,
  VerifiedResult,
} from "../core/mod.ts";
import type { TaskReceipt as TaskReceiptJson } from "./receipt-schemas.ts";
import type * as schemas from "./task-schemas.ts";
import type { TaskSpec as TaskSpecJson } from "./task-spec-schemas.ts";

/** Milliseconds since the epoch as RFC 3339 in UTC. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString();
}

/** The task that a JSON spec asks for. */
export function specOf(json: z.output<typeof TaskSpecJson>): TaskSpec {
  const { timeoutMs, memoryBytes, outputBytes, instructions } = json.limits ?? {};
  return {
    id: json.id ?? "",
    plugin: json.plugin ?? "",
    function: json.function ?? "",
    input: json.inputBase64 === undefined
      ? Buffer.from(json.input ?? "", "utf8")
      : Buffer.from(json.inputBase64, "base64"),
    contentType: json.contentType ?? (json.input === undefined ? "" : "text/plain"),
    limits: limitsOf({ timeoutMs, memoryBytes, outputBytes, instructions }),
    priority: json.priority ?? 0,
  };
}

/** Limits without those that were not asked for. */
export function limitsOf(
  { timeoutMs, memoryBytes, outputBytes, instructions }: {
    timeoutMs?: number | undefined;
    memoryBytes?: number | undefined;
    outputBytes?: number | undefined;
    instructions?: number | undefined;
  },
): TaskSpec["limits"] {
  return {
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(outputBytes === undefined ? {} : { outputBytes }),
    ...(instructions === undefined ? {} : { instructions }),
  };
}

/** A record as JSON shows it: the same members, times as text. */
export function taskJson(task: TaskRecord): z.input<typeof schemas.Task> {
  const { createdAt, startedAt, finishedAt, expiresAt, nondeterministic, receipt, ...rest } = task;
  return {
    ...rest,
    ...(nondeterministic && { nondeterministic: [...nondeterministic] }),
    ...(receipt && { receipt: receiptJson(receipt) }),
    createdAt: timeText(createdAt),
    ...(startedAt === undefined ? {} : { startedAt: timeText(startedAt) }),
    ...(finishedAt === undefined ? {} : { finishedAt: timeText(finishedAt) }),
    ...(expiresAt === undefined ? {} : { expiresAt: timeText(expiresAt) }),
  };
}

/** A result as JSON shows it: output as text when it is UTF-8, else as base64. */
export function resultJson(
  { id, output, contentType, usage, replayed, nondeterministic, receipt, verification }:
    & TaskResult
    & Partial<Pick<VerifiedResult, "verification">>,
): z.input<typeof schemas.TaskResult> {
  const buffer = bufferOf(output);
  const shown = isUtf8(buffer) ? { output: buffer.toString("utf8") } : { outputBase64: buffer.toString("base64") };
  const compared = verification && comparedJson(verification);
  return {
    id,
    ...shown,
    contentType,
    usage,
    replayed,
    ...(nondeterministic && { nondeterministic: [...nondeterministic] }),
    ...(receipt && { receipt: receiptJson(receipt) }),
    ...(compared && { verification: compared }),
  };
}

function receiptJson({ nondeterministic, ...rest }: TaskReceipt): z.input<typeof TaskReceiptJson> {
  return { ...rest, ...(nondeterministic && { nondeterministic: [...nondeterministic] }) };
}

function comparedJson(
  { receipts, dissenters, failed, nondeterministic, ...counts }: Verification,
): z.input<typeof schemas.Verification> {
  return {
    ...counts,
    ...(nondeterministic && { nondeterministic: [...nondeterministic] }),
    dissenters: [...dissenters],
    failed: [...failed],
    ...(receipts && { receipts: receipts.map(({ target, receipt }) => ({ target, receipt: receiptJson(receipt) })) }),
  };
}

/** The data of a server-sent event. */
export function eventJson(event: TaskEvent): unknown {
  switch (event.type) {
    case "state":
      return taskJson(event.task);
    case "log":
      return { level: event.level, message: event.message, at: timeText(event.at) };
    case "progress":
      return { fraction: event.fraction, message: event.message, at: timeText(event.at) };
    case "chunk":
      return { bytesBase64: bufferOf(event.bytes).toString("base64") };
  }
}

/** A node's description as JSON shows it. */
export function nodeJson({ issuedAt, macKey: _key, macVersion: _version, ...rest }: NodeInfo): unknown {
  return { ...rest, issuedAt: timeText(issuedAt) };
}

export function moduleJson({ lastUsedAt, ...rest }: CachedModule): unknown {
  return { ...rest, lastUsedAt: timeText(lastUsedAt) };
}

/** The same memory as a Buffer. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
