import { Buffer } from "node:buffer";
import type { ClientHttp2Stream } from "node:http2";
import { largeStreamOver, releaseWhole } from "../../core/mod.ts";
import { FRAME_HEADER_BYTES } from "../grpc-frame.ts";

/** What a call sends. */
export interface RequestBody {
  /** Bytes that it will have; of a stream as many as a large request counts (`session.ts`). */
  readonly sizeBytes: number;
  /** Whether it can be sent once more, on another stream. */
  readonly repeatable: boolean;
  /** Writes it, and ends the stream. What breaks the stream is the stream's to tell. */
  send(stream: ClientHttp2Stream): void;
}

const TAKES_MORE = Promise.resolve();

/** From this size on a message is written behind its frame header instead of being copied behind it. */
const COPY_LIMIT_BYTES = 16 << 10;

/** The one message of a unary call. */
export class MessageBody implements RequestBody {
  readonly repeatable = true;
  readonly #message: Uint8Array;
  readonly #compressed: boolean;

  constructor(message: Uint8Array, compressed: boolean) {
    this.#message = message;
    this.#compressed = compressed;
  }

  get sizeBytes(): number {
    return this.#message.length;
  }

  send(stream: ClientHttp2Stream): void {
    const message = this.#message;
    const copies = message.length <= COPY_LIMIT_BYTES;
    const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + (copies ? message.length : 0));
    frame[0] = this.#compressed ? 1 : 0;
    frame.writeUInt32BE(message.length, 1);
    if (copies) {
      frame.set(message, FRAME_HEADER_BYTES);
      stream.end(frame);
    } else {
      stream.write(frame);
      stream.end(message);
    }
  }
}

/** The one message of a unary call, in its frame. */
export class FrameBody implements RequestBody {
  readonly repeatable = true;
  readonly #frame: Uint8Array;

  constructor(frame: Uint8Array) {
    this.#frame = frame;
  }

  get sizeBytes(): number {
    return this.#frame.length;
  }

  send(stream: ClientHttp2Stream): void {
    stream.end(this.#frame);
  }
}

/**
 * The messages of a stream, as gRPC frames in parts that are written as they are: nothing of a large message is copied. The parts are the body's
 * from then on, which gives their memory back when they are sent. No more is asked of the source than the stream takes. A source that fails leaves
 * the stream as it is: whoever made the call ends it.
 */
export class StreamBody implements RequestBody {
  readonly sizeBytes: number;
  readonly repeatable = false;
  readonly #frames: AsyncIterable<readonly Uint8Array[]>;

  constructor(frames: AsyncIterable<readonly Uint8Array[]>, sizeBytes: number) {
    this.#frames = frames;
    this.sizeBytes = sizeBytes;
  }

  send(stream: ClientHttp2Stream): void {
    const frames = this.#frames[Symbol.asyncIterator]();
    // Not awaited: the source may be waiting for its own bytes.
    stream.once("close", () => {
      frames.return?.().catch(ignore);
      largeStreamOver();
    });
    this.#write(frames, stream).catch(ignore);
  }

  async #write(frames: AsyncIterator<readonly Uint8Array[]>, stream: ClientHttp2Stream): Promise<void> {
    for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
      if (stream.destroyed || stream.closed) return;
      await write(stream, next.value);
    }
    if (!stream.destroyed && !stream.closed) stream.end();
  }
}

/** Writes the parts of a message. Resolves when the stream takes more, or is over. */
function write(stream: ClientHttp2Stream, parts: readonly Uint8Array[]): Promise<void> {
  let takesMore = true;
  stream.cork();
  // What could not be sent may still lie in what the system is to send.
  for (const part of parts) takesMore = stream.write(part, (error) => error || releaseWhole(part));
  stream.uncork();
  return takesMore ? TAKES_MORE : drained(stream);
}

/** Resolves when the stream takes more, or is over. */
function drained(stream: ClientHttp2Stream): Promise<void> {
  if (!stream.writableNeedDrain) return TAKES_MORE;
  return new Promise((resolve) => {
    const done = () => {
      stream.off("close", done);
      stream.off("drain", done);
      resolve();
    };
    stream.on("drain", done);
    stream.on("close", done);
  });
}

function ignore(): void {}
