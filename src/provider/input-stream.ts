import { inputTooLarge } from "./task-rules.ts";

/**
 * Passes a stream of input on and calls `onMove` before each wait and behind each piece. Throws `input_too_large` once more than
 * `maxBytes` have come.
 */
export async function* boundedInput(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
  onMove: (waiting: boolean) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let total = 0;
  onMove(true);
  try {
    for await (const piece of source) {
      total += piece.length;
      if (total > maxBytes) throw inputTooLarge(total, maxBytes);
      onMove(false);
      yield piece;
      onMove(true);
    }
  } finally {
    onMove(false);
  }
}

/** Reads a stream of input whole. Throws `input_too_large` once more than `maxBytes` have come. */
export async function collectInput(source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let total = 0;
  for await (const piece of source) {
    total += piece.length;
    if (total > maxBytes) throw inputTooLarge(total, maxBytes);
    pieces.push(piece);
  }
  if (pieces.length === 1) return pieces[0]!;
  const whole = new Uint8Array(total);
  let offset = 0;
  for (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  return whole;
}
