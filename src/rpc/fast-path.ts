import type { Buffer } from "node:buffer";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import type { NodeError } from "../core/mod.ts";
import { type CallOpening, type Calls, REQUEST_ID_HEADER, REQUESTER_HEADER } from "./calls.ts";
import { FastCall, type FastCallInit } from "./fast-call.ts";
import { answerFrame, answerStatus } from "./grpc-answer.ts";
import { parseGrpcTimeout } from "./grpc-frame.ts";
import type { UnaryRoute, UploadRoute } from "./route.ts";
import { serveUpload } from "./upload-call.ts";
import type { WriteBodyOptions } from "./write-body.ts";

/*
 * Unary gRPC, and streams of large bytes, over the stream API of node:http2, without the layers that Connect needs to serve three protocols: a
 * frame is taken from the body, handed to the same function that Connect calls, and the answer goes out as headers, one data frame, and trailers.
 */

const { HTTP2_HEADER_CONTENT_TYPE, HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH } = constants;

export interface FastPathOptions extends WriteBodyOptions {
  readonly calls: Calls;
  /** Those of streams must take large bytes ({@link StreamRoute.bytes}) or answer directly ({@link StreamRoute.direct}). */
  readonly routes: Iterable<FastRoute>;
  readonly maxMessageBytes: number;
  /** While it gives an error, calls are refused with it. */
  readonly refusal: () => NodeError | undefined;
}

/**
 * The call of a stream until it has closed. V8 lets go of a stream only when it collects the old generation, and a collection of the young one has
 * to move all that hangs on it until then.
 */
const CALL = Symbol("call");
type CallStream = ServerHttp2Stream & { [CALL]: FastCall | undefined };

/** A route that the fast path can serve. */
export type FastRoute = UnaryRoute | UploadRoute;

/** Serves a stream if it is a gRPC call of such a route that needs nothing special; returns false, having touched nothing, if not. */
export type FastPath = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

/** The limit that a call sets, in milliseconds, Infinity when it sets none; undefined for what is no gRPC call in its plain form. */
export function plainTimeout(headers: IncomingHttpHeaders): number | undefined {
  if (headers[HTTP2_HEADER_METHOD] !== "POST") return undefined;
  const type = headers[HTTP2_HEADER_CONTENT_TYPE];
  if (type !== "application/grpc" && type !== "application/grpc+proto") return undefined;
  // Compression, ill-formed timeouts and expectations are for those who know them.
  const encoding = headers["grpc-encoding"];
  if (encoding !== undefined && encoding !== "identity") return undefined;
  if (headers.expect !== undefined) return undefined;
  const timeout = headers["grpc-timeout"];
  if (timeout === undefined) return Infinity;
  return typeof timeout === "string" ? parseGrpcTimeout(timeout) : undefined;
}

/** Makes the fast path for some routes. */
export function createFastPath(options: FastPathOptions): FastPath {
  const routes = new Map<string, FastRoute>();
  for (const route of options.routes) routes.set(route.path, route);
  return (stream, headers) => {
    const route = routes.get(headers[HTTP2_HEADER_PATH] as string);
    if (route === undefined) return false;
    const timeoutMs = plainTimeout(headers);
    if (timeoutMs === undefined) return false;
    const opening = openingOf(headers, timeoutMs, () => stream.session?.socket?.remoteAddress);
    if (route.kind === "unary") serveUnary(stream, { route, opening, options });
    else void serveUpload(stream, { route, opening, options });
    return true;
  };
}

const text = (value: string | string[] | undefined): string | undefined =>
  typeof value === "string" ? value : undefined;

/** What the headers of a call say of it. */
export function openingOf(
  headers: IncomingHttpHeaders,
  timeoutMs: number,
  address: CallOpening["address"],
): CallOpening {
  return {
    requester: text(headers[REQUESTER_HEADER]),
    requestId: text(headers[REQUEST_ID_HEADER]),
    timeoutMs,
    address: address!,
    metadata: headers,
  };
}

/** Serves a unary call on its stream. */
function serveUnary(stream: ServerHttp2Stream, init: FastCallInit): void {
  const call = new FastCall({
    answer: (frame, metadata) => answerFrame(stream, frame, metadata),
    refuse: (trailers) => answerStatus(stream, trailers),
  }, init);
  // An error on a stream is the peer's doing (a reset, a broken connection); `close` follows and ends the call.
  stream.on("error", ignore);
  (stream as CallStream)[CALL] = call;
  stream.on("close", onClose);
  if (call.answered) return;
  stream.on("data", onData);
  stream.on("end", onEnd);
}

function ignore(): void {}

function onData(this: ServerHttp2Stream, chunk: Buffer): void {
  (this as CallStream)[CALL]?.read(chunk);
}

function onEnd(this: ServerHttp2Stream): void {
  (this as CallStream)[CALL]?.run();
}

function onClose(this: ServerHttp2Stream): void {
  const stream = this as CallStream;
  const call = stream[CALL];
  stream[CALL] = undefined;
  call?.closed();
}
