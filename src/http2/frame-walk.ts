/** The header of a frame (RFC 9113 §4.1). */
const HEADER_BYTES = 9;

/** What a client's connection begins with (RFC 9113 §3.4). */
const PREFACE_BYTES = 24;

const DATA = 0;
const PADDED = 8;

/** A body's part that is shorter is no less work to leave out than to copy. */
const LEAST_BYTES = 4 << 10; // 4 KiB

/**
 * Knows of bytes that come, in whatever parts, which are bodies: the payloads of DATA frames without padding. An engine needs to know how many these
 * are and never looks at them, so that they need not be copied to it.
 */
export class FrameWalk {
  /** What is still to come of the frame, and whether that is a body. */
  #left: number;
  #isBody = false;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;

  constructor(ofServer: boolean) {
    this.#left = ofServer ? PREFACE_BYTES : 0;
  }

  /** Goes over the next part. Calls with where what is no body begins and ends in it. */
  over(part: Uint8Array, onRest: (from: number, to: number) => void): void {
    let from = 0;
    for (let at = 0; at < part.length;) {
      if (this.#left === 0) at = this.#readHeader(part, at);
      else {
        const end = Math.min(at + this.#left, part.length);
        if (this.#isBody && end - at >= LEAST_BYTES) {
          if (from < at) onRest(from, at);
          from = end;
        }
        this.#left -= end - at;
        at = end;
      }
    }
    if (from < part.length) onRest(from, part.length);
  }

  /** Reads what there is of a header, and returns where that ends. */
  #readHeader(part: Uint8Array, from: number): number {
    let at = from;
    while (this.#headerBytes < HEADER_BYTES && at < part.length) this.#header[this.#headerBytes++] = part[at++]!;
    if (this.#headerBytes < HEADER_BYTES) return at;
    this.#headerBytes = 0;
    const [high, middle, low, type, flags] = this.#header as unknown as [number, number, number, number, number];
    this.#left = (high << 16) | (middle << 8) | low;
    this.#isBody = type === DATA && (flags & PADDED) === 0;
    return at;
  }
}
