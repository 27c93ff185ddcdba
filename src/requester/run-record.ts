import type { NodeError, RequesterId, TaskRecord, TaskResult, TaskSpec } from "../core/mod.ts";

/** A task with an id that somebody waited for, as this node sent it. Times are milliseconds since the epoch, by this node's clock. */
export interface SentRun {
  readonly spec: TaskSpec;
  readonly self: RequesterId;
  readonly target: string;
  readonly inputSha256: string;
  readonly beganAt: number;
  readonly endedAt: number;
}

/** A task at a provider. */
export type SentRecord = TaskRecord & { readonly target: string };

/** The record of a run that gave something: what its receipt does not say of it is as it was asked for. */
export function recordOfResult(run: SentRun, result: TaskResult, outputSha256: string): SentRecord {
  const { usage, contentType, nondeterministic, receipt } = result;
  return {
    ...begun(run),
    ...(receipt && { resolvedPlugin: receipt.plugin, pluginSha256: receipt.pluginSha256, function: receipt.function }),
    state: "succeeded",
    finishedAt: run.endedAt,
    usage,
    outputContentType: contentType,
    outputSha256,
    ...(nondeterministic && { nondeterministic }),
    ...(receipt && { receipt }),
  };
}

/** The record of a run that its provider has begun and that gave nothing. */
export function recordOfFailure(run: SentRun, { code, message }: NodeError): SentRecord {
  const state = code === "canceled" ? "canceled" : "failed";
  return { ...begun(run), state, reason: code, message, finishedAt: run.endedAt };
}

/** The record of a run of which nobody knows how it ended: its provider may. */
export function recordOfDoubt(run: SentRun): SentRecord {
  return begun(run);
}

function begun({ spec, self, target, inputSha256, beganAt }: SentRun): SentRecord {
  const asked = recordOfSpec(spec, { self, target, inputSha256 });
  return { ...asked, state: "running", createdAt: beganAt, startedAt: beganAt, attempts: 1 };
}

/** What the record of a task at a provider says from the beginning. */
export function recordOfSpec(
  spec: TaskSpec,
  { self, target, inputSha256 }: Pick<SentRun, "self" | "target" | "inputSha256">,
): Omit<SentRecord, "state" | "createdAt" | "attempts"> {
  const { timeoutMs = 0, memoryBytes = 0, outputBytes = 0, instructions, noGpu } = spec.limits;
  return {
    id: spec.id,
    requester: self,
    target,
    plugin: spec.plugin,
    resolvedPlugin: "",
    pluginSha256: "",
    function: spec.function,
    contentType: spec.contentType,
    limits: {
      timeoutMs,
      memoryBytes,
      outputBytes,
      ...(instructions === undefined ? {} : { instructions }),
      ...(noGpu === true && { noGpu }),
    },
    priority: spec.priority,
    inputSha256,
  };
}
