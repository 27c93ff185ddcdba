import type { Span, SpanAttributes, SpanOptions } from "../core/mod.ts";
import { hexOfWord, type SpanId, type TraceId, wordOfHex } from "./trace-ids.ts";

/** What others have of a span that theirs is part of. */
export interface ParentSpan extends SpanId {
  readonly trace: TraceId;
  /** Whether the trace is kept. */
  readonly sampled: boolean;
}

/** Gets a span when it has ended. */
export type SpanKeeper = (span: OtlpSpan) => void;

export interface SpanBeginning extends SpanId {
  readonly trace: TraceId;
  readonly parent: SpanId | undefined;
  readonly name: string;
  readonly kind: SpanOptions["kind"];
  /** Of `performance.now()`. */
  readonly begunAt: number;
}

/** A {@link Span} of a trace that is kept. */
export class OtlpSpan implements Span, ParentSpan, SpanBeginning {
  readonly trace: TraceId;
  readonly high: number;
  readonly low: number;
  readonly parent: SpanId | undefined;
  readonly name: string;
  readonly kind: SpanOptions["kind"];
  readonly begunAt: number;
  readonly sampled = true;
  /** Of `performance.now()`; set at its end. */
  endedAt = NaN;
  /** `ok` or what it failed with; set at its end. */
  code = "";
  attributes: SpanAttributes | undefined;
  readonly #keep: SpanKeeper;

  constructor(keep: SpanKeeper, beginning: SpanBeginning) {
    this.#keep = keep;
    this.trace = beginning.trace;
    this.high = beginning.high;
    this.low = beginning.low;
    this.parent = beginning.parent;
    this.name = beginning.name;
    this.kind = beginning.kind;
    this.begunAt = beginning.begunAt;
  }

  get traceparent(): string {
    return `00-${this.trace.map(hexOfWord).join("")}-${hexOfWord(this.high)}${hexOfWord(this.low)}-01`;
  }

  end(code: string, attributes?: SpanAttributes): void {
    if (!Number.isNaN(this.endedAt)) return;
    this.endedAt = performance.now();
    this.code = code;
    this.attributes = attributes;
    this.#keep(this);
  }
}

/** Version 00 and what later versions must begin with. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/;

/** Reads what a caller says that its span is (W3C Trace Context §3.2.2); undefined when it says nothing, or nothing that is right. */
export function parseTraceparent(text: string | undefined): ParentSpan | undefined {
  const parts = text === undefined ? null : TRACEPARENT.exec(text);
  if (parts === null) return undefined;
  const [, trace, span, flags] = parts as unknown as [string, string, string, string];
  return {
    trace: [wordOfHex(trace, 0), wordOfHex(trace, 8), wordOfHex(trace, 16), wordOfHex(trace, 24)],
    high: wordOfHex(span, 0),
    low: wordOfHex(span, 8),
    sampled: (Number.parseInt(flags, 16) & 1) === 1,
  };
}
