import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorCode, type ErrorData, NodeError, toNodeError } from "../core/mod.ts";
import { ErrorDetailSchema } from "../gen/velas/sphere/v1/error_pb.ts";

/**
 * The Connect (and gRPC) code that each error travels under. The exact cause travels beside it, in an ErrorDetail; the Connect code
 * is for clients that know nothing of this project, so it follows the meaning that gRPC gives to the codes.
 */
export const CONNECT_CODES = {
  invalid_argument: Code.InvalidArgument,
  config_invalid: Code.FailedPrecondition,
  unauthenticated: Code.Unauthenticated,
  permission_denied: Code.PermissionDenied,
  not_found: Code.NotFound,
  plugin_not_found: Code.NotFound,
  function_not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  failed_precondition: Code.FailedPrecondition,
  module_invalid: Code.InvalidArgument,
  input_too_large: Code.ResourceExhausted,
  output_too_large: Code.ResourceExhausted,
  memory_exceeded: Code.ResourceExhausted,
  budget_exceeded: Code.ResourceExhausted,
  plugin_trapped: Code.Unknown,
  plugin_failed: Code.Unknown,
  plugin_unavailable: Code.Unavailable,
  deadline_exceeded: Code.DeadlineExceeded,
  canceled: Code.Canceled,
  interrupted: Code.Aborted,
  expired: Code.FailedPrecondition,
  overloaded: Code.ResourceExhausted,
  shutting_down: Code.Unavailable,
  target_unreachable: Code.Unavailable,
  no_peer_fits: Code.Unavailable,
  target_misbehaved: Code.Unknown,
  target_failed: Code.Unknown,
  unimplemented: Code.Unimplemented,
  storage_full: Code.ResourceExhausted,
  storage_failed: Code.Internal,
  storage_locked: Code.FailedPrecondition,
  data_corrupt: Code.DataLoss,
  shards_missing: Code.Unavailable,
  payment_required: Code.FailedPrecondition,
  cap_reached: Code.FailedPrecondition,
  chain_failed: Code.Unavailable,
  address_in_use: Code.FailedPrecondition,
  runtime_unsupported: Code.FailedPrecondition,
  internal: Code.Internal,
} as const satisfies Record<ErrorCode, Code>;

/**
 * What a code means when it comes from a server that sends no ErrorDetail. A code that would blame this node, or say nothing, becomes
 * `target_failed`.
 */
const FOREIGN_CODES = {
  [Code.Canceled]: "canceled",
  [Code.Unknown]: "target_failed",
  [Code.InvalidArgument]: "invalid_argument",
  [Code.DeadlineExceeded]: "deadline_exceeded",
  [Code.NotFound]: "not_found",
  [Code.AlreadyExists]: "already_exists",
  [Code.PermissionDenied]: "permission_denied",
  [Code.ResourceExhausted]: "overloaded",
  [Code.FailedPrecondition]: "failed_precondition",
  [Code.Aborted]: "target_failed",
  [Code.OutOfRange]: "invalid_argument",
  [Code.Unimplemented]: "unimplemented",
  [Code.Internal]: "target_failed",
  [Code.Unavailable]: "target_unreachable",
  [Code.DataLoss]: "target_failed",
  [Code.Unauthenticated]: "unauthenticated",
} as const satisfies Record<Code, ErrorCode>;

/** The longest wait that a peer can ask for: one day, in milliseconds. */
const RETRY_AFTER_LIMIT_MS = 86_400_000;

/** Reads an error code that came over the wire; undefined when it is none of ours, such as one of a newer version. */
export function parseErrorCode(text: string): ErrorCode | undefined {
  return Object.hasOwn(CONNECT_CODES, text) ? text as ErrorCode : undefined;
}

/** The ErrorDetail message of an error. Values become text: the wire has one type for them. */
export function toErrorDetail(error: NodeError) {
  const data: Record<string, string> = {};
  for (const [key, value] of Object.entries(error.data)) data[key] = String(value);
  return create(ErrorDetailSchema, {
    code: error.code,
    data,
    retryable: error.retryable,
    retryAfterMs: BigInt(Math.ceil(Math.max(0, error.retryAfterMs ?? 0))),
  });
}

/** The serialized ErrorDetail of an error, as the fast path puts it into `grpc-status-details-bin`. */
export function encodeErrorDetail(error: NodeError): Uint8Array {
  return toBinary(ErrorDetailSchema, toErrorDetail(error));
}

/**
 * Turns whatever a service threw into what Connect sends: a ConnectError of Connect's own (a malformed message, an unknown method)
 * stays as it is, except that it gets the detail too; a NodeError is mapped; anything else becomes `internal` without its message.
 */
export function toConnectError(reason: unknown): ConnectError {
  if (reason instanceof ConnectError) {
    if (reason.details.length === 0) {
      const error = new NodeError(SERVED_CODES[reason.code] ?? "internal", reason.rawMessage);
      reason.details.push({ desc: ErrorDetailSchema, value: toErrorDetail(error) });
    }
    return reason;
  }
  const error = toNodeError(reason);
  return new ConnectError(
    error.message,
    CONNECT_CODES[error.code],
    undefined,
    [{ desc: ErrorDetailSchema, value: toErrorDetail(error) }],
    reason,
  );
}

/**
 * The cause that an error of Connect itself names while it serves a call. Here ResourceExhausted is a message over the limit, and
 * what is not understood is our own fault.
 */
const SERVED_CODES: Readonly<Record<Code, ErrorCode>> = {
  ...FOREIGN_CODES,
  [Code.ResourceExhausted]: "input_too_large",
  [Code.Unavailable]: "shutting_down",
  [Code.Unknown]: "internal",
  [Code.Internal]: "internal",
  [Code.Aborted]: "canceled",
  [Code.DataLoss]: "internal",
};

/**
 * Turns an error of a call into the NodeError that the server meant. With an ErrorDetail it is the same code, message, data and
 * advice on retrying; without one (a foreign server) the Connect code decides. A code of ours that this version does not
 * know decides by the Connect code too, and is kept as `data.code`. Errors that are none of Connect's become `target_failed`.
 */
export function fromConnectError(reason: unknown): NodeError {
  if (reason instanceof NodeError) return reason;
  if (!(reason instanceof ConnectError)) {
    return new NodeError("target_failed", "The call failed for a reason that this node does not know", {
      cause: reason,
    });
  }
  const detail = reason.findDetails(ErrorDetailSchema)[0];
  if (detail === undefined) {
    const code = FOREIGN_CODES[reason.code] ?? "target_failed";
    return new NodeError(code, reason.rawMessage || `The target answered with the code ${code}`, { cause: reason });
  }
  const code = parseErrorCode(detail.code);
  const data: ErrorData = code === undefined ? { ...detail.data, code: detail.code } : detail.data;
  const retryAfterMs = Math.min(Number(detail.retryAfterMs), RETRY_AFTER_LIMIT_MS);
  return new NodeError(code ?? FOREIGN_CODES[reason.code] ?? "target_failed", reason.rawMessage, {
    data,
    cause: reason,
    retryable: detail.retryable,
    ...(retryAfterMs > 0 ? { retryAfterMs } : {}),
  });
}
