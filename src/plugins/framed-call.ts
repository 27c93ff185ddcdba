import type { Buffer } from "node:buffer";
import { constants } from "node:http2";
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  IncomingHttpStatusHeader,
  OutgoingHttpHeaders,
} from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { validateResponseWithCompression, validateTrailer } from "@connectrpc/connect/protocol-grpc";
import type { ExternalSession } from "./external-session.ts";
import { FrameReader } from "./frame-reader.ts";

/*
 * One gRPC call with streams both ways over a stream of node:http2, driven by its events: Connect's client makes a pipeline of generators for each
 * call, which for a short one cost several times as much as the call. What is no gRPC, and what a status means, is Connect's own judgement.
 *
 * Events may come in any order that is not absurd: Deno gives data before the response's headers, and for a connection that drops an
 * orderly end. So each of them only adds to what is known, and `trailers`, `end` and `close` try to conclude from it.
 */

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = constants;

export interface FramedCallInit {
  readonly session: ExternalSession;
  readonly headers: OutgoingHttpHeaders;
  /** The frames of the requests: all of them, or as they come, each in parts. */
  readonly requests: Uint8Array | AsyncIterable<readonly Uint8Array[]>;
  /** Ends the call when it aborts. */
  readonly signal: AbortSignal;
  /** The largest message of the answer. */
  readonly readMaxBytes: number;
  /** Takes one message of the answer, which is its own from then on. Nothing more is read before the promise, if any, has resolved. */
  readonly take: (message: Uint8Array) => void | Promise<void>;
}

/**
 * Makes a call, and resolves when it ended with the status OK and all messages are taken. Rejects with what `take` or the requests' source
 * threw, the signal's reason, or a ConnectError: the peer's own status, or what went wrong on the way. Whatever ends the call early
 * resets its stream.
 */
export function callFramed(init: FramedCallInit): Promise<void> {
  return new Promise((resolve, reject) => new FramedCall(init, { resolve, reject }).begin());
}

interface Settle {
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

class FramedCall {
  readonly #init: FramedCallInit;
  readonly #settle: Settle;
  readonly #frames: FrameReader;
  #session: ClientHttp2Session | undefined;
  #stream: ClientHttp2Stream | undefined;
  #source: AsyncIterator<readonly Uint8Array[]> | undefined;
  #header: (IncomingHttpHeaders & IncomingHttpStatusHeader) | undefined;
  /** Whether the headers hold the status, and no trailers follow. */
  #statusInHeader = false;
  #trailer: IncomingHttpHeaders | undefined;
  #streamError: Error | undefined;
  /** What came and cannot be taken yet. */
  readonly #held: Buffer[] = [];
  #isTaking = false;
  #ended = false;
  #closed = false;
  #settled = false;
  /** Lets the requests go on. */
  #proceed = () => {};

  constructor(init: FramedCallInit, settle: Settle) {
    this.#init = init;
    this.#settle = settle;
    this.#frames = new FrameReader(init.readMaxBytes);
  }

  begin(): void {
    const { session, signal } = this.#init;
    if (signal.aborted) return this.#fail(signal.reason);
    signal.addEventListener("abort", this);
    const open = session.current;
    if (open !== undefined) return this.#send(open);
    session.open().then((opened) => this.#send(opened), (reason) => this.#fail(reason));
  }

  /** The signal has aborted. */
  handleEvent(): void {
    this.#fail(this.#init.signal.reason);
  }

  #send(session: ClientHttp2Session): void {
    if (this.#settled) return;
    const { headers, requests } = this.#init;
    this.#session = session;
    try {
      this.#stream = session.request(headers);
    } catch (error) {
      return this.#fail(broken(error as Error));
    }
    const stream = this.#stream;
    stream.on("response", (header) => this.#response(header));
    stream.on("data", (chunk: Buffer) => this.#data(chunk));
    stream.on("trailers", (trailer) => {
      this.#trailer = trailer;
      this.#conclude();
    });
    stream.on("end", () => {
      this.#ended = true;
      this.#conclude();
    });
    // `close` follows, and decides.
    stream.on("error", (error) => this.#streamError ??= error);
    stream.on("close", () => this.#close());
    stream.on("drain", () => this.#proceed());
    if (requests instanceof Uint8Array) stream.end(requests);
    else void this.#write(stream, requests);
  }

  async #write(stream: ClientHttp2Stream, requests: AsyncIterable<readonly Uint8Array[]>): Promise<void> {
    const source = this.#source = requests[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await source.next();
        if (this.#settled) return;
        if (next.done === true) break;
        stream.cork();
        let hasRoom = true;
        for (const part of next.value) hasRoom = stream.write(part);
        stream.uncork();
        if (!hasRoom) await new Promise<void>((resolve) => this.#proceed = resolve);
        if (this.#settled) return;
      }
      stream.end();
    } catch (reason) {
      this.#fail(reason);
    }
  }

  #response(header: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    if (this.#settled) return;
    this.#header = header;
    if (!isPlain(header)) {
      try {
        const { foundStatus, headerError } = validateResponseWithCompression([], header[":status"] ?? 0, webOf(header));
        if (headerError !== undefined) throw headerError;
        this.#statusInHeader = foundStatus;
      } catch (error) {
        return this.#fail(error);
      }
    }
    this.#goOn();
  }

  #data(chunk: Buffer): void {
    if (this.#settled) return;
    if (!this.#isTaking && this.#header !== undefined && this.#held.length === 0) return this.#take(chunk);
    this.#held.push(chunk);
    this.#stream!.pause();
  }

  /** Takes what was held. */
  #goOn(): void {
    while (!this.#settled && !this.#isTaking && this.#header !== undefined && this.#held.length > 0) {
      this.#take(this.#held.shift()!);
    }
    if (this.#settled || this.#isTaking || this.#header === undefined) return;
    if (this.#stream!.isPaused()) this.#stream!.resume();
    this.#conclude();
  }

  /** Takes the messages that a chunk completes, until one has to be waited for. */
  #take(chunk: Buffer): void {
    let at = 0;
    try {
      while (at < chunk.length && !this.#settled) {
        at = this.#frames.read(chunk, at);
        const message = this.#frames.message();
        if (message === undefined) continue;
        const wait = this.#init.take(message);
        if (wait === undefined) continue;
        if (at < chunk.length) this.#held.unshift(chunk.subarray(at));
        this.#isTaking = true;
        this.#stream!.pause();
        wait.then(() => {
          this.#isTaking = false;
          this.#goOn();
        }, (reason) => this.#fail(reason));
        return;
      }
    } catch (reason) {
      this.#fail(reason);
    }
  }

  /** When nothing more comes and all is taken, what came is an answer, an error of the peer, or a breach of the protocol. */
  #conclude(): void {
    if (this.#settled || !this.#ended || this.#isTaking || this.#held.length > 0 || this.#header === undefined) return;
    const trailer = this.#trailer;
    if (trailer === undefined && !this.#statusInHeader && !this.#closed) return;
    try {
      this.#frames.end();
      if (!this.#statusInHeader && !(trailer !== undefined && isOk(trailer))) {
        validateTrailer(webOf(trailer ?? {}), webOf(this.#header));
      }
    } catch (error) {
      return this.#fail(error);
    }
    this.#finish();
    this.#settle.resolve();
  }

  #close(): void {
    this.#closed = true;
    if (this.#settled) return this.#proceed();
    // On Node a lost connection looks like a canceled stream, and on Deno like an orderly end.
    const isWhole = this.#ended && (this.#trailer !== undefined || this.#statusInHeader);
    if (this.#streamError !== undefined && !isWhole) return this.#fail(broken(this.#streamError));
    if (this.#session!.destroyed && !isWhole) {
      return this.#fail(new ConnectError("the connection was lost in the middle of the call", Code.Unavailable));
    }
    const { rstCode } = this.#stream!;
    if (rstCode !== NGHTTP2_NO_ERROR && !isWhole) return this.#fail(resetOf(rstCode ?? NGHTTP2_CANCEL));
    if (this.#header === undefined) return this.#fail(new ConnectError("there is no answer", Code.Internal));
    this.#ended = true;
    this.#conclude();
  }

  #fail(reason: unknown): void {
    if (this.#settled) return;
    this.#finish();
    this.#settle.reject(reason);
  }

  #finish(): void {
    this.#settled = true;
    this.#init.signal.removeEventListener("abort", this);
    this.#held.length = 0;
    this.#proceed();
    // Not awaited: a source that waits for something else would never let go.
    this.#source?.return?.().catch(() => {});
    const stream = this.#stream;
    if (stream === undefined || stream.closed || stream.destroyed) return;
    // An answer that came whole ends its stream. Anything else is reset: the peer must not go on working or sending.
    if (!this.#ended || !stream.writableFinished) stream.close(NGHTTP2_CANCEL);
  }
}

/** Whether the headers are those of an answer that is well, with everything else to follow. */
function isPlain(header: IncomingHttpHeaders & IncomingHttpStatusHeader): boolean {
  const type = header["content-type"];
  return header[":status"] === 200 && (type === "application/grpc" || type === "application/grpc+proto") &&
    header["grpc-encoding"] === undefined && header["grpc-status"] === undefined &&
    header["grpc-status-details-bin"] === undefined;
}

function isOk(trailer: IncomingHttpHeaders): boolean {
  return trailer["grpc-status"] === "0" && trailer["grpc-status-details-bin"] === undefined;
}

/** Headers as Connect reads them. */
function webOf(headers: IncomingHttpHeaders): Headers {
  const result = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) result.append(name, String(one));
  }
  return result;
}

/** An error of node:http2 or of the network below it. */
function broken(error: Error): ConnectError {
  const result = ConnectError.from(error, Code.Internal);
  if (result !== error) result.cause = error;
  return result;
}

/** What the peer's reset of the stream means (gRPC over HTTP2, "Errors"). */
function resetOf(rstCode: number): ConnectError {
  const code = rstCode === NGHTTP2_CANCEL
    ? Code.Canceled
    : rstCode === NGHTTP2_REFUSED_STREAM
    ? Code.Unavailable
    : Code.Internal;
  return new ConnectError(`it reset the stream with the HTTP/2 code ${rstCode}`, code);
}
