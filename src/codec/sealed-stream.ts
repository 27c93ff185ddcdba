import { NodeError } from "../core/mod.ts";
import { cellCipher, type CellKeys } from "./cell-cipher.ts";
import { CELL_BYTES, CELL_PLAINTEXT_BYTES, TAG_BYTES } from "./layout.ts";

/** Seals a stream in cells, one after the other: what a file's cells are, without stripes, parity or masks. */
export async function* sealStream(source: AsyncIterable<Uint8Array>, keys: CellKeys): AsyncGenerator<Uint8Array> {
  const cipher = cellCipher(keys);
  for await (const { bytes, index, last } of cut(source, CELL_PLAINTEXT_BYTES)) {
    const sealed = new Uint8Array(bytes.length + TAG_BYTES);
    await cipher.seal(bytes, { index, last }, sealed);
    yield sealed;
  }
}

/** Opens what {@link sealStream} made. Throws `data_corrupt` when it was changed, cut or sealed under other keys. */
export async function* openStream(source: AsyncIterable<Uint8Array>, keys: CellKeys): AsyncGenerator<Uint8Array> {
  const cipher = cellCipher(keys);
  for await (const { bytes, index, last } of cut(source, CELL_BYTES)) {
    if (bytes.length < TAG_BYTES) throw new NodeError("data_corrupt", `Cell ${index} has ${bytes.length} bytes only`);
    yield await cipher.open(bytes, { index, last });
  }
}

interface Piece {
  readonly bytes: Uint8Array;
  readonly index: number;
  readonly last: boolean;
}

/** Cuts a stream into pieces of `size` bytes but the last, which has fewer or as many, and none in an empty stream. */
async function* cut(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Piece> {
  let buffer = new Uint8Array(size);
  let filled = 0;
  let index = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      if (filled === size) {
        yield { bytes: buffer, index: index++, last: false };
        buffer = new Uint8Array(size);
        filled = 0;
      }
      const some = Math.min(size - filled, chunk.length - at);
      buffer.set(chunk.subarray(at, at + some), filled);
      filled += some;
      at += some;
    }
  }
  yield { bytes: buffer.subarray(0, filled), index, last: true };
}
