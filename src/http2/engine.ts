import { Buffer } from "node:buffer";
import { ENGINE } from "./engine-bytes.ts";
import { FrameWalk } from "./frame-walk.ts";

/** What an engine tells of a connection. It does so while it receives or sends, when none of both may be called again. */
export interface ConnectionEvents {
  /** Headers or trailers, as names and values in turns, and whether nothing follows. */
  headers(stream: number, raw: string[], ends: boolean): void;
  /** A part of what was received, which is a part of a body. */
  data(stream: number, offset: number, length: number): void;
  ended(stream: number): void;
  streamClosed(stream: number, code: number): void;
  /**
   * What of an answer's body goes into a frame: a length of at most `most`, with {@link BODY_ENDS} when nothing follows, and with
   * {@link BODY_HAS_TRAILERS} when trailers do; less than 0 when there is nothing yet, until {@link EngineConnection.resume}.
   */
  body(stream: number, most: number): number;
  /** That much of it goes out, behind the header of its frame. */
  send(stream: number, header: Uint8Array, length: number): void;
  pong(): void;
  /** The peer said what it allows. */
  settings(): void;
  /** The peer asks to leave (GOAWAY). */
  dismissed(code: number): void;
}

export const BODY_ENDS = 1 << 24;
export const BODY_HAS_TRAILERS = 1 << 25;

/** What one end announces and allows. */
export interface ConnectionSettings {
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** What headers of a stream may take, in bytes as HTTP/2 counts them. A stream with more is reset before it is told of. */
  readonly mostHeaderBytes: number;
  /** For a server. */
  readonly server?: {
    readonly maxConcurrentStreams: number;
    /** What clients are told that their headers may take. */
    readonly maxHeaderBytes: number;
  };
}

/** Before a name whose value no table is to keep. */
export const UNINDEXED = "\x01";

/** The exports of `engine/engine.c`. */
interface EngineExports {
  readonly memory: WebAssembly.Memory;
  _initialize(): void;
  open(isClient: number, window: number, connectionWindow: number, most: number, streams: number, told: number): number;
  close(connection: number): void;
  input(): number;
  receive(connection: number, length: number): number;
  next(connection: number): number;
  output(): number;
  wants(connection: number): number;
  scratch(length: number): number;
  request(connection: number, length: number, hasBody: number): number;
  respond(connection: number, stream: number, length: number, hasBody: number): number;
  inform(connection: number, stream: number, length: number): number;
  trailers(connection: number, stream: number, length: number): number;
  finish(connection: number, stream: number): number;
  resume(connection: number, stream: number): void;
  reset(connection: number, stream: number, code: number): void;
  consume(connection: number, stream: number, length: number): void;
  ping(connection: number): void;
  leave(connection: number, code: number): void;
}

/** How much the engine takes at once. */
const INPUT_BYTES = 1 << 16; // 64 KiB

/** nghttp2 in WebAssembly, one a thread, with the connections that it serves. */
class Engine {
  readonly #connections = new Map<number, ConnectionEvents>();
  readonly exports: EngineExports;
  readonly #input: number;
  #memory: Buffer;

  constructor() {
    const of = (connection: number) => this.#connections.get(connection)!;
    const imports = {
      headers: (connection: number, stream: number, at: number, length: number, ends: number) => {
        const raw = this.bytes(at, length).toString("latin1").split("\0");
        raw.pop();
        of(connection).headers(stream, raw, ends !== 0);
      },
      data: (connection: number, stream: number, offset: number, length: number) =>
        of(connection).data(stream, offset, length),
      ended: (connection: number, stream: number) => of(connection).ended(stream),
      closed: (connection: number, stream: number, code: number) => of(connection).streamClosed(stream, code >>> 0),
      body: (connection: number, stream: number, most: number) => of(connection).body(stream, most),
      send: (connection: number, stream: number, at: number, length: number) =>
        of(connection).send(stream, this.copy(at, FRAME_HEADER_BYTES), length),
      pong: (connection: number) => of(connection).pong(),
      settings: (connection: number) => of(connection).settings(),
      dismissed: (connection: number, code: number) => of(connection).dismissed(code >>> 0),
      now: () => performance.now() / 1000,
    };
    const bytes = Uint8Array.from(atob(ENGINE), (char) => char.charCodeAt(0));
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { engine: imports });
    this.exports = instance.exports as unknown as EngineExports;
    this.exports._initialize();
    this.#input = this.exports.input();
    this.#memory = Buffer.from(this.exports.memory.buffer);
  }

  open(settings: ConnectionSettings, events: ConnectionEvents): number {
    const { streamWindowBytes, connectionWindowBytes, mostHeaderBytes, server } = settings;
    const connection = this.exports.open(
      ...[Number(server === undefined), streamWindowBytes, connectionWindowBytes, mostHeaderBytes] as const,
      ...[server?.maxConcurrentStreams ?? 0, server?.maxHeaderBytes ?? 0] as const,
    );
    if (connection === 0) throw new RangeError("There is no memory for another HTTP/2 connection");
    this.#connections.set(connection, events);
    return connection;
  }

  close(connection: number): void {
    this.exports.close(connection);
    this.#connections.delete(connection);
  }

  /** Puts bytes where `receive` takes them, so far from the first. */
  feed(bytes: Uint8Array, at: number): void {
    this.#whole().set(bytes, this.#input + at);
  }

  bytes(at: number, length: number): Buffer {
    return this.#whole().subarray(at, at + length);
  }

  copy(at: number, length: number): Uint8Array {
    return Buffer.from(this.bytes(at, length));
  }

  /** Puts the text of headers where they are taken from, and returns its length. */
  text(text: string): number {
    const at = this.exports.scratch(text.length);
    if (at === 0) throw new RangeError("There is no memory for the headers of an answer");
    this.#whole().write(text, at, "latin1");
    return text.length;
  }

  /** All of its memory; another buffer since it grew. */
  #whole(): Buffer {
    if (this.#memory.length === 0) this.#memory = Buffer.from(this.exports.memory.buffer);
    return this.#memory;
  }
}

const FRAME_HEADER_BYTES = 9;

let shared: Engine | undefined;

/**
 * One end of an HTTP/2 connection (RFC 9113), as nghttp2 has it, without its socket: bytes go in and come out. Nothing here waits.
 * What it holds is free only after {@link close}.
 */
export class EngineConnection {
  readonly #engine = shared ??= new Engine();
  readonly #connection: number;
  readonly #frames: FrameWalk;

  constructor(settings: ConnectionSettings, events: ConnectionEvents) {
    this.#frames = new FrameWalk(settings.server !== undefined);
    this.#connection = this.#engine.open(settings, events);
  }

  /** Takes bytes that came. Parts of at most 64 KiB are told before they are taken. Returns false when the connection cannot go on. */
  receive(bytes: Uint8Array, onPart: (part: Uint8Array) => void): boolean {
    const { exports } = this.#engine;
    for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
      const part = bytes.length <= INPUT_BYTES ? bytes : bytes.subarray(at, at + INPUT_BYTES);
      onPart(part);
      this.#frames.over(part, (from, to) => this.#engine.feed(part.subarray(from, to), from));
      if (exports.receive(this.#connection, part.length) < 0) return false;
    }
    return true;
  }

  /** The frames to send next, nothing when there are none; false when the connection cannot go on. Bodies go by {@link ConnectionEvents.send} meanwhile. */
  next(): Uint8Array | undefined | false {
    const { exports } = this.#engine;
    const length = exports.next(this.#connection);
    if (length <= 0) return length < 0 ? false : undefined;
    return this.#engine.copy(exports.output(), length);
  }

  /** Whether it takes more from its peer, or has something for it. */
  get isOpen(): boolean {
    return this.#engine.exports.wants(this.#connection) !== 0;
  }

  /** Opens a stream with headers, `name\0value\0` each, and returns its number; less than 0 when there can be no more. */
  request(text: string, hasBody: boolean): number {
    const { exports } = this.#engine;
    return exports.request(this.#connection, this.#engine.text(text), Number(hasBody));
  }

  /** Answers with headers, `name\0value\0` each. Returns false when the stream is gone. */
  respond(stream: number, text: string, hasBody: boolean): boolean {
    const { exports } = this.#engine;
    return exports.respond(this.#connection, stream, this.#engine.text(text), Number(hasBody)) === 0;
  }

  /** Sends headers with a status below 200. */
  inform(stream: number, text: string): boolean {
    return this.#engine.exports.inform(this.#connection, stream, this.#engine.text(text)) === 0;
  }

  /** Ends an answer that was to have trailers, with these or, for no text, without any. */
  trailers(stream: number, text: string): boolean {
    const { exports } = this.#engine;
    const result = text === ""
      ? exports.finish(this.#connection, stream)
      : exports.trailers(this.#connection, stream, this.#engine.text(text));
    return result === 0;
  }

  /** There is more of a body. */
  resume(stream: number): void {
    this.#engine.exports.resume(this.#connection, stream);
  }

  reset(stream: number, code: number): void {
    this.#engine.exports.reset(this.#connection, stream, code);
  }

  /** So much of a body was read, and as much may come again. */
  consume(stream: number, bytes: number): void {
    this.#engine.exports.consume(this.#connection, stream, bytes);
  }

  ping(): void {
    this.#engine.exports.ping(this.#connection);
  }

  /** Asks the peer to leave: streams that are open go on if the code is 0. */
  leave(code: number): void {
    this.#engine.exports.leave(this.#connection, code);
  }

  /** Frees what it holds. Nothing may be called after it. */
  close(): void {
    this.#engine.close(this.#connection);
  }
}
