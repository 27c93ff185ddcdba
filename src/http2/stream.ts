import type { Buffer } from "node:buffer";
import { constants } from "node:http2";
import { Duplex } from "node:stream";
import { BODY_ENDS, BODY_HAS_TRAILERS } from "./engine.ts";

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

/** What a stream needs of its connection. */
export interface StreamPort {
  respond(stream: number, text: string, hasBody: boolean): boolean;
  inform(stream: number, text: string): boolean;
  trailers(stream: number, text: string): boolean;
  resume(stream: number): void;
  reset(stream: number, code: number): void;
  consume(stream: number, bytes: number): void;
  /** Calls back when nobody needs the bytes any more that have gone out so far. */
  onceOut(tell: () => void): void;
  /** The stream needs nothing any more. */
  forget(stream: Http2Stream): void;
}

/** A write that waits for room in the connection. */
export interface Write {
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  readonly done: (error?: Error | null) => void;
}

/**
 * A request and its answer, at either end: what comes of one is read, what goes of the other is written. It has the methods, properties and events of
 * node:http2's streams that callers and servers use, and behaves as these do, but for server push and priorities, which it has not.
 */
export abstract class Http2Stream extends Duplex {
  readonly id: number;
  /** Its connection, as callers and servers know it. */
  readonly session: object;
  aborted = false;
  rstCode: number = NGHTTP2_NO_ERROR;
  protected readonly port: StreamPort;
  /** Whether trailers are to follow what is written. */
  protected waitsForTrailers = false;
  /** Trailers are on their way, or an empty frame in place of them. */
  protected hasTrailers = false;
  /** Nothing more of what is written goes out. */
  protected bodyIsOut = false;
  #isClosed = false;
  /** The connection knows nothing of it any more. */
  #isGone = false;
  /** Trailers were asked for. */
  #isAsked = false;
  /** Bytes that came and wait for their reader; the peer may not send as many more. */
  #unread = 0;
  readonly #writes: Write[] = [];
  /** Which chunk of the first of these goes out, and what of it has gone. */
  #chunk = 0;
  #at = 0;
  #unsent = 0;
  /** Writes that are out and whose writers do not know. */
  readonly #sent: Write[] = [];
  /** Bytes of all writes whose writers do not know. */
  #given = 0;
  #final: ((error?: Error | null) => void) | undefined;

  constructor(id: number, session: object, port: StreamPort) {
    super({ allowHalfOpen: true, autoDestroy: false, decodeStrings: true });
    this.id = id;
    this.session = session;
    this.port = port;
  }

  static {
    // Whether one of both ends closed it. TypeScript knows it as a property of Duplex, where it tells something else: who begins to read a stream that
    // is closed takes it for broken off. So one that came whole is open until it was read.
    Object.defineProperty(Http2Stream.prototype, "closed", {
      get(this: Http2Stream) {
        const isWhole = this.#isGone && this.rstCode === NGHTTP2_NO_ERROR;
        return this.#isClosed && (!isWhole || this.readableEnded || this.destroyed);
      },
    });
  }

  /** Resets the stream: at once, or when what was written is out if the code is 0. */
  close(code: number = NGHTTP2_NO_ERROR, onClosed?: () => void): void {
    if (onClosed !== undefined) this.once("close", onClosed);
    if (this.#isClosed) {
      // It came whole, and who reads it does not want the rest.
      if (this.#isGone && code !== NGHTTP2_NO_ERROR) this.destroy();
      return;
    }
    const wasEnding = this.writableEnded;
    this.#markClosed(code);
    if (wasEnding && !this.writableFinished && code === NGHTTP2_NO_ERROR) {
      this.once("finish", () => this.port.reset(this.id, code));
    } else this.port.reset(this.id, code);
  }

  setTimeout(): this {
    return this;
  }

  /** Bytes of the body have come. */
  arrive(bytes: Buffer): void {
    // Whoever reads it may give its memory back at once.
    const { length } = bytes;
    if (this.destroyed || this.readableEnded || this.push(bytes)) this.port.consume(this.id, length);
    else this.#unread += length;
  }

  /** The body has ended. */
  arriveEnd(): void {
    if (!this.destroyed) this.push(null);
  }

  /** The connection has closed the stream. An error is what ended the connection. */
  gone(code: number, error?: Error): void {
    this.#isGone = true;
    if (!this.#isClosed) this.#markClosed(code);
    this.#dropWrites();
    if (code !== NGHTTP2_NO_ERROR || error !== undefined) {
      this.destroy(error);
      return;
    }
    if (this.destroyed) return;
    this.push(null);
    // A body that nobody begins to read is dropped, or it would never end.
    if (this.readableFlowing === null) this.whenUnread(() => this.readableFlowing === null && this.resume());
    if (!this.readableEnded) this.once("end", this.#destroyWhenOver);
    if (!this.writableFinished) this.once("finish", this.#destroyWhenOver);
    this.#destroyWhenOver();
  }

  /** What goes into the next frame; see {@link ConnectionEvents.body}. */
  nextBody(most: number): number {
    if (this.hasTrailers) return BODY_ENDS;
    // Its peer must not take for whole what was broken off.
    if (this.#isClosed && this.rstCode !== NGHTTP2_NO_ERROR) return -1;
    // All that will ever be written may be here already, before the last write was told to be done.
    const isAll = this.#final !== undefined || (this.writableEnded && this.writableLength === this.#given);
    if (this.#unsent === 0 && !isAll) return -1;
    const length = Math.min(this.#unsent, most);
    if (!isAll || length < this.#unsent) return length;
    this.bodyIsOut = true;
    return length | BODY_ENDS | (this.waitsForTrailers ? BODY_HAS_TRAILERS : 0);
  }

  /** Puts so much of the body behind `out`. */
  moveBody(length: number, out: Uint8Array[]): void {
    this.#unsent -= length;
    for (let left = length; left > 0;) {
      const chunk = this.#writes[0]!.chunks[this.#chunk]!;
      const some = Math.min(left, chunk.length - this.#at);
      out.push(some === chunk.length ? chunk : chunk.subarray(this.#at, this.#at + some));
      left -= some;
      this.#at += some;
      if (this.#at === chunk.length) this.#nextChunk();
    }
  }

  /** The writes that were moved out whole since the last time. Their writers wait until they are {@link told}. */
  takeSent(): Write[] {
    this.#skipEmpty();
    return this.#sent.splice(0);
  }

  /** Nobody needs the bytes of these writes any more: their writers may go on. */
  told(writes: readonly Write[]): void {
    for (const write of writes) this.#tell(write);
  }

  /** Something was moved out. */
  moved(): void {
    if (!this.bodyIsOut) return;
    this.#endFinal();
    if (!this.waitsForTrailers || this.hasTrailers || this.#isAsked || this.destroyed) return;
    this.#isAsked = true;
    this.askForTrailers();
  }

  /** The body is out and trailers are to follow. */
  protected askForTrailers(): void {}

  override _read(): void {
    if (this.#unread === 0) return;
    const bytes = this.#unread;
    this.#unread = 0;
    if (!this.#isGone) this.port.consume(this.id, bytes);
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#add({ chunks: [chunk], bytes: chunk.length, done });
  }

  override _writev(all: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    const chunks = all.map(({ chunk }) => chunk);
    this.#add({ chunks, bytes: chunks.reduce((sum, { length }) => sum + length, 0), done });
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#isGone || this.bodyIsOut) return done();
    this.#final = done;
    this.port.resume(this.id);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const code = this.#isClosed ? this.rstCode : error ? NGHTTP2_INTERNAL_ERROR : NGHTTP2_NO_ERROR;
    if (!this.#isClosed) this.#markClosed(code);
    if (!this.#isGone) this.port.reset(this.id, code);
    this.#dropWrites();
    this.port.forget(this);
    const isFault = code !== NGHTTP2_NO_ERROR && code !== NGHTTP2_CANCEL;
    done(error ?? (isFault ? new StreamReset(this.id, code) : null));
  }

  /** Calls back when whoever wants a body that came whole must have begun to read it. */
  protected abstract whenUnread(drop: () => void): void;

  /** Throws when nothing can be sent on it. */
  protected checkOpen(): void {
    if (this.destroyed || this.#isClosed) throw new Error(`Stream ${this.id} is closed`);
  }

  #markClosed(code: number): void {
    this.#isClosed = true;
    this.rstCode = code;
    if (this.writableEnded) return;
    this.aborted = true;
    this.emit("aborted");
    this.end();
  }

  #add(write: Write): void {
    if (this.#isGone || this.bodyIsOut || write.bytes === 0) return write.done();
    this.#given += write.bytes;
    this.#unsent += write.bytes;
    this.#writes.push(write);
    this.port.resume(this.id);
  }

  #skipEmpty(): void {
    while (this.#writes.length > 0) {
      const chunk = this.#writes[0]!.chunks[this.#chunk];
      if (chunk !== undefined && chunk.length > 0) return;
      this.#nextChunk();
    }
  }

  #nextChunk(): void {
    this.#at = 0;
    const [write] = this.#writes;
    if (++this.#chunk < write!.chunks.length) return;
    this.#chunk = 0;
    this.#writes.shift();
    this.#sent.push(write!);
  }

  #tell(write: Write): void {
    this.#given -= write.bytes;
    write.done();
  }

  #endFinal(): void {
    const final = this.#final;
    this.#final = undefined;
    final?.();
  }

  /** Nobody takes what is left to write. */
  #dropWrites(): void {
    this.#unsent = 0;
    this.bodyIsOut = true;
    const begun = this.#chunk > 0 || this.#at > 0 ? this.#writes.splice(0, 1) : [];
    const out = [...this.#sent.splice(0), ...begun];
    if (out.length > 0) this.port.onceOut(() => this.told(out));
    for (const write of this.#writes.splice(0)) this.#tell(write);
    this.#endFinal();
  }

  readonly #destroyWhenOver = () => {
    if (!this.destroyed && this.readableEnded && this.writableFinished) this.destroy();
  };
}

/** A stream was reset. */
export class StreamReset extends Error {
  readonly code = "ERR_HTTP2_STREAM_ERROR";

  constructor(id: number, code: number) {
    super(`Stream ${id} was closed with the HTTP/2 code ${CODES[code] ?? code}`);
  }
}

/** What HTTP/2 calls its codes (RFC 9113 §7). */
const CODES = [
  ...["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"],
  ...["FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"],
  ...["INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"],
];
