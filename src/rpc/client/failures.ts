import { constants } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorCode, NodeError } from "../../core/mod.ts";
import { CONNECT_CODES, fromConnectError } from "../errors.ts";
import { explainTls } from "./tls-failure.ts";

/*
 * What goes wrong between a call and its answer, in both languages: a ConnectError with the code that gRPC gives to the
 * case, and as its cause the NodeError that says what it means here.
 */

/** How far down an error's causes the one that says what happened is looked for. */
const MAX_CAUSES = 8;

/** A ConnectError that carries a NodeError of this side. */
export function failed(error: NodeError, code: Code = CONNECT_CODES[error.code]): ConnectError {
  return new ConnectError(error.message, code, undefined, undefined, error);
}

/** The peer's answer is not the protocol. The code is what gRPC or Connect gives to the case. */
export function misbehaved(target: string, code: Code, what: string, cause?: unknown): ConnectError {
  const message = `The answer of ${target} breaks the gRPC protocol: ${what}`;
  return failed(new NodeError("target_misbehaved", message, { data: { target }, cause }), code);
}

/** The peer answered with an HTTP status, so it is no gRPC server, or a proxy answered in its place. */
export function httpFailure(target: string, status: number, code: Code): ConnectError {
  const error = new NodeError(
    "target_misbehaved",
    `${target} answered HTTP ${status} instead of gRPC; check that the target is a node's RPC port`,
    { data: { target, status }, retryable: status === 429 || status === 502 || status === 503 || status === 504 },
  );
  return failed(error, code);
}

/** Codes of RST_STREAM as gRPC maps them (PROTOCOL-HTTP2, "Errors"); those not listed are Internal. */
const RESET_CODES: Readonly<Record<number, readonly [Code, ErrorCode]>> = {
  [constants.NGHTTP2_REFUSED_STREAM]: [Code.Unavailable, "overloaded"],
  [constants.NGHTTP2_CANCEL]: [Code.Canceled, "target_misbehaved"],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM]: [Code.ResourceExhausted, "overloaded"],
  [constants.NGHTTP2_INADEQUATE_SECURITY]: [Code.PermissionDenied, "permission_denied"],
};

/** The peer reset the stream before it had answered. */
export function resetFailure(target: string, rstCode: number): ConnectError {
  const [code, errorCode] = RESET_CODES[rstCode] ?? [Code.Internal, "target_misbehaved"];
  const message = `${target} reset the call before it had answered (HTTP/2 code ${rstCode})`;
  return failed(new NodeError(errorCode, message, { data: { target, rstCode } }), code);
}

/** The target's host is there, but no program has the port. */
export function nobodyListens(target: string, cause: unknown): NodeError {
  return new NodeError(
    "target_unreachable",
    `Nothing listens at ${target} (ECONNREFUSED): start a node there with this port in rpc.listen, or name another target`,
    { data: { target }, cause },
  );
}

/** The connection ended with the call on it. Whether the request had left decides whether repeating it is safe. */
export function connectionFailure(failure: NodeError, requestSent: boolean): ConnectError {
  const { code, message, data, retryable, retryAfterMs } = failure;
  const error = new NodeError(code, message, {
    data: { ...data, requestSent },
    cause: failure,
    retryable,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
  return failed(error, code === "target_misbehaved" ? Code.Internal : CONNECT_CODES[code]);
}

export function deadlineFailure(target: string, timeoutMs: number): ConnectError {
  const message = `${target} did not answer within the deadline of ${Math.ceil(timeoutMs)} ms`;
  return failed(new NodeError("deadline_exceeded", message, { data: { target, timeoutMs: Math.ceil(timeoutMs) } }));
}

/** What the caller's signal says: its own error when it gives one, else that the call was canceled. */
export function abortFailure(signal: AbortSignal): ConnectError {
  const reason: unknown = signal.reason;
  if (reason instanceof ConnectError) return reason;
  if (reason instanceof NodeError) return failed(reason);
  return failed(new NodeError("canceled", "The caller canceled the call", { cause: reason }));
}

/**
 * The NodeError of any failed call to a target: this side's own as it was made, the peer's as its ErrorDetail says, and for an
 * error of the network what it means for the target.
 */
export function explain(reason: unknown, target: string): NodeError {
  if (reason instanceof NodeError) return reason;
  if (!(reason instanceof ConnectError)) return fromConnectError(reason);
  let ofNetwork: (Error & { code: unknown }) | undefined;
  let cause: unknown = reason.cause;
  for (let depth = 0; cause instanceof Error && depth < MAX_CAUSES; depth++) {
    if (cause instanceof NodeError) return cause;
    if ("code" in cause) ofNetwork = cause as Error & { code: unknown };
    cause = cause.cause;
  }
  if (ofNetwork === undefined) return fromConnectError(reason);
  const code = String(ofNetwork.code);
  if (code === "ECONNREFUSED") return nobodyListens(target, reason);
  const refusal = target.startsWith("https://") ? explainTls(ofNetwork, target) : undefined;
  return refusal ?? new NodeError("target_unreachable", `The connection to ${target} was lost (${code})`, {
    data: { target },
    cause: reason,
  });
}
