/**
 * Every code that a {@link NodeError} can carry. The set is closed: the tables in `rpc/errors.ts`, `rest/problem.ts` and
 * `cli/exit-codes.ts` map each of them, and a code without a mapping does not compile. docs/errors.md explains them.
 */
export type ErrorCode =
  | "invalid_argument" // the request is malformed or out of range
  | "config_invalid" // the configuration has an unknown key or a wrong value
  | "unauthenticated" // who asks is not known
  | "permission_denied" // who asks may not
  | "not_found" // a task, file, or route that is not there
  | "plugin_not_found" // no such plugin here, or it is disabled
  | "function_not_found" // the plugin has no such function
  | "already_exists" // the id is taken by something else
  | "failed_precondition" // the thing is in a state that does not allow it
  | "module_invalid" // the bytes are no WASM module that this node can run
  | "input_too_large" // over the input or message limit
  | "output_too_large" // the plugin produced more than the task allows
  | "memory_exceeded" // the plugin wanted more memory than the task allows
  | "budget_exceeded" // the plugin spent all the instructions that the task allows
  | "plugin_trapped" // the plugin crashed
  | "plugin_failed" // the plugin reported an error of its own
  | "plugin_unavailable" // an external plugin is down
  | "deadline_exceeded" // the time is over
  | "canceled" // the caller, or somebody for it, stopped it
  | "interrupted" // the node stopped while the task ran
  | "expired" // it waited too long, or its retention is over
  | "overloaded" // the queue is full
  | "shutting_down" // the node is draining
  | "target_unreachable" // no connection to the peer
  | "no_peer_fits" // no known peer has what a task asks for
  | "target_misbehaved" // the peer answered something that is not the protocol
  | "target_failed" // the peer answered with an error of its own that has no code of ours
  | "unimplemented" // the call is not known here
  | "storage_full" // the disk or the quota is full
  | "storage_failed" // the data directory cannot be read or written
  | "storage_locked" // another process has the data directory
  | "data_corrupt" // stored or received bytes fail their cryptographic check
  | "shards_missing" // fewer shards of a file can be read than it takes to decode it
  | "payment_required" // the provider has no voucher that covers this
  | "cap_reached" // it would cost more than this node may spend
  | "chain_failed" // the chain cannot be read, or a transaction failed
  | "address_in_use" // the port is taken
  | "runtime_unsupported" // this Node or Deno version has a known fault
  | "internal"; // a fault of ours

/** Values that an error's message names, for programs. */
export type ErrorData = Readonly<Record<string, string | number | boolean>>;

export interface NodeErrorOptions {
  readonly data?: ErrorData;
  readonly cause?: unknown;
  /** Whether the same call may succeed later unchanged; by default what the code implies. */
  readonly retryable?: boolean;
  /** When a retry may succeed, in milliseconds from now. */
  readonly retryAfterMs?: number;
}

const RETRYABLE: ReadonlySet<ErrorCode> = new Set([
  "overloaded",
  "shutting_down",
  "target_unreachable",
  "no_peer_fits",
  "plugin_unavailable",
  "interrupted",
  "storage_full",
  "shards_missing",
  "payment_required",
  "chain_failed",
]);

/**
 * The one error class of the node. Its message says what failed, with which value, and what to do about it; it may be
 * shown to whoever made the request, so it never holds a secret or another user's data.
 */
export class NodeError extends Error {
  readonly code: ErrorCode;
  readonly data: ErrorData;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, options: NodeErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "NodeError";
    this.code = code;
    this.data = options.data ?? {};
    this.retryable = options.retryable ?? RETRYABLE.has(code);
    this.retryAfterMs = options.retryAfterMs;
  }
}

/**
 * Returns the error itself when it is a {@link NodeError}; otherwise an `internal` one that keeps it as the cause and
 * does not repeat its message, since a foreign message may tell what the caller should not know.
 */
export function toNodeError(error: unknown): NodeError {
  if (error instanceof NodeError) return error;
  return new NodeError("internal", "The node failed to handle this request; its log has the reason", { cause: error });
}
