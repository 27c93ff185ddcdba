import { createHash } from "node:crypto";
import { NodeError, releaseWhole } from "../core/mod.ts";
import type { FileStore } from "./file-ports.ts";

/** Plaintext bytes of a piece: what is written down together before it is sealed. */
export const PIECE_BYTES = 4 << 20; // 4 MiB

export interface JournalOptions {
  readonly fileId: string;
  readonly store: FileStore;
  /** Whether an earlier run may have written digests. */
  readonly resumes: boolean;
  readonly signal: AbortSignal;
}

/** A piece of plaintext as it came, in chunks. */
export interface Piece {
  readonly chunks: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** Whether nothing follows. */
  readonly last: boolean;
}

/** How many digests a resumed upload reads at a time. */
const PAGE = 1000;

/** Behind the digest of the last piece: the end of a source is as much a part of what was sealed as its bytes, also where a piece ends. */
const END = "/end";

/**
 * Lets plaintext on only once its digest is durable. A file key seals one sequence of bytes only: should the node stop, the upload may go on
 * under the same header when, and only when, its source gives the same bytes, and these digests tell before anything is sealed.
 */
export class UploadJournal {
  readonly #options: JournalOptions;
  readonly #whole = createHash("sha256");
  #known: string[] = [];
  #count = 0;
  #sizeBytes = 0;
  #ended = false;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** Pieces that have a digest. */
  get count(): number {
    return this.#count;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** SHA-256 of all plaintext, in hex; once, when all has passed. */
  sha256(): string {
    return this.#whole.digest("hex");
  }

  /**
   * The chunks of the pieces. Throws `failed_precondition` when a resumed source gives other bytes than before, ends earlier or goes on longer, and
   * does so before any of the piece where that shows is let on. The next piece is read and written down while one is being sealed. A chunk is gone
   * when the next is asked for.
   */
  async *pass(pieces: AsyncIterator<Piece>): AsyncGenerator<Uint8Array> {
    try {
      let next = this.#next(pieces);
      for (;;) {
        const piece = await next;
        if (piece === undefined) break;
        if (!piece.last) {
          next = this.#next(pieces);
          // A failure is met when this piece has gone.
          next.catch(() => {});
        }
        for (const chunk of piece.chunks) {
          yield chunk;
          releaseWhole(chunk);
        }
        if (piece.last) break;
      }
    } finally {
      this.#ended = true;
    }
  }

  async #next(pieces: AsyncIterator<Piece>): Promise<Piece | undefined> {
    this.#options.signal.throwIfAborted();
    const { value, done } = await pieces.next();
    if (done === true) return undefined;
    await this.#note(value);
    return value;
  }

  async #note(piece: Piece): Promise<void> {
    const { fileId, store } = this.#options;
    // The source gave it after the put had failed: by now the upload may be forgotten, and nothing would forget this digest.
    if (this.#ended) return;
    for (const chunk of piece.chunks) this.#whole.update(chunk);
    // Of all bytes up to here, which costs no second pass over them.
    const digest = this.#whole.copy().digest("hex") + (piece.last ? END : "");
    const index = this.#count++;
    this.#sizeBytes += piece.sizeBytes;
    const before = await this.#knownDigest(index);
    if (this.#ended) return;
    if (before === undefined) {
      await store.write([{ type: "piece", fileId, index, digest }], { durable: true });
    } else if (before !== digest) {
      throw changed(fileId, index * PIECE_BYTES);
    }
  }

  async #knownDigest(index: number): Promise<string | undefined> {
    const { fileId, store, resumes } = this.#options;
    if (!resumes) return undefined;
    if (index % PAGE === 0) this.#known = await store.pieces(fileId, index, PAGE);
    return this.#known[index % PAGE];
  }
}

/** Cuts a stream into pieces of {@link PIECE_BYTES}; the last may be shorter, and is empty only for an empty stream. */
export async function* cutPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Piece, void, undefined> {
  let chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of source) {
    let rest = chunk;
    while (rest.length > 0) {
      // A full piece goes out only when more follows, since the last one must be known as such.
      if (sizeBytes === PIECE_BYTES) {
        yield { chunks, sizeBytes, last: false };
        chunks = [];
        sizeBytes = 0;
      }
      const some = rest.subarray(0, PIECE_BYTES - sizeBytes);
      chunks.push(some);
      sizeBytes += some.length;
      rest = rest.subarray(some.length);
    }
  }
  yield { chunks, sizeBytes, last: true };
}

/** A stream of pieces whose first one was taken already. */
export async function* withFirst(
  first: Piece,
  rest: AsyncGenerator<Piece, void, undefined>,
): AsyncGenerator<Piece, void, undefined> {
  yield first;
  if (!first.last) yield* rest;
}

function changed(fileId: string, at: number): NodeError {
  return new NodeError(
    "failed_precondition",
    `The upload ${fileId} cannot go on: its source is not what it was, from within ${PIECE_BYTES} bytes of byte ${at} on. ` +
      "Give the same bytes, or put the file anew",
    { data: { id: fileId, at } },
  );
}
