import type { Log, Metrics, Span, SpanOptions, Tracer } from "../core/mod.ts";
import { OtlpEndpoint } from "./otlp-endpoint.ts";
import { OtlpSpan, type ParentSpan, parseTraceparent, type SpanKeeper } from "./otlp-span.ts";
import { SpanBacklog } from "./span-backlog.ts";
import { RandomWords, type TraceId } from "./trace-ids.ts";

/** Which calls are traced. */
export interface Sampling {
  /** Of a hundred traces that begin here, how many are kept. */
  readonly samplePercent: number;
  /** The most calls a second that are traced, whoever asks for it; beyond it they are not. It bounds what tracing costs. */
  readonly callsPerSecond: number;
}

export interface OtlpTracerOptions extends Sampling {
  /** Where a collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is added. */
  readonly url: string;
  /** What tells this node from others: `service.instance.id` and its kin. */
  readonly resource: Readonly<Record<string, string>>;
  /** How often spans are sent, in milliseconds. */
  readonly everyMs?: number;
  readonly log: Log;
  readonly metrics: Metrics;
}

const EVERY_MS = 5000;
const MAX_KEPT = 8192;
const BATCH = 2048;

/** A {@link Tracer} that exports. While the collector is away, spans wait, and beyond a bound the newest are dropped and counted. */
export class OtlpTracer implements Tracer {
  readonly #options: OtlpTracerOptions;
  #sampling: Sampling;
  readonly #endpoint: OtlpEndpoint;
  readonly #backlog: SpanBacklog;
  readonly #random = new RandomWords();
  readonly #results;
  readonly #timer: NodeJS.Timeout;
  #sending: Promise<void> | undefined;
  /** Whether the batch that is being filled is sent too. */
  #flushing = false;
  #isAway = false;
  /** Calls that were traced in the second that began then. */
  readonly #second = { at: -Infinity, calls: 0 };

  constructor(options: OtlpTracerOptions) {
    this.#options = options;
    this.#sampling = options;
    this.#endpoint = new OtlpEndpoint(options.url);
    this.#backlog = new SpanBacklog({ resource: options.resource, batchSpans: BATCH, maxSpans: MAX_KEPT });
    this.#results = options.metrics.counter("velas_trace_spans_total", "Spans by what became of them", ["result"]);
    this.#timer = setInterval(() => void this.flush(), options.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  /** Has calls sampled otherwise from now on. */
  configure(sampling: Sampling): void {
    this.#sampling = sampling;
  }

  begin(name: string, options: SpanOptions): Span | undefined {
    const parent = parentOf(options);
    const sampled = parent === undefined ? Math.random() * 100 < this.#sampling.samplePercent : parent.sampled;
    if (!sampled) return undefined;
    const begunAt = performance.now();
    if (options.kind === "server" && !this.#mayTrace(begunAt)) return undefined;
    return new OtlpSpan(this.#keep, {
      trace: parent === undefined ? this.#newTrace() : parent.trace,
      high: this.#random.next(),
      low: this.#random.next(),
      parent,
      name,
      kind: options.kind,
      begunAt,
    });
  }

  /** Sends what there is. Never throws. */
  flush(): Promise<void> {
    this.#flushing = true;
    return this.#startSending();
  }

  /** Sends the last spans and ends. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
    await this.flush();
    this.#endpoint.close();
  }

  #newTrace(): TraceId {
    const random = this.#random;
    return [random.next(), random.next(), random.next(), random.next()];
  }

  #mayTrace(now: number): boolean {
    const second = this.#second;
    if (now - second.at >= 1000) {
      second.at = now;
      second.calls = 0;
    }
    return second.calls++ < this.#sampling.callsPerSecond;
  }

  readonly #keep: SpanKeeper = (span) => {
    if (!this.#backlog.hasRoom) {
      this.#results.add(1, { result: "dropped" });
      return;
    }
    this.#backlog.add(span);
    // While the collector is away, only the timer tries.
    if (this.#backlog.hasClosed && !this.#isAway) void this.#startSending();
  };

  #startSending(): Promise<void> {
    return this.#sending ??= this.#send().finally(() => this.#sending = undefined);
  }

  async #send(): Promise<void> {
    for (let batch; (batch = this.#backlog.oldest({ partial: this.#flushing })) !== undefined;) {
      // Spans that end meanwhile wait for a full batch, or else there would be a request for every few of them.
      if (batch.isLast) this.#flushing = false;
      const failure = await this.#endpoint.post(batch.body);
      if (failure === undefined) {
        this.#backlog.remove({ reusable: true });
        this.#results.add(batch.spans, { result: "exported" });
        this.#isAway = false;
        continue;
      }
      if (failure.final) {
        this.#backlog.remove({ reusable: false });
        this.#results.add(batch.spans, { result: "refused" });
      }
      if (!this.#isAway) {
        this.#options.log.warn("Traces cannot be exported; it is tried again", { reason: failure.reason });
      }
      this.#isAway = true;
      break;
    }
    this.#flushing = false;
  }
}

/** What a span is part of: a span of this node, or one that the caller names. */
function parentOf({ parent, traceparent }: SpanOptions): ParentSpan | undefined {
  if (parent instanceof OtlpSpan) return parent;
  return parseTraceparent(parent === undefined ? traceparent : parent.traceparent);
}
