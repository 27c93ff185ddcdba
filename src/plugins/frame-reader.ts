import type { Buffer } from "node:buffer";
import { Code, ConnectError } from "@connectrpc/connect";

/** The bytes before each message of gRPC: a flag for compression, and the length in four bytes, big-endian. */
const HEADER_BYTES = 5;
/** What a message has room for at first when it does not come at once; the room doubles as it fills. */
const FIRST_ROOM_BYTES = 64 << 10; // 64 KiB

/**
 * Takes gRPC's frames apart as they come from the connection. A message is copied once, out of the network's buffer; a peer that announces much and
 * sends little costs no more than twice what it sent. Errors are ConnectErrors, with the codes that Connect has for them.
 */
export class FrameReader {
  readonly #maxBytes: number;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  /** The message under way; undefined between messages. */
  #body: Uint8Array<ArrayBuffer> | undefined;
  #filled = 0;
  #length = 0;
  #whole: Uint8Array<ArrayBuffer> | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Reads a chunk from `at` on, to the end of a message or of the chunk, and returns where it stopped. Throws for a compressed message and
   * for one that is too long.
   */
  read(chunk: Buffer, at: number): number {
    let from = at;
    if (this.#body === undefined) {
      const some = Math.min(HEADER_BYTES - this.#headerBytes, chunk.length - from);
      for (let i = 0; i < some; i++) this.#header[this.#headerBytes + i] = chunk[from + i]!;
      this.#headerBytes += some;
      from += some;
      if (this.#headerBytes < HEADER_BYTES) return from;
      this.#begin(chunk.length - from);
    }
    const some = Math.min(this.#length - this.#filled, chunk.length - from);
    this.#fill(chunk, { from, some });
    if (this.#filled === this.#length) {
      this.#whole = this.#body;
      this.#body = undefined;
      this.#headerBytes = 0;
    }
    return from + some;
  }

  /** The message that the last read() completed, once. */
  message(): Uint8Array<ArrayBuffer> | undefined {
    const whole = this.#whole;
    this.#whole = undefined;
    return whole;
  }

  /** Nothing more comes. Throws when that is in the middle of a message. */
  end(): void {
    if (this.#headerBytes > 0) throw new ConnectError("protocol error: incomplete envelope", Code.InvalidArgument);
  }

  #begin(available: number): void {
    const header = this.#header;
    const length = ((header[1]! << 24) | (header[2]! << 16) | (header[3]! << 8) | header[4]!) >>> 0;
    if (header[0] !== 0) {
      const message = (header[0]! & 1) === 1
        ? "received compressed envelope, but do not know how to decompress"
        : `unknown flags ${header[0]} on a message`;
      throw new ConnectError(message, Code.Internal);
    }
    if (length > this.#maxBytes) {
      const message = `message size ${length} is larger than configured readMaxBytes ${this.#maxBytes}`;
      throw new ConnectError(message, Code.ResourceExhausted);
    }
    this.#length = length;
    this.#filled = 0;
    this.#body = new Uint8Array(available >= length ? length : Math.min(length, FIRST_ROOM_BYTES));
  }

  #fill(chunk: Buffer, { from, some }: { readonly from: number; readonly some: number }): void {
    if (some === 0) return;
    const needed = this.#filled + some;
    if (needed > this.#body!.length) {
      const grown = new Uint8Array(Math.min(this.#length, Math.max(needed, 2 * this.#body!.length)));
      grown.set(this.#body!.subarray(0, this.#filled));
      this.#body = grown;
    }
    this.#body!.set(chunk.subarray(from, from + some), this.#filled);
    this.#filled = needed;
  }
}
