import type { Writable } from "node:stream";
import { isDeno } from "../core/mod.ts";

/**
 * Bytes that a stream of HTTP/2 is given at once on Deno, whose node:http2 copies what is written into a buffer of the stream. That buffer is let go
 * of only when the old generation is collected, of which V8 sees no need since it does not count it: a provider that had answered reads of 1 GiB held
 * all of that. What is written once the piece before has gone on to the connection finds the buffer empty and uses it again, so that a stream leaves
 * no more than a piece behind.
 */
export const PIECE_BYTES = 64 << 10; // 64 KiB

/** The same for an answer, of which each has a stream of its own: a get of 10 GiB leaves thousands behind before anything is collected. */
export const ANSWER_PIECE_BYTES = 16 << 10; // 16 KiB

/** Whether so many bytes are to be written in pieces on this runtime. */
export function inPieces(sizeBytes: number, forced: boolean = isDeno): boolean {
  return forced && sizeBytes > PIECE_BYTES;
}

/** Writes parts in pieces of at most so many bytes, each when the one before has gone. Resolves with false when the stream is over. */
export async function writePieces(
  stream: Writable,
  parts: readonly Uint8Array[],
  pieceBytes = PIECE_BYTES,
): Promise<boolean> {
  for (const piece of piecesOf(parts, pieceBytes)) {
    if (!await written(stream, piece)) return false;
  }
  return true;
}

/** Parts cut and put together so that each piece but the last has so many bytes; nothing is copied. */
export function* piecesOf(
  parts: readonly Uint8Array[],
  pieceBytes = PIECE_BYTES,
): Generator<readonly Uint8Array[]> {
  let piece: Uint8Array[] = [];
  let room = pieceBytes;
  for (const part of parts) {
    for (let at = 0; at < part.length;) {
      const some = part.subarray(at, at + room);
      piece.push(some);
      at += some.length;
      room -= some.length;
      if (room > 0) continue;
      yield piece;
      piece = [];
      room = pieceBytes;
    }
  }
  if (piece.length > 0) yield piece;
}

function written(stream: Writable, piece: readonly Uint8Array[]): Promise<boolean> {
  if (stream.destroyed || stream.writableEnded) return Promise.resolve(false);
  return new Promise((resolve) => {
    const onClose = () => resolve(false);
    stream.once("close", onClose);
    stream.cork();
    piece.forEach((part, i) => {
      stream.write(
        part,
        i < piece.length - 1 ? undefined : (error) => {
          stream.off("close", onClose);
          resolve(!error);
        },
      );
    });
    stream.uncork();
  });
}
