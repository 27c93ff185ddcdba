import { Buffer } from "node:buffer";
import type { SpanAttributes } from "../core/mod.ts";
import { type BatchFrame, beginBatch, endBatch, writeSpan } from "./otlp-protobuf.ts";
import type { OtlpSpan } from "./otlp-span.ts";
import { ProtoWriter } from "./proto-writer.ts";

/** Spans as they are sent together: the body of one request. */
export interface SpanBatch {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly spans: number;
  /** Whether nothing waits behind it. */
  readonly isLast: boolean;
}

export interface SpanBacklogOptions {
  /** Whose spans they are. */
  readonly resource: SpanAttributes;
  /** The most spans of a batch. */
  readonly batchSpans: number;
  /** The most spans that may wait. */
  readonly maxSpans: number;
}

const PAGE_BYTES = 600 << 10; // 600 KiB: 2048 spans of usual size, and less than the 1 MB that some proxies take

/** A batch that is being filled, or waits. */
interface Page {
  readonly writer: ProtoWriter;
  readonly frame: BatchFrame;
  /** Where the first span begins. */
  readonly headBytes: number;
  spans: number;
}

/** The spans that wait to be sent, in the bodies that will be sent, so that nothing of them is for the garbage collector. */
export class SpanBacklog {
  readonly #options: SpanBacklogOptions;
  /** What waits and is full or was closed for being sent, oldest first. */
  readonly #closed: Page[] = [];
  #open: Page | undefined;
  /** A page that was sent and can be filled again. */
  #spare: Page | undefined;
  #spans = 0;

  constructor(options: SpanBacklogOptions) {
    this.#options = options;
  }

  /** Whether one more may wait. */
  get hasRoom(): boolean {
    return this.#spans < this.#options.maxSpans;
  }

  /** Whether a batch waits that takes no more. */
  get hasClosed(): boolean {
    return this.#closed.length > 0;
  }

  /** Takes a span that has ended; there must be room. */
  add(span: OtlpSpan): void {
    const page = this.#open ??= this.#takePage();
    const { writer } = page;
    const before = writer.length;
    writeSpan(writer, span);
    if (writer.fits) {
      this.#spans++;
      if (++page.spans >= this.#options.batchSpans) this.#close();
      return;
    }
    const spanBytes = writer.length - before;
    writer.length = before;
    if (page.spans > 0) {
      this.#close();
      this.add(span);
    } else {
      // It has a page of its own. What found no room here was counted as what it takes at most, what found some may ask for three times as much.
      this.#open = newPage(this.#options.resource, PAGE_BYTES + 3 * spanBytes);
      this.add(span);
      this.#close();
    }
  }

  /** The batch that waits longest; the one being filled only when that is wanted and no other waits. It stays until {@link remove}. */
  oldest({ partial }: { readonly partial: boolean }): SpanBatch | undefined {
    if (partial && this.#closed.length === 0) this.#close();
    const page = this.#closed[0];
    if (page === undefined) return undefined;
    const isLast = this.#closed.length === 1 && this.#open === undefined;
    const { bytes, length } = page.writer;
    return { body: bytes.subarray(0, length), spans: page.spans, isLast };
  }

  /** Lets the oldest batch go. Its bytes are written over when nobody reads them any more. */
  remove({ reusable }: { readonly reusable: boolean }): void {
    const page = this.#closed.shift();
    if (page === undefined) return;
    this.#spans -= page.spans;
    if (reusable && page.writer.bytes.length === PAGE_BYTES) this.#spare = page;
  }

  #takePage(): Page {
    const spare = this.#spare;
    if (spare === undefined) return newPage(this.#options.resource, PAGE_BYTES);
    this.#spare = undefined;
    spare.writer.length = spare.headBytes;
    spare.spans = 0;
    return spare;
  }

  #close(): void {
    const page = this.#open;
    if (page === undefined) return;
    endBatch(page.writer, page.frame);
    this.#closed.push(page);
    this.#open = undefined;
  }
}

function newPage(resource: SpanAttributes, sizeBytes: number): Page {
  const writer = new ProtoWriter(Buffer.allocUnsafeSlow(sizeBytes));
  const frame = beginBatch(writer, resource);
  return { writer, frame, headBytes: writer.length, spans: 0 };
}
