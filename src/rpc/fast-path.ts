import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { Code } from "@connectrpc/connect";
import { type ErrorCode, NodeError } from "../core/mod.ts";
import { type Call, type Calls, REQUEST_ID_HEADER, REQUESTER_HEADER } from "./calls.ts";
import { FRAME_HEADER_BYTES, FrameError, parseGrpcTimeout, statusOf, statusTrailers } from "./grpc-frame.ts";
import type { UnaryRoute } from "./route.ts";

/*
 * Unary gRPC over the stream API of node:http2, without the layers that Connect needs to serve three protocols: a frame is taken from
 * the body, handed to the same function that Connect calls, and the answer goes out as headers, one data frame, and trailers.
 *
 * A peer may reset its stream at any moment, also between two lines here, and node:http2 then throws from respond() or sendTrailers().
 * So each of these calls is guarded: a stream that is gone needs no answer.
 */

const { HTTP2_HEADER_CONTENT_TYPE, HTTP2_HEADER_METHOD, HTTP2_HEADER_PATH, NGHTTP2_NO_ERROR } = constants;

const OK_HEADERS: OutgoingHttpHeaders = { ":status": 200, [HTTP2_HEADER_CONTENT_TYPE]: "application/grpc+proto" };
const OK_TRAILERS: OutgoingHttpHeaders = { "grpc-status": "0" };
const WAIT_FOR_TRAILERS = { waitForTrailers: true } as const;
const END_STREAM = { endStream: true } as const;
const NO_BYTES = Buffer.alloc(0);
const COMPRESSED = "received compressed envelope, but do not know how to decompress";

export interface FastPathOptions {
  readonly calls: Calls;
  readonly routes: Iterable<UnaryRoute>;
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

/** Serves a stream if it is a unary gRPC call that needs nothing special; returns false, having touched nothing, if not. */
export type FastPath = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean;

/** Makes the fast path for some routes. */
export function createFastPath(options: FastPathOptions): FastPath {
  const routes = new Map<string, UnaryRoute>();
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
    new FastCall(stream, { route, headers, timeoutMs, options });
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
      requester: text(headers[REQUESTER_HEADER]),
      requestId: text(headers[REQUEST_ID_HEADER]),
      timeoutMs,
      address: () => stream.session?.socket?.remoteAddress,
      metadata: headers,
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
    let response: Promise<Uint8Array>;
    try {
      if (this.#call.signsBody) this.#call.checkBody(hash("sha256", this.#whole(), "buffer"));
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

  #succeed(frame: Uint8Array): void {
    if (this.#answered) return;
    const stream = this.#stream;
    this.#finish("ok");
    if (stream.destroyed || stream.closed) return;
    try {
      const { answer } = this.#call;
      stream.on("wantTrailers", answer === undefined ? sendOkTrailers : () => sendTrailers(stream, answer.trailers));
      stream.respond(answer === undefined ? OK_HEADERS : { ...OK_HEADERS, ...answer.headers }, WAIT_FOR_TRAILERS);
      stream.end(frame);
    } catch {
      stream.destroy();
    }
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

  /** Answers with headers that are trailers too. */
  #end(code: ErrorCode, trailers: OutgoingHttpHeaders): void {
    const stream = this.#stream;
    this.#finish(code);
    if (stream.destroyed || stream.closed) return;
    try {
      stream.respond({ ...OK_HEADERS, ...trailers }, END_STREAM);
      // The rest of a body that nobody wants would keep the stream open: a reset without an error says so (RFC 9113 §8.1).
      if (stream.readableEnded) return;
      stream.resume();
      stream.close(NGHTTP2_NO_ERROR);
    } catch {
      stream.destroy();
    }
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

function sendOkTrailers(this: ServerHttp2Stream): void {
  sendTrailers(this, undefined);
}

function sendTrailers(stream: ServerHttp2Stream, more: OutgoingHttpHeaders | undefined): void {
  try {
    stream.sendTrailers(more === undefined ? OK_TRAILERS : { ...OK_TRAILERS, ...more });
  } catch {
    stream.destroy();
  }
}
