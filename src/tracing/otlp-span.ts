import type { Span, SpanOptions } from "../core/mod.ts";

/** What others have of a span that theirs is part of. */
export interface ParentSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Whether the trace is kept. */
  readonly sampled: boolean;
}

export interface SpanBeginning {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty when it is part of none. */
  readonly parentSpanId: string;
  readonly name: string;
  readonly options: SpanOptions;
  /** Of `performance.now()`. */
  readonly begunAt: number;
}

export interface SpanEnd {
  /** Of `performance.now()`. */
  readonly endedAt: number;
  /** `ok` or what it failed with. */
  readonly code: string;
  /** These go before those that it began with. */
  readonly attributes: SpanOptions["attributes"];
}

/** Gets a span when it has ended. */
export type SpanKeeper = (span: SpanBeginning, end: SpanEnd) => void;

/** A {@link Span} of a trace that is kept. */
export class OtlpSpan implements Span, ParentSpan, SpanBeginning {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly options: SpanOptions;
  readonly begunAt: number;
  readonly sampled = true;
  #keep: SpanKeeper | undefined;

  constructor(keep: SpanKeeper, beginning: SpanBeginning) {
    this.#keep = keep;
    this.traceId = beginning.traceId;
    this.spanId = beginning.spanId;
    this.parentSpanId = beginning.parentSpanId;
    this.name = beginning.name;
    this.options = beginning.options;
    this.begunAt = beginning.begunAt;
  }

  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-01`;
  }

  end(code: string, attributes?: SpanOptions["attributes"]): void {
    const keep = this.#keep;
    if (keep === undefined) return;
    this.#keep = undefined;
    keep(this, { endedAt: performance.now(), code, attributes });
  }
}
