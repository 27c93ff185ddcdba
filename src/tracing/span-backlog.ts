import { Buffer } from "node:buffer";

/** Spans as they are sent together: the body of one request. */
export interface SpanBatch {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly spans: number;
  /** Whether nothing waits behind it. */
  readonly isLast: boolean;
}

export interface SpanBacklogOptions {
  /** What comes before the spans of a batch, and after them. */
  readonly frame: { readonly head: string; readonly tail: string };
  /** The most spans of a batch. */
  readonly batchSpans: number;
  /** The most spans that may wait. */
  readonly maxSpans: number;
}

const PAGE_BYTES = 600 << 10; // 600 KiB: 1024 spans of usual size, and less than the 1 MB that some proxies take
const COMMA = 0x2c;
const BYTES_PER_UNIT = 3; // the most that UTF-8 makes of one unit of UTF-16

/** A batch that is being filled, or waits. */
interface Page {
  readonly bytes: Buffer<ArrayBuffer>;
  length: number;
  spans: number;
}

/** The spans that wait to be sent, as JSON in the bodies that will be sent, so that little of them is for the garbage collector. */
export class SpanBacklog {
  readonly #options: SpanBacklogOptions;
  readonly #headBytes: number;
  readonly #tailBytes: number;
  /** What waits and is full or was closed for being sent, oldest first. */
  readonly #closed: Page[] = [];
  #open: Page | undefined;
  /** A page that was sent and can be filled again. */
  #spare: Page | undefined;
  #spans = 0;

  constructor(options: SpanBacklogOptions) {
    this.#options = options;
    this.#headBytes = Buffer.byteLength(options.frame.head);
    this.#tailBytes = Buffer.byteLength(options.frame.tail);
  }

  /** Whether one more may wait. */
  get hasRoom(): boolean {
    return this.#spans < this.#options.maxSpans;
  }

  /** Whether a batch waits that takes no more. */
  get hasClosed(): boolean {
    return this.#closed.length > 0;
  }

  /** Takes the JSON of a span; there must be room. */
  add(json: string): void {
    const maxBytes = 1 + json.length * BYTES_PER_UNIT + this.#tailBytes;
    if (this.#open !== undefined && this.#open.length + maxBytes > this.#open.bytes.length) this.#close();
    const page = this.#open ??= this.#newPage(maxBytes);
    if (page.spans > 0) page.bytes[page.length++] = COMMA;
    page.length += page.bytes.write(json, page.length);
    this.#spans++;
    if (++page.spans >= this.#options.batchSpans) this.#close();
  }

  /** The batch that waits longest; the one being filled only when that is wanted and no other waits. It stays until {@link remove}. */
  oldest({ partial }: { readonly partial: boolean }): SpanBatch | undefined {
    if (partial && this.#closed.length === 0) this.#close();
    const page = this.#closed[0];
    if (page === undefined) return undefined;
    const isLast = this.#closed.length === 1 && this.#open === undefined;
    return { body: page.bytes.subarray(0, page.length), spans: page.spans, isLast };
  }

  /** Lets the oldest batch go. Its bytes are written over when nobody reads them any more. */
  remove({ reusable }: { readonly reusable: boolean }): void {
    const page = this.#closed.shift();
    if (page === undefined) return;
    this.#spans -= page.spans;
    if (reusable && page.bytes.length === this.#pageBytes) this.#spare = page;
  }

  get #pageBytes(): number {
    return PAGE_BYTES + this.#headBytes;
  }

  #newPage(maxBytes: number): Page {
    const needed = this.#headBytes + maxBytes;
    const spare = needed <= this.#pageBytes ? this.#spare : undefined;
    if (spare !== undefined) {
      this.#spare = undefined;
      spare.length = this.#headBytes;
      spare.spans = 0;
      return spare;
    }
    const bytes = Buffer.allocUnsafeSlow(Math.max(needed, this.#pageBytes));
    return { bytes, length: bytes.write(this.#options.frame.head), spans: 0 };
  }

  #close(): void {
    const page = this.#open;
    if (page === undefined) return;
    page.length += page.bytes.write(this.#options.frame.tail, page.length);
    this.#closed.push(page);
    this.#open = undefined;
  }
}
