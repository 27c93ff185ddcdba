import { Buffer } from "node:buffer";
import type { ClientHttp2Stream } from "node:http2";
import { releaseWhole, streamLeft } from "../../core/mod.ts";
import { FRAME_HEADER_BYTES } from "../grpc-frame.ts";
import { inPieces, PIECE_BYTES, piecesOf, writePieces } from "../pieces.ts";
import { unreadGate } from "../unread-gate.ts";

/** What a call sends. */
export interface RequestBody {
  /** Bytes that it will have; of a stream as many as a large request counts (`session.ts`). */
  readonly sizeBytes: number;
  /** Whether it can be sent once more, on another stream. */
  readonly repeatable: boolean;
  /** Writes it, and ends the stream. What breaks the stream is the stream's to tell. */
  send(stream: ClientHttp2Stream): void;
}

/** What a stream of messages may have on its way to the connection on Deno, where nothing else holds it back. */
const MOST_UNSENT_BYTES = 1 << 20; // 1 MiB

/**
 * A long stream is written there in larger pieces, of a shard's window each with what stands before it: each takes a turn of the event loop. It leaves
 * one behind when it is over, so a short stream has small ones.
 */
const LONG_PIECE_BYTES = (256 << 10) + 64;
const LONG_STREAM_BYTES = 8 << 20; // 8 MiB

const TAKES_MORE = Promise.resolve(true);

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
    } else if (inPieces(message.length)) {
      writePieces(stream, [frame, message]).then((whole) => whole && stream.end()).catch(ignore);
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
    stream.once("close", () => void frames.return?.().catch(ignore));
    this.#write(frames, stream).catch(ignore);
  }

  async #write(frames: AsyncIterator<readonly Uint8Array[]>, stream: ClientHttp2Stream): Promise<void> {
    const write = gatedWriter(stream) ?? plainWriter(stream);
    for (let next = await frames.next(); next.done !== true; next = await frames.next()) {
      if (stream.destroyed || stream.closed) return;
      if (!await write(next.value)) return;
    }
    if (!stream.destroyed && !stream.closed) stream.end();
  }
}

/** Writes the parts of a message. Resolves with true when the stream takes more, with false when it is over. */
type PartsWriter = (parts: readonly Uint8Array[]) => Promise<boolean>;

function plainWriter(stream: ClientHttp2Stream): PartsWriter {
  return (parts) => {
    let takesMore = true;
    stream.cork();
    // What could not be sent may still lie in what the system is to send.
    for (const part of parts) takesMore = stream.write(part, (error) => error || releaseWhole(part));
    stream.uncork();
    return takesMore ? TAKES_MORE : drained(stream);
  };
}

/** Where the runtime has no backpressure: goes no further ahead of the connection than {@link MOST_UNSENT_BYTES}. */
function gatedWriter(stream: ClientHttp2Stream): PartsWriter | undefined {
  const gate = unreadGate(stream, MOST_UNSENT_BYTES);
  if (gate === undefined) return undefined;
  let pieceBytes = PIECE_BYTES;
  let writtenBytes = 0;
  stream.once("close", () => {
    // What a broken stream had unsent went with it.
    if (!stream.writableFinished) gate.close();
    streamLeft(Math.min(writtenBytes, pieceBytes));
  });
  return async (parts) => {
    if (writtenBytes >= LONG_STREAM_BYTES) pieceBytes = LONG_PIECE_BYTES;
    for (const piece of piecesOf(parts, pieceBytes)) {
      if (!await writePieces(stream, piece, pieceBytes)) return false;
      const bytes = piece.reduce((sum, part) => sum + part.length, 0);
      gate.wrote(bytes);
      writtenBytes += bytes;
      // For as long as it takes: whoever made the call knows when that is too long, and ends the stream.
      if (!gate.open && !await gate.opened(Infinity)) return false;
    }
    parts.forEach(releaseWhole);
    return true;
  };
}

/** Resolves with true when the stream takes more, with false when it is over. */
function drained(stream: ClientHttp2Stream): Promise<boolean> {
  if (!stream.writableNeedDrain) return Promise.resolve(true);
  return new Promise((resolve) => {
    const onDrain = () => {
      stream.off("close", onClose);
      resolve(true);
    };
    const onClose = () => {
      stream.off("drain", onDrain);
      resolve(false);
    };
    stream.once("drain", onDrain);
    stream.once("close", onClose);
  });
}

function ignore(): void {}
