import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { Code } from "@connectrpc/connect";
import { type ErrorCode, NodeError } from "../core/mod.ts";
import { type Call, type CallOpening, type Calls, REQUEST_ID_HEADER, REQUESTER_HEADER } from "./calls.ts";
import { answerFrame, answerStatus } from "./grpc-answer.ts";
import { FRAME_HEADER_BYTES, FrameError, parseGrpcTimeout, statusOf, statusTrailers } from "./grpc-frame.ts";
import type { Frame, UnaryRoute, UploadRoute } from "./route.ts";
import { serveUpload } from "./upload-call.ts";
import type { WriteBodyOptions } from "./write-body.ts";

/*
 * Unary gRPC, and streams of large bytes, over the stream API of node:http2, without the layers that Connect needs to serve three protocols: a
 * frame is taken from the body, handed to the same function that Connect calls, and the answer goes out as headers, one data frame, and trailers.
 */

const { HTTP2_HEADER_CONTENT_TYPE, HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH } = constants;

const NO_BYTES = Buffer.alloc(0);
const COMPRESSED = "received compressed envelope, but do not know how to decompress";

export interface FastPathOptions extends WriteBodyOptions {
  readonly calls: Calls;
  /** Those of streams must take large bytes ({@link StreamRoute.bytes}) or answer directly ({@link StreamRoute.direct}). */
  readonly routes: Iterable<FastRoute>;
  readonly maxMessageBytes: number;
  /** While it gives an error, calls are refused with it. */
  readonly refusal: () => NodeError | undefined;
}

/**
 * The call of a stream until it has closed. node:http2 lets go of a stream only when the old generation is collected, and a collection of the
 * young one has to move all that hangs on it until then.
 */
const CALL = Symbol("call");
type CallStream = ServerHttp2Stream & { [CALL]: FastCall | undefined };

/** A route that the fast path can serve. */
export type FastRoute = UnaryRoute | UploadRoute;

/** Serves a stream if it is a gRPC call of such a route that needs nothing special; returns false, having touched nothing, if not. */
export type FastPath = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

/** Makes the fast path for some routes. */
export function createFastPath(options: FastPathOptions): FastPath {
  const routes = new Map<string, FastRoute>();
  for (const route of options.routes) routes.set(route.path, route);
  return (stream, headers) => {
    const route = routes.get(headers[HTTP2_HEADER_PATH] as string);
    if (route === undefined || headers[HTTP2_HEADER_METHOD] !== "POST") return false;
    const type = headers[HTTP2_HEADER_CONTENT_TYPE];
    if (type !== "application/grpc" && type !== "application/grpc+proto") return false;
    // Compression, ill-formed timeouts and expectations are for those who know them.
    const encoding = headers["grpc-encoding"];
    if (encoding !== undefined && encoding !== "identity") return false;
    if (headers.expect !== undefined) return false;
    let timeoutMs: number | undefined;
    const timeout = headers["grpc-timeout"];
    if (timeout !== undefined) {
      timeoutMs = typeof timeout === "string" ? parseGrpcTimeout(timeout) : undefined;
      if (timeoutMs === undefined) return false;
    }
    if (route.kind === "unary") new FastCall(stream, { route, headers, timeoutMs, options });
    else void serveUpload(stream, { route, opening: openingOf(stream, headers, timeoutMs), options });
    return true;
  };
}

interface FastCallInit {
  readonly route: UnaryRoute;
  readonly headers: IncomingHttpHeaders;
  readonly timeoutMs: number | undefined;
  readonly options: FastPathOptions;
}

const text = (value: string | string[] | undefined): string | undefined =>
  typeof value === "string" ? value : undefined;

function openingOf(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  timeoutMs: number | undefined,
): CallOpening {
  return {
    requester: text(headers[REQUESTER_HEADER]),
    requestId: text(headers[REQUEST_ID_HEADER]),
    timeoutMs,
    address: () => stream.session?.socket?.remoteAddress,
    metadata: headers,
  };
}

class FastCall {
  readonly #stream: ServerHttp2Stream;
  readonly #route: UnaryRoute;
  readonly #call: Call;
  readonly #maxMessageBytes: number;
  /** What has come of the body, `#length` bytes: the first chunk itself, which is most often all, or a copy with room for more. */
  #body: Buffer = NO_BYTES;
  #length = 0;
  /** The frame's length as its header says; -1 until the header is there. */
  #expected = -1;
  #compressed = false;
  #answered = false;

  constructor(stream: ServerHttp2Stream, { route, headers, timeoutMs, options }: FastCallInit) {
    this.#stream = stream;
    this.#route = route;
    this.#maxMessageBytes = options.maxMessageBytes;
    this.#call = options.calls.open(route, {
      ...openingOf(stream, headers, timeoutMs),
      onAbort: (error) => this.#fail(error),
    });
    // An error on a stream is the peer's doing (a reset, a broken connection); `close` follows and ends the call.
    stream.on("error", ignore);
    (stream as CallStream)[CALL] = this;
    stream.on("close", onClose);
    const refusal = options.refusal() ?? this.#call.refusal;
    if (refusal !== undefined) {
      this.#fail(refusal);
      return;
    }
    stream.on("data", onData);
    stream.on("end", onEnd);
  }

  /** More of the body has come. */
  read(chunk: Buffer): void {
    if (this.#answered) return;
    this.#append(chunk);
    if (this.#expected < 0 && this.#length >= FRAME_HEADER_BYTES) this.#readFrameHeader();
    if (!this.#answered && this.#expected >= 0 && this.#length > this.#expected + FRAME_HEADER_BYTES) {
      this.#refuse(
        this.#compressed
          ? malformed(Code.Internal, COMPRESSED)
          : malformed(Code.Unimplemented, "protocol error: received extra input message for unary method"),
      );
    }
  }

  #readFrameHeader(): void {
    const start = this.#whole();
    this.#expected = start.readUInt32BE(1);
    this.#compressed = (start[0]! & 1) === 1;
    if (this.#expected > this.#maxMessageBytes) {
      const message = `message size ${this.#expected} is larger than configured readMaxBytes ${this.#maxMessageBytes}`;
      this.#fail(
        new NodeError("input_too_large", message, {
          data: { sizeBytes: this.#expected, limitBytes: this.#maxMessageBytes },
        }),
      );
    }
  }

  /** Adds to the body. Its memory doubles, so that a client that sends single bytes costs no more than their sum twice. */
  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (this.#length === 0) {
      this.#body = chunk;
    } else {
      if (length > this.#body.length) {
        const grown = Buffer.allocUnsafe(Math.max(length, 2 * this.#body.length));
        this.#body.copy(grown, 0, 0, this.#length);
        this.#body = grown;
      }
      chunk.copy(this.#body, this.#length);
    }
    this.#length = length;
  }

  /** The body so far. */
  #whole(): Buffer {
    return this.#body.subarray(0, this.#length);
  }

  /** The client has sent everything: take the one message from the body, and answer it. */
  run(): void {
    if (this.#answered) return;
    let response: Promise<Frame>;
    try {
      if (this.#call.signsBody) this.#call.checkBody(hash("sha256", this.#whole(), "hex"));
      const message = this.#message();
      response = this.#call.traced(() => this.#route.handleBytes(message, this.#call));
    } catch (reason) {
      this.#refuse(reason);
      return;
    }
    response.then((frame) => this.#succeed(frame), (reason) => this.#refuse(reason));
  }

  #message(): Buffer {
    // A header that nothing follows counts as nothing, as it does in Connect.
    if (this.#length === 0 || (this.#length === FRAME_HEADER_BYTES && this.#expected > 0)) {
      throw malformed(Code.Unimplemented, "protocol error: missing input message for unary method");
    }
    if (this.#expected < 0 || this.#length < this.#expected + FRAME_HEADER_BYTES) {
      throw malformed(Code.InvalidArgument, "protocol error: incomplete envelope");
    }
    if (this.#compressed) throw malformed(Code.Internal, COMPRESSED);
    return this.#whole().subarray(FRAME_HEADER_BYTES);
  }

  #succeed(frame: Frame): void {
    if (this.#answered) return;
    this.#finish("ok");
    answerFrame(this.#stream, frame, this.#call.answer);
  }

  #refuse(reason: unknown): void {
    if (this.#answered) return;
    const { answer } = this.#call;
    if (answer?.status !== undefined) {
      this.#end("target_failed", { ...answer.headers, ...answer.trailers, ...statusOf(answer.status) });
    } else if (reason instanceof FrameError) this.#fail(reason.error, reason.code);
    else this.#fail(this.#call.failure(reason));
  }

  #fail(error: NodeError, code?: Code): void {
    if (!this.#answered) this.#end(error.code, statusTrailers(error, code));
  }

  #end(code: ErrorCode, trailers: OutgoingHttpHeaders): void {
    this.#finish(code);
    answerStatus(this.#stream, trailers);
  }

  #finish(code: ErrorCode | "ok"): void {
    this.#answered = true;
    this.#body = NO_BYTES;
    this.#call.end(code);
  }

  /** The stream is gone, with or without an answer. */
  closed(): void {
    if (this.#answered) return;
    this.#call.abort(new NodeError("canceled", "The caller went away before the answer"));
  }
}

function malformed(code: Code, message: string): FrameError {
  return new FrameError(code, new NodeError("invalid_argument", message));
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
