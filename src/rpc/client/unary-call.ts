import { Buffer } from "node:buffer";
import { constants } from "node:http2";
import type { IncomingHttpHeaders, IncomingHttpStatusHeader, OutgoingHttpHeaders } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeFromHttpStatus } from "@connectrpc/connect/protocol-grpc";
import { largeStreamOver, NodeError, release } from "../../core/mod.ts";
import type { Deadlines, Expiring } from "../deadlines.ts";
import { FRAME_HEADER_BYTES } from "../grpc-frame.ts";
import { hasStatus, isOk, statusError } from "./answer-status.ts";
import * as failures from "./failures.ts";
import type { PeerStream } from "./connection.ts";
import type { RequestBody } from "./request-body.ts";
import type { PeerSession } from "./session.ts";

/*
 * One gRPC call with one answer, driven by the events of its stream: no promise but the caller's, no generator, no closure per event.
 *
 * The events may come in any order that is not absurd: Deno gives the data before the response's headers, a connection that drops
 * gives `end` and `close` and no error, and a stream may be destroyed between any two steps. So every event only adds to what is
 * known, and `trailers`, `end` and `close` each try to conclude from it.
 */

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = constants;

/** How often a call is begun again when it is certain that the peer never saw it. */
const MAX_ATTEMPTS = 3;
/** What an answer gets room for at once when its header announces as much. */
const FRAME_ROOM_BYTES = 1 << 20; // 1 MiB
/** From this size on an answer counts as a large one. */
const LARGE_ANSWER_BYTES = 64 << 10; // 64 KiB
const CONTENT_TYPE = /^application\/grpc(?:\+proto)?(?:;|$)/i;
const NO_HEADERS: IncomingHttpHeaders = Object.freeze({});
const CALL = Symbol("call");

type CallStream = PeerStream & { [CALL]: StreamEvents };

/** What a stream tells its call. */
interface StreamEvents {
  response(header: IncomingHttpHeaders & IncomingHttpStatusHeader): void;
  data(chunk: Buffer): void;
  trailers(trailer: IncomingHttpHeaders): void;
  end(): void;
  error(error: Error): void;
  close(): void;
}

/**
 * Stands in for a call that is over. V8 lets go of a stream only when it collects the old generation, and a collection of the young one
 * has to move all that hangs on it until then: the call, and what waits for it.
 */
const OVER: StreamEvents = Object.freeze({ response() {}, data() {}, trailers() {}, end() {}, error() {}, close() {} });

export interface UnaryCallInit {
  readonly session: PeerSession;
  readonly headers: OutgoingHttpHeaders;
  /** The request, compressed if `grpc-encoding` in the headers says so. */
  readonly body: RequestBody;
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  readonly deadlines: Deadlines;
  /** The largest message of the answer. */
  readonly readMaxBytes: number;
}

/** What came back when the peer's status was OK. */
export interface UnaryAnswer {
  readonly header: IncomingHttpHeaders;
  readonly trailer: IncomingHttpHeaders;
  /** The serialized response, a view of the network's buffer when it came in one piece. */
  readonly message: Uint8Array;
  /** Whether the message is compressed, as `grpc-encoding` in the header says. */
  readonly compressed: boolean;
}

/**
 * Calls a method that answers with one message. Rejects with a ConnectError whose cause is the NodeError, if the failure is of this side or of the
 * network. A repeatable request
 * that the peer certainly never processed is sent again by itself.
 */
export function callUnary(init: UnaryCallInit): Promise<UnaryAnswer> {
  return new Promise((resolve, reject) => {
    new UnaryCall(init, resolve, reject).begin();
  });
}

class UnaryCall implements Expiring, StreamEvents {
  readonly #init: UnaryCallInit;
  readonly #resolve: (answer: UnaryAnswer) => void;
  readonly #reject: (error: ConnectError) => void;
  readonly #target: string;
  #stream: CallStream | undefined;
  #settled = false;
  #attempts = 0;
  #tick = -1;
  #startedAt = 0;
  #streamError: Error | undefined;
  #header: IncomingHttpHeaders | undefined;
  #trailer: IncomingHttpHeaders | undefined;
  /** What has come of the body: the first chunk itself, or a buffer that grows. */
  #body: Buffer | undefined;
  #bodyIsOwn = false;
  #length = 0;
  /** The frame's whole length; -1 until its header is there. */
  #expected = -1;

  constructor(init: UnaryCallInit, resolve: (answer: UnaryAnswer) => void, reject: (error: ConnectError) => void) {
    this.#init = init;
    this.#target = init.session.address.name;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  begin(): void {
    const { signal, timeoutMs, deadlines } = this.#init;
    if (signal !== undefined) {
      if (signal.aborted) return this.fail(failures.abortFailure(signal));
      signal.addEventListener("abort", this);
    }
    if (timeoutMs !== undefined) {
      this.#startedAt = performance.now();
      this.#tick = deadlines.add(this, timeoutMs);
    }
    this.#send();
  }

  #send(): void {
    const { session, headers, body } = this.#init;
    this.#attempts++;
    let stream: CallStream;
    try {
      stream = session.request(headers, body.sizeBytes) as CallStream;
    } catch (error) {
      return this.fail(this.#notOpened(error));
    }
    this.#stream = stream;
    stream[CALL] = this;
    stream.on("response", onResponse);
    stream.on("data", onData);
    stream.on("trailers", onTrailers);
    stream.on("end", onEnd);
    stream.on("error", onError);
    stream.on("close", onClose);
    body.send(stream);
  }

  #notOpened(error: unknown): ConnectError {
    if (error instanceof NodeError) return failures.connectionFailure(error, false);
    const message = `Cannot send the request to ${this.#target}: its metadata is not valid in HTTP/2`;
    return failures.failed(new NodeError("invalid_argument", message, { cause: error }));
  }

  /** The deadline has passed. */
  expire(): void {
    this.#tick = -1;
    this.#cancel(failures.deadlineFailure(this.#target, this.#init.timeoutMs!));
  }

  /** The caller's signal. */
  handleEvent(): void {
    this.#cancel(failures.abortFailure(this.#init.signal!));
  }

  #cancel(error: ConnectError): void {
    if (this.#settled) return;
    this.fail(error);
  }

  response(header: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    if (this.#settled) return;
    this.#header = header;
    this.#stream!.connection.heard = true;
    const status = header[":status"];
    if (status !== 200) {
      const code = codeFromHttpStatus(status ?? 0);
      return this.fail(failures.httpFailure(this.#target, status ?? 0, code));
    }
    const type = header["content-type"];
    if (type !== "application/grpc+proto" && type !== "application/grpc" && !CONTENT_TYPE.test(type ?? "")) {
      return this.fail(failures.misbehaved(this.#target, Code.Unknown, `the content type is ${JSON.stringify(type)}`));
    }
    if (this.#length > 0) this.#judgeLength();
  }

  data(chunk: Buffer): void {
    if (this.#settled) return;
    this.#stream!.connection.heard = true;
    if (this.#body === undefined) {
      this.#body = chunk;
      this.#length = chunk.length;
    } else this.#append(chunk);
    if (this.#expected < 0 && this.#length >= FRAME_HEADER_BYTES) {
      this.#expected = FRAME_HEADER_BYTES + this.#body.readUInt32BE(1);
    }
    // Deno gives data before the headers that say whether it is gRPC at all; until then the limit only bounds what is held.
    if (this.#header !== undefined || this.#length > this.#init.readMaxBytes) this.#judgeLength();
  }

  #judgeLength(): void {
    const { readMaxBytes } = this.#init;
    const sizeBytes = this.#expected - FRAME_HEADER_BYTES;
    if (sizeBytes > readMaxBytes) {
      const message =
        `The answer of ${this.#target} has ${sizeBytes} bytes, over the limit of ${readMaxBytes} for one message`;
      const data = { target: this.#target, sizeBytes, limitBytes: readMaxBytes };
      this.fail(failures.failed(new NodeError("output_too_large", message, { data })));
    } else if (this.#expected >= 0 && this.#length > this.#expected) {
      this.fail(failures.misbehaved(this.#target, Code.Unimplemented, "more than one message came"));
    }
  }

  /**
   * Copies into a buffer that is as long as the frame, or doubles beyond {@link FRAME_ROOM_BYTES}: a peer that announces much and sends single bytes
   * costs no more memory than it sent and that.
   */
  #append(chunk: Buffer): void {
    const needed = this.#length + chunk.length;
    let body = this.#body!;
    if (!this.#bodyIsOwn || body.length < needed) {
      const wanted = Math.max(needed, 2 * body.length, this.#expected > needed ? FRAME_ROOM_BYTES : 0);
      // Not longer than the frame, if its length is known; what comes beyond it is an error that data() reports.
      const grown = Buffer.allocUnsafe(this.#expected > needed ? Math.min(wanted, this.#expected) : wanted);
      body.copy(grown, 0, 0, this.#length);
      release(body);
      body = grown;
      this.#body = grown;
      this.#bodyIsOwn = true;
    }
    body.set(chunk, this.#length);
    this.#length = needed;
    release(chunk);
  }

  trailers(trailer: IncomingHttpHeaders): void {
    if (this.#settled) return;
    this.#trailer = trailer;
    this.#stream!.connection.heard = true;
    // Data may still wait in the stream's buffer; then `end` concludes.
    if (this.#length === this.#expected) this.#conclude();
  }

  end(): void {
    // Without headers this is no answer but a broken stream; `close` knows why.
    if (!this.#settled && this.#header !== undefined && (this.#trailer !== undefined || hasStatus(this.#header))) {
      this.#conclude();
    }
  }

  close(): void {
    if (this.#settled) return;
    const stream = this.#stream!;
    const { connection, rstCode } = stream;
    const neverSent = stream.pending || rstCode === NGHTTP2_REFUSED_STREAM;
    if (
      neverSent && this.#init.body.repeatable && (connection.established || !connection.closed) &&
      this.#attempts < MAX_ATTEMPTS
    ) {
      this.#forget();
      return this.#send();
    }
    // A lost connection is no reset, whatever the code says: Node gives CANCEL for it, Deno gives none.
    // Before its first frame of HTTP/2 a peer can reset nothing.
    if (connection.closed || stream.pending || !connection.established) {
      return this.fail(failures.connectionFailure(connection.failure(this.#streamError), !neverSent));
    }
    if (rstCode !== NGHTTP2_NO_ERROR) {
      const { timeoutMs } = this.#init;
      // A server ends a call that is over its deadline by a reset, which may be here before the timer's tick.
      const isOver = timeoutMs !== undefined && performance.now() - this.#startedAt >= timeoutMs;
      if (isOver && rstCode === NGHTTP2_CANCEL) return this.fail(failures.deadlineFailure(this.#target, timeoutMs));
      return this.fail(failures.resetFailure(this.#target, rstCode));
    }
    this.#conclude();
  }

  /** Back to the beginning, for another attempt. */
  #forget(): void {
    this.#header = undefined;
    this.#trailer = undefined;
    this.#streamError = undefined;
    this.#body = undefined;
    this.#bodyIsOwn = false;
    this.#length = 0;
    this.#expected = -1;
  }

  /** Nothing more comes: what was received is an answer, an error of the peer, or a breach of the protocol. */
  #conclude(): void {
    const target = this.#target;
    const header = this.#header;
    if (header === undefined) return this.fail(failures.misbehaved(target, Code.Internal, "there is none"));
    const trailer = this.#trailer ?? NO_HEADERS;
    const holder = hasStatus(trailer) ? trailer : header;
    if (!isOk(holder)) {
      const error = statusError({ target, header, trailer, hasMessage: this.#length > 0 });
      if (error !== undefined) return this.fail(error);
    }
    if (this.#length === 0) {
      const code = this.#trailer === undefined ? Code.Unknown : Code.Unimplemented;
      return this.fail(failures.misbehaved(target, code, "the status is OK but no message came"));
    }
    if (this.#length !== this.#expected) {
      return this.fail(failures.misbehaved(target, Code.InvalidArgument, "the message is incomplete"));
    }
    const body = this.#body!;
    const flags = body[0]!;
    if (flags > 1) {
      return this.fail(failures.misbehaved(target, Code.Internal, `unknown flags ${flags} on the message`));
    }
    this.#finish();
    this.#resolve({
      header,
      trailer,
      message: body.subarray(FRAME_HEADER_BYTES, this.#length),
      compressed: flags === 1,
    });
  }

  /** `close` follows, and decides with what it knows of the connection. */
  error(error: Error): void {
    this.#streamError = error;
  }

  fail(error: ConnectError): void {
    if (this.#settled) return;
    this.#finish();
    this.#reject(error);
  }

  #finish(): void {
    this.#settled = true;
    const { signal, deadlines } = this.#init;
    if (this.#tick !== -1) deadlines.remove(this, this.#tick);
    signal?.removeEventListener("abort", this);
    const stream = this.#stream;
    if (stream === undefined) return;
    if (this.#expected > LARGE_ANSWER_BYTES) largeStreamOver();
    stream[CALL] = OVER;
    if (stream.closed || stream.destroyed) return;
    // An answer that came whole ends its stream. Anything else is reset: the peer must not go on working or sending.
    const answered = this.#trailer !== undefined || stream.readableEnded;
    if (!answered || !stream.writableFinished) stream.close(NGHTTP2_CANCEL);
  }
}

function onResponse(this: CallStream, header: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
  this[CALL].response(header);
}

function onData(this: CallStream, chunk: Buffer): void {
  this[CALL].data(chunk);
}

function onTrailers(this: CallStream, trailer: IncomingHttpHeaders): void {
  this[CALL].trailers(trailer);
}

function onEnd(this: CallStream): void {
  this[CALL].end();
}

function onError(this: CallStream, error: Error): void {
  this[CALL].error(error);
}

function onClose(this: CallStream): void {
  this[CALL].close();
}
