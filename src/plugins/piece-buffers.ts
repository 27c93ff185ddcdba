/**
 * Shared memory in which a worker hands pieces of output to the pool. It is used again, since neither side's garbage collector hurries with
 * shared memory: a call that streams much would leave as much of it behind.
 */

const HEADER_BYTES = 8; // whether a piece is in it
const MAX_BUFFERS = 16;
const MAX_KEPT_BYTES = 256 << 10; // 256 KiB each

/** A worker's buffers. */
export class PieceBuffers {
  readonly #buffers: SharedArrayBuffer[] = [];

  /** Copies a piece into a buffer that is free, or a new one. */
  put(bytes: Uint8Array): SharedArrayBuffer {
    const buffer = this.#free(bytes.length) ?? this.#add(bytes.length);
    new Uint8Array(buffer, HEADER_BYTES).set(bytes);
    Atomics.store(new Int32Array(buffer, 0, 1), 0, 1);
    return buffer;
  }

  #free(length: number): SharedArrayBuffer | undefined {
    return this.#buffers.find((buffer) =>
      buffer.byteLength >= HEADER_BYTES + length && Atomics.load(new Int32Array(buffer, 0, 1), 0) === 0
    );
  }

  #add(length: number): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer(HEADER_BYTES + length);
    if (length > MAX_KEPT_BYTES) return buffer;
    // The oldest makes room: pieces may have become larger.
    if (this.#buffers.length === MAX_BUFFERS) this.#buffers.shift();
    this.#buffers.push(buffer);
    return buffer;
  }
}

/** Takes a piece out of its buffer, which is free then. */
export function takePiece(buffer: SharedArrayBuffer, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(new Uint8Array(buffer, HEADER_BYTES, length));
  Atomics.store(new Int32Array(buffer, 0, 1), 0, 0);
  return bytes;
}
