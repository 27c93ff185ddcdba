import { Buffer } from "node:buffer";
import type { ServerHttp2Stream } from "node:http2";
import { Code } from "@connectrpc/connect";
import { NodeError } from "../core/mod.ts";
import { FRAME_HEADER_BYTES, FrameError, LENGTH_DELIMITED } from "./grpc-frame.ts";

/** Bytes of a field are handed on in pieces of this size: HTTP/2 brings them in frames of 16 KiB, each of which would cost as much as one of these. */
const PIECE_BYTES = 256 << 10; // 256 KiB
/** The stream is not read while this much waits for its reader. */
const MOST_WAITING_BYTES = 2 * PIECE_BYTES;
/** What a message that is handed on whole has room for at first. */
const FIRST_MESSAGE_BYTES = 4096;
/** Tag and length of a field: five bytes each at most. */
const MOST_HEAD_BYTES = 10;
const COMPRESSED = "received compressed envelope, but do not know how to decompress";

/** What an upload is made of: bytes of its field as they come, and other messages whole. */
export type UploadItem =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "message"; readonly message: Uint8Array };

export interface UploadBodyOptions {
  /** The number of the field whose bytes are handed on as they come, where it is all that its message holds. */
  readonly field: number;
  readonly maxMessageBytes: number;
}

/**
 * Takes the gRPC frames of an upload apart as they come from the connection. Bytes of a whole shard pass through it with one copy, into pieces that
 * are the reader's from then on. What waits is bounded: beyond it the stream is paused, and the sender's window runs out.
 */
export class UploadBody {
  readonly #stream: ServerHttp2Stream;
  readonly #options: UploadBodyOptions;
  readonly #items: UploadItem[] = [];
  #waitingBytes = 0;
  /** Of the frame under way: its header and the beginning of its message, until it is known what that is. */
  readonly #head = Buffer.alloc(FRAME_HEADER_BYTES + MOST_HEAD_BYTES);
  #headBytes = 0;
  /** The frame's message when it is not the field's bytes alone. */
  #message: Buffer | undefined;
  #messageBytes = 0;
  #messageLength = 0;
  /** Bytes of the field that are still to come in this frame; undefined while it is not known whether it has the field. */
  #fieldLeft: number | undefined;
  #piece: Buffer | undefined;
  #pieceBytes = 0;
  #failure: Error | undefined;
  #ended = false;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, options: UploadBodyOptions) {
    this.#stream = stream;
    this.#options = options;
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    stream.on("end", () => this.#end());
    stream.on("close", () => this.#end());
  }

  /** The next item, or nothing at the end. Throws a FrameError for what is no gRPC, and `canceled` when the stream was cut off. */
  async next(): Promise<UploadItem | undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#waitingBytes -= sizeOf(item);
        if (this.#waitingBytes < MOST_WAITING_BYTES && this.#stream.isPaused()) this.#stream.resume();
        return item;
      }
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Nobody wants the rest: it is read and dropped, since a sender that nobody reads would wait for ever. */
  stop(): void {
    this.#stopped = true;
    this.#items.length = 0;
    this.#piece = undefined;
    this.#message = undefined;
    if (!this.#stream.destroyed) this.#stream.resume();
  }

  #take(chunk: Buffer): void {
    try {
      for (let at = 0; at < chunk.length && !this.#stopped && this.#failure === undefined;) at += this.#some(chunk, at);
    } catch (error) {
      this.#fail(error as Error);
    }
    if (this.#waitingBytes >= MOST_WAITING_BYTES && !this.#stopped) this.#stream.pause();
  }

  /** Takes some of a chunk from `at` on, and returns how much. */
  #some(chunk: Buffer, at: number): number {
    if (this.#fieldLeft !== undefined) return this.#ofField(chunk, at);
    if (this.#message !== undefined) return this.#ofMessage(chunk, at);
    const some = Math.min(this.#head.length - this.#headBytes, chunk.length - at);
    chunk.copy(this.#head, this.#headBytes, at, at + some);
    const before = this.#headBytes;
    this.#headBytes += some;
    const used = this.#readHead();
    return used === undefined ? some : used - before;
  }

  /** Looks what frame begins in the head. Returns how many of the head's bytes are used up, or nothing when they do not tell yet. */
  #readHead(): number | undefined {
    const head = this.#head.subarray(0, this.#headBytes);
    if (head.length < FRAME_HEADER_BYTES) return undefined;
    const length = head.readUInt32BE(1);
    this.#checkFrame(head[0]!, length);
    const field = fieldIn(head.subarray(FRAME_HEADER_BYTES), length, this.#options.field);
    if (field === undefined) return undefined;
    this.#headBytes = 0;
    if (field.kind === "bytes") {
      this.#fieldLeft = field.length;
      return FRAME_HEADER_BYTES + field.headBytes;
    }
    this.#messageLength = length;
    this.#message = Buffer.allocUnsafe(Math.min(length, FIRST_MESSAGE_BYTES));
    this.#messageBytes = 0;
    if (length === 0) this.#endMessage();
    return FRAME_HEADER_BYTES + this.#ofMessage(head, FRAME_HEADER_BYTES);
  }

  #checkFrame(flags: number, length: number): void {
    const { maxMessageBytes } = this.#options;
    if ((flags & 1) === 1) throw malformed(Code.Internal, COMPRESSED);
    if (length > maxMessageBytes) {
      throw new NodeError(
        "input_too_large",
        `message size ${length} is larger than configured readMaxBytes ${maxMessageBytes}`,
        { data: { sizeBytes: length, limitBytes: maxMessageBytes } },
      );
    }
  }

  #ofMessage(chunk: Buffer, at: number): number {
    if (this.#message === undefined) return 0;
    const some = Math.min(this.#messageLength - this.#messageBytes, chunk.length - at);
    const needed = this.#messageBytes + some;
    if (needed > this.#message.length) {
      // It doubles, so that a client that announces much and sends little costs no more than twice what it sent.
      const grown = Buffer.allocUnsafe(Math.min(this.#messageLength, Math.max(needed, 2 * this.#message.length)));
      this.#message.copy(grown, 0, 0, this.#messageBytes);
      this.#message = grown;
    }
    chunk.copy(this.#message, this.#messageBytes, at, at + some);
    this.#messageBytes = needed;
    if (needed === this.#messageLength) this.#endMessage();
    return some;
  }

  #endMessage(): void {
    this.#push({ kind: "message", message: this.#message!.subarray(0, this.#messageBytes) });
    this.#message = undefined;
  }

  #ofField(chunk: Buffer, at: number): number {
    // As long as its bytes are sure to come: they are of a message that was announced, and of a stream that may go on.
    const piece = this.#piece ??= Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, this.#fieldLeft!));
    const some = Math.min(this.#fieldLeft!, piece.length - this.#pieceBytes, chunk.length - at);
    chunk.copy(piece, this.#pieceBytes, at, at + some);
    this.#pieceBytes += some;
    this.#fieldLeft! -= some;
    if (this.#pieceBytes === piece.length || this.#fieldLeft === 0) this.#endPiece();
    if (this.#fieldLeft === 0) this.#fieldLeft = undefined;
    return some;
  }

  #endPiece(): void {
    const bytes = this.#piece!.subarray(0, this.#pieceBytes);
    this.#piece = undefined;
    this.#pieceBytes = 0;
    if (bytes.length > 0) this.#push({ kind: "bytes", bytes });
  }

  #push(item: UploadItem): void {
    this.#items.push(item);
    this.#waitingBytes += sizeOf(item);
    this.#wakeReader();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#stopped) return;
    if (this.#piece !== undefined) this.#endPiece();
    if ((this.#stream.rstCode ?? 0) !== 0 || !this.#stream.readableEnded) {
      this.#fail(new NodeError("canceled", "The caller went away before the answer"));
    } else if (this.#headBytes > 0 || this.#message !== undefined || this.#fieldLeft !== undefined) {
      this.#fail(malformed(Code.InvalidArgument, "protocol error: incomplete envelope"));
    } else this.#wakeReader();
  }

  /** What came before is still handed on. */
  #fail(error: Error): void {
    this.#failure ??= error;
    this.#wakeReader();
  }

  #wakeReader(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

/** What a message of `length` bytes is by its first ones: the field's bytes and nothing else, or another. Nothing when they are too few to tell. */
function fieldIn(
  start: Buffer,
  length: number,
  field: number,
):
  | { readonly kind: "bytes"; readonly length: number; readonly headBytes: number }
  | { readonly kind: "other" }
  | undefined {
  const known = start.subarray(0, length);
  const tag = varintIn(known, 0);
  const size = tag === undefined ? undefined : varintIn(known, tag.end);
  if (tag !== undefined && tag.value !== field * 8 + LENGTH_DELIMITED) return { kind: "other" };
  if (size === undefined) {
    return known.length === length || known.length >= MOST_HEAD_BYTES ? { kind: "other" } : undefined;
  }
  if (size.end + size.value !== length || size.value === 0) return { kind: "other" };
  return { kind: "bytes", length: size.value, headBytes: size.end };
}

/** A number of up to five bytes (Protocol Buffers, "Encoding"); nothing when it does not end there. */
function varintIn(bytes: Buffer, start: number): { readonly value: number; readonly end: number } | undefined {
  let value = 0;
  for (let at = start; at < bytes.length && at < start + 5; at++) {
    value += (bytes[at]! & 0x7f) * 128 ** (at - start);
    if (bytes[at]! < 0x80) return { value, end: at + 1 };
  }
  return undefined;
}

function sizeOf(item: UploadItem): number {
  return item.kind === "bytes" ? item.bytes.length : item.message.length;
}

function malformed(code: Code, message: string): FrameError {
  return new FrameError(code, new NodeError("invalid_argument", message));
}
