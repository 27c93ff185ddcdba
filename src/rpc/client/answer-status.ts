import type { IncomingHttpHeaders } from "node:http2";
import { Code, type ConnectError } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import * as failures from "./failures.ts";

/* What the headers and trailers of an answer say of the call, as gRPC writes it (PROTOCOL-HTTP2, "Responses"). */

/** Whether a call's status stands in these headers or trailers. */
export function hasStatus(headers: IncomingHttpHeaders): boolean {
  return headers["grpc-status"] !== undefined || headers["grpc-status-details-bin"] !== undefined;
}

/** Whether they say that all went well, in the plain way. */
export function isOk(headers: IncomingHttpHeaders): boolean {
  return headers["grpc-status"] === "0" && headers["grpc-status-details-bin"] === undefined;
}

export interface AnswerEnd {
  readonly target: string;
  readonly header: IncomingHttpHeaders;
  readonly trailer: IncomingHttpHeaders;
  /** Whether anything came of a message. */
  readonly hasMessage: boolean;
}

/** The error that headers or trailers hold, with the metadata of both; undefined when they say OK in a roundabout way. */
export function statusError({ target, header, trailer, hasMessage }: AnswerEnd): ConnectError | undefined {
  const holder = hasStatus(trailer) ? trailer : header;
  if (!hasStatus(holder)) return failures.misbehaved(target, Code.Internal, "the status is missing");
  let error: ConnectError | undefined;
  try {
    error = findTrailerError(toHeaders(holder));
  } catch (cause) {
    return failures.misbehaved(target, Code.Internal, "the status cannot be read", cause);
  }
  if (error === undefined) {
    if ((holder["grpc-status"] ?? "0") === "0") return undefined;
    return failures.misbehaved(target, Code.Internal, "the status contradicts its details");
  }
  if (holder === header && hasMessage) {
    return failures.misbehaved(target, Code.Unknown, "a message came with an error in the headers");
  }
  const { metadata } = error;
  toHeaders(holder === trailer ? header : trailer).forEach((value, key) => metadata.append(key, value));
  return error;
}

/** Headers as the web knows them, without HTTP/2's own. */
export function toHeaders(headers: IncomingHttpHeaders): Headers {
  const result = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    if (Array.isArray(value)) { for (const one of value) result.append(name, one); }
    else result.append(name, value);
  }
  return result;
}
