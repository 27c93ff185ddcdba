import type { Log } from "../core/mod.ts";
import { toNodeError } from "../core/mod.ts";
import { problemHeaders, problemOf } from "./problem.ts";

export interface FailedRequest {
  readonly requestId: string;
  readonly method: string;
  readonly path: string;
}

/**
 * The one place where an error becomes an answer, and where faults of ours are logged. What is no NodeError shows the
 * caller nothing of itself.
 */
export function problemResponse(error: unknown, request: FailedRequest, log: Log): Response {
  const problem = problemOf(reported(error, request, log), request.requestId);
  return new Response(JSON.stringify(problem), { status: problem.status, headers: problemHeaders(problem) });
}

/** The error as a NodeError, logged when it is a fault of the node. */
export function reported(error: unknown, request: FailedRequest, log: Log) {
  const nodeError = toNodeError(error);
  if (nodeError.code === "internal") {
    log.error("A request failed for a fault of the node", { ...request, error: nodeError.cause ?? nodeError });
  }
  return nodeError;
}
