import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { constants } from "node:http2";
import type { Socket } from "node:net";
import { isDeno, release } from "../core/mod.ts";
import { type ConnectionEvents, type ConnectionSettings, EngineConnection } from "./engine.ts";
import { ownBytes } from "./own-bytes.ts";
import { ProtocolError } from "./protocol-error.ts";
import type { Http2Stream, StreamPort } from "./stream.ts";

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = constants;

/** Blocks that have no more together are written as one. */
const JOINED_BYTES = 64 << 10; // 64 KiB

/** How long what is left may take to go out at the end of a connection, in milliseconds. */
const LAST_WRITE_MS = 10_000;

/**
 * What may wait in the socket of a server beside bodies, in bytes. A client that asks and does not read answers without a body is not read any more
 * either. Clients always read, so that two ends never wait for each other.
 */
const MORE_UNSENT_BYTES = 1 << 20; // 1 MiB

const NO_BYTES = new Uint8Array();

export interface SessionSettings extends ConnectionSettings {
  /** What may wait in the socket, in bytes. More is left with its streams, so that their writers wait. */
  readonly maxUnsentBytes: number;
}

/**
 * One end of an HTTP/2 connection, which joins what the engine has of it with its socket and its streams. It has the methods, properties and events of
 * node:http2's sessions that callers and servers use. The socket is its own from then on; it may have bytes put back.
 *
 * While the engine is at work it may not be called to receive or to send, so what it tells is put off until it is done, in order.
 */
export abstract class Http2Session<S extends Http2Stream> extends EventEmitter implements ConnectionEvents, StreamPort {
  readonly socket: Socket;
  closed = false;
  destroyed = false;
  protected readonly connection: EngineConnection;
  protected readonly streams = new Map<number, S>();
  /** Whether the socket takes anything yet. */
  protected isConnected: boolean;
  #busy = false;
  #after: (() => void)[] = [];
  #resets: (readonly [stream: number, code: number])[] = [];
  /** What the engine reads now. */
  #part: Uint8Array = NO_BYTES;
  /** Whether a stream has the buffer of it. */
  #isHandedOn = false;
  /** What it gives to be sent, and this in blocks. */
  readonly #out: Uint8Array[] = [];
  #blocks: Uint8Array[] = [];
  #outBytes = 0;
  /** Tell those who wrote what is among the blocks, and those who wrote what the socket was given last. */
  #untold: (() => void)[] = [];
  #lastUntold: (() => void)[] = [];
  readonly #isTls: boolean;
  /** What the socket has not taken yet. */
  #unsent = 0;
  /** Streams of which something goes out now, and those that had to leave it for want of room. */
  readonly #moving = new Set<Http2Stream>();
  readonly #stalled = new Set<number>();
  readonly #pings: ((error: Error | null) => void)[] = [];
  #isFlushing = false;
  #hasMore = false;
  #isAwaited = false;
  #isPaused = false;
  /** The peer asked to leave. */
  #isDismissed = false;
  readonly #maxUnsentBytes: number;
  readonly #stopsReading: boolean;

  constructor(socket: Socket, settings: SessionSettings, isConnected: boolean) {
    super();
    this.socket = socket;
    this.isConnected = isConnected;
    this.#isTls = "encrypted" in socket;
    this.#maxUnsentBytes = settings.maxUnsentBytes;
    this.#stopsReading = settings.server !== undefined;
    this.connection = new EngineConnection(settings, this);
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    // An error is the peer's doing; `close` follows.
    socket.on("error", ignore);
    // What was written before may still go out.
    socket.on("end", () => this.destroyed || this.#end());
    socket.on("close", () => this.destroy());
    this.flushSoon();
  }

  /** Headers or trailers of a stream have come. */
  abstract headers(id: number, raw: string[], ends: boolean): void;

  settings(): void {}

  dismissed(_code: number): void {
    this.#isDismissed = true;
  }

  /** Takes no new streams, and ends with the last one that is open. */
  close(): void {
    if (this.closed || this.destroyed) return;
    this.closed = true;
    this.connection.leave(NGHTTP2_NO_ERROR);
    this.flushSoon();
  }

  /** Ends the connection and every stream, at once. Both are told an error, if there is one. */
  destroy(error?: Error): void {
    if (this.destroyed) return;
    this.#letGo(error);
    this.socket.destroy();
    this.#emitClose(error);
  }

  /** Calls back when the peer has answered, or with an error when the connection ends before. */
  ping(onAnswer: (error: Error | null) => void): void {
    if (this.destroyed) return;
    this.#pings.push(onAnswer);
    this.connection.ping();
    this.flushSoon();
  }

  data(id: number, offset: number, length: number): void {
    const stream = this.streams.get(id);
    if (stream === undefined) {
      this.connection.consume(id, length);
      return;
    }
    const view = this.#part.subarray(offset, offset + length);
    // Nobody else has what came, so that its greater part goes on as it is.
    const isMost = 2 * length >= view.buffer.byteLength;
    if (isMost) this.#isHandedOn = true;
    const bytes = isMost ? view as Buffer : ownBytes(view);
    this.later(() => stream.arrive(bytes));
  }

  ended(id: number): void {
    const stream = this.streams.get(id);
    if (stream !== undefined) this.later(() => stream.arriveEnd());
  }

  streamClosed(id: number, code: number): void {
    if (this.#resets.length > 0) this.#resets = this.#resets.filter(([stream]) => stream !== id);
    const stream = this.streams.get(id);
    if (stream === undefined) return;
    this.streams.delete(id);
    this.#stalled.delete(id);
    this.later(() => stream.gone(code));
  }

  body(id: number, most: number): number {
    const stream = this.streams.get(id);
    if (stream === undefined) return -1;
    if (this.#outBytes + this.#unsent >= this.#maxUnsentBytes) {
      this.#stalled.add(id);
      return -1;
    }
    const body = stream.nextBody(most);
    if (body >= 0) this.#moving.add(stream);
    return body;
  }

  send(id: number, header: Uint8Array, length: number): void {
    this.#push(header);
    if (length === 0) return;
    const { length: before } = this.#out;
    this.streams.get(id)!.moveBody(length, this.#out);
    for (let i = before; i < this.#out.length; i++) this.#outBytes += this.#out[i]!.length;
  }

  pong(): void {
    const onAnswer = this.#pings.shift();
    if (onAnswer !== undefined) this.later(() => onAnswer(null));
  }

  respond(id: number, text: string, hasBody: boolean): boolean {
    if (this.destroyed) return false;
    this.flushSoon();
    return this.connection.respond(id, text, hasBody);
  }

  inform(id: number, text: string): boolean {
    if (this.destroyed) return false;
    this.flushSoon();
    return this.connection.inform(id, text);
  }

  trailers(id: number, text: string): boolean {
    if (this.destroyed) return false;
    this.flushSoon();
    return this.connection.trailers(id, text);
  }

  resume(id: number): void {
    if (this.destroyed) return;
    this.connection.resume(id);
    this.flushSoon();
  }

  /** What was written before goes out before. */
  reset(id: number, code: number): void {
    if (this.destroyed) return;
    this.#resets.push([id, code]);
    this.flushSoon();
  }

  consume(id: number, bytes: number): void {
    if (this.destroyed) return;
    this.connection.consume(id, bytes);
    this.flushSoon();
  }

  onceOut(tell: () => void): void {
    if (this.#outBytes > 0 && !this.destroyed) this.#untold.push(tell);
    else if (this.#unsent > 0 && !this.socket.destroyed) this.#lastUntold.push(tell);
    else tell();
  }

  forget(stream: Http2Stream): void {
    this.#moving.delete(stream);
    if (this.streams.get(stream.id) !== stream) return;
    // Until its reset is out, what comes for it is dropped.
    this.streams.delete(stream.id);
    this.#stalled.delete(stream.id);
  }

  /** Does something when the engine is not at work. */
  protected later(work: () => void): void {
    this.#after.push(work);
  }

  #receive(chunk: Uint8Array): void {
    if (this.destroyed) return;
    this.#busy = true;
    const goesOn = this.connection.receive(chunk, (part) => this.#part = part);
    this.#busy = false;
    this.#part = NO_BYTES;
    if (this.#isHandedOn) this.#isHandedOn = false;
    else release(chunk);
    this.#settle();
    if (goesOn) this.#flush();
    else this.destroy(new ProtocolError());
  }

  protected flushSoon(): void {
    this.#hasMore = true;
    if (this.#isAwaited || this.#busy || this.#isFlushing) return;
    this.#isAwaited = true;
    queueMicrotask(() => {
      this.#isAwaited = false;
      this.#flush();
    });
  }

  /** Does what was put off while the engine was at work. */
  #settle(): void {
    while (this.#after.length > 0) {
      const work = this.#after;
      this.#after = [];
      for (const each of work) each();
    }
  }

  /** Sends all that there is and room for. */
  #flush(): void {
    if (this.destroyed || !this.isConnected || this.#busy || this.#isFlushing) return;
    this.#isFlushing = true;
    try {
      do {
        this.#hasMore = false;
        if (!this.#pull()) {
          this.destroy(new ProtocolError());
          return;
        }
        const isCopied = this.#block();
        for (const stream of this.#moving) {
          const writes = stream.takeSent();
          if (isCopied) stream.told(writes);
          else if (writes.length > 0) this.#untold.push(() => stream.told(writes));
          stream.moved();
        }
        this.#moving.clear();
        this.#settle();
        this.#reset();
      } while (this.#hasMore && !this.destroyed);
    } finally {
      this.#isFlushing = false;
    }
    if (this.destroyed) return;
    this.#write();
    if (!this.connection.isOpen || (this.closed && this.streams.size === 0)) {
      this.#end(this.closed || this.#isDismissed ? undefined : new ProtocolError());
    }
  }

  /** Takes all frames from the engine. Returns false when the connection cannot go on. */
  #pull(): boolean {
    this.#busy = true;
    let frame: Uint8Array | undefined | false;
    while ((frame = this.connection.next())) this.#push(frame);
    this.#busy = false;
    return frame !== false;
  }

  /** Makes blocks of them: one of their own bytes, or their bytes as they are if they are many. Returns whether they were copied. */
  #block(): boolean {
    const out = this.#out.splice(0);
    const bytes = out.reduce((sum, { length }) => sum + length, 0);
    // Deno would encrypt each block by itself, frame headers too.
    const copies = bytes <= JOINED_BYTES || (this.#isTls && isDeno);
    if (!copies) this.#blocks.push(...out);
    else if (out.length > 0) this.#blocks.push(Buffer.concat(out));
    return copies;
  }

  #push(bytes: Uint8Array): void {
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
  }

  #reset(): void {
    if (this.#resets.length === 0 || this.destroyed) return;
    for (const [id, code] of this.#resets) this.connection.reset(id, code);
    this.#resets = [];
    this.#hasMore = true;
  }

  #write(): void {
    const bytes = this.#outBytes;
    if (bytes === 0) return;
    const blocks = this.#blocks.length > 1 && bytes <= JOINED_BYTES ? [Buffer.concat(this.#blocks)] : this.#blocks;
    const untold = this.#lastUntold = this.#untold;
    this.#untold = [];
    this.#unsent += bytes;
    this.#outBytes = 0;
    this.socket.cork();
    blocks.forEach((block, i) => {
      if (i < blocks.length - 1) this.socket.write(block);
      else this.socket.write(block, () => this.#sent(bytes, untold));
    });
    this.socket.uncork();
    this.#blocks = [];
    if (!this.#stopsReading || this.#unsent < this.#maxUnsentBytes + MORE_UNSENT_BYTES) return;
    this.#isPaused = true;
    this.socket.pause();
  }

  #sent(bytes: number, untold: readonly (() => void)[]): void {
    this.#unsent -= bytes;
    for (const tell of untold) tell();
    if (this.destroyed) return;
    if (this.#isPaused && this.#unsent < this.#maxUnsentBytes) {
      this.#isPaused = false;
      this.socket.resume();
    }
    if (this.#stalled.size === 0) return;
    for (const id of this.#stalled) this.connection.resume(id);
    this.#stalled.clear();
    this.#flush();
  }

  /** Ends the connection when what was written is out. */
  #end(error?: Error): void {
    const { socket } = this;
    this.#letGo(error);
    const timer = setTimeout(() => socket.destroy(), LAST_WRITE_MS);
    timer.unref();
    socket.end(() => socket.destroy());
    socket.once("close", () => {
      clearTimeout(timer);
      this.#emitClose(error);
    });
  }

  /** Lets go of everything but the socket. */
  #letGo(error: Error | undefined): void {
    this.destroyed = true;
    this.closed = true;
    const streams = [...this.streams.values()];
    this.streams.clear();
    for (const stream of streams) stream.gone(NGHTTP2_CANCEL, error);
    for (const tell of this.#untold.splice(0)) this.onceOut(tell);
    for (const onAnswer of this.#pings.splice(0)) onAnswer(error ?? new Error("The connection has ended"));
    if (this.#busy) this.later(() => this.connection.close());
    else this.connection.close();
  }

  #emitClose(error: Error | undefined): void {
    if (error !== undefined) this.emit("error", error);
    this.emit("close");
  }
}

function ignore(): void {}
