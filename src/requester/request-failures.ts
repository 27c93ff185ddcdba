import { type ErrorCode, NodeError } from "../core/mod.ts";

/** Failures after which the provider may or may not have got the message. */
const DOUBTFUL: ReadonlySet<ErrorCode> = new Set([
  "target_unreachable",
  "target_misbehaved",
  "target_failed",
  "canceled",
  "deadline_exceeded",
  "internal",
]);

/** Whether a submission that failed like this may have arrived. */
export function isDoubtful(error: NodeError): boolean {
  if (error.code === "target_unreachable" && error.data["requestSent"] === false) return false;
  return DOUBTFUL.has(error.code);
}

/** Failures of a task that its provider has begun, and keeps when it has an id. */
const BEGUN: ReadonlySet<ErrorCode> = new Set([
  "plugin_failed",
  "plugin_trapped",
  "memory_exceeded",
  "budget_exceeded",
  "output_too_large",
  "deadline_exceeded",
  "canceled",
  "interrupted",
  "target_misbehaved",
  "target_failed",
]);

/** Whether a provider has begun a task that failed like this. */
export function isBegun(error: NodeError): boolean {
  return BEGUN.has(error.code);
}

/** The error of an id that is in use. `by` says by what. */
export function takenError(id: string, by: string): NodeError {
  return new NodeError("already_exists", `The task id ${JSON.stringify(id)} is taken by ${by}: choose another id`, {
    data: { id },
  });
}

/** The error of a provider that answers what cannot be. */
export function misbehaved(target: string, what: string): NodeError {
  return new NodeError("target_misbehaved", `The provider ${target} cannot be trusted with this task: ${what}`, {
    data: { target },
  });
}
