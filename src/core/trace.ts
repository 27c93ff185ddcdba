import { AsyncLocalStorage } from "node:async_hooks";

/** A piece of work that is timed and shown in its place among others (OpenTelemetry). */
export interface Span {
  /** What names it to whoever is called (W3C Trace Context §3.2). */
  readonly traceparent: string;
  /** Ends it; `code` is `ok` or what it failed with. Only the first time counts. */
  end(code: string, attributes?: SpanAttributes): void;
}

/** What is known of a span. Never a secret or a user's content. They are given at its end, so that a call that is not traced makes none. */
export type SpanAttributes = Readonly<Record<string, string | number>>;

export interface SpanOptions {
  readonly kind: "server" | "internal";
  /** The span that it is part of, when that is of this node. */
  readonly parent?: Span | undefined;
  /** What came with the call, from anybody; what is none begins a trace. */
  readonly traceparent?: string | undefined;
}

/** Begins spans; undefined for those that nobody looks at. A node that does not trace has no tracer. */
export interface Tracer {
  begin(name: string, options: SpanOptions): Span | undefined;
}

/** Metadata and header that carry a span to another node. */
export const TRACEPARENT = "traceparent";

const current = new AsyncLocalStorage<Span | undefined>();

/** The span that the running code works for. */
export function currentSpan(): Span | undefined {
  return current.getStore();
}

/**
 * Runs work, and what it awaits, for a span; for none when it is undefined. Costs next to nothing while nobody traces, and with a span more than
 * the span itself: where calls come often it goes with them ({@link CallContext.span}, {@link PluginCall.span}).
 */
export function inSpan<T>(span: Span | undefined, work: () => T): T {
  return span === current.getStore() ? work() : current.run(span, work);
}
