import { randomFillSync } from "node:crypto";
import type { Log, Metrics, Span, SpanOptions, Tracer } from "../core/mod.ts";

export interface OtlpTracerOptions {
  /** Where a collector takes OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is added. */
  readonly url: string;
  /** Of a hundred traces that begin here, how many are kept. */
  readonly samplePercent: number;
  /** The most calls a second that are traced, whoever asks for it; beyond it they are not. It bounds what tracing costs. */
  readonly callsPerSecond: number;
  /** What tells this node from others: `service.instance.id` and its kin. */
  readonly resource: Readonly<Record<string, string>>;
  /** How often spans are sent, in milliseconds. */
  readonly everyMs?: number;
  readonly log: Log;
  readonly metrics: Metrics;
}

const ID_BYTES = 24; // a trace's and a span's
const EVERY_MS = 5000;
const MAX_KEPT = 8192;
const BATCH = 512;
const TIMEOUT_MS = 10_000;
const KINDS = { internal: 1, server: 2 } as const;
/** W3C Trace Context §3.2.2; version 00 and what later versions must begin with. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-((?!0{32})[0-9a-f]{32})-((?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/;

interface EndedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly name: string;
  readonly options: SpanOptions;
  readonly startMs: number;
  readonly endMs: number;
  readonly code: string;
}

/** A {@link Tracer} that exports. While the collector is away, spans wait, and beyond a bound the newest are dropped and counted. */
export class OtlpTracer implements Tracer {
  readonly #options: OtlpTracerOptions;
  readonly #url: string;
  readonly #results;
  readonly #timer: NodeJS.Timeout;
  #ended: EndedSpan[] = [];
  #sending: Promise<void> | undefined;
  #isAway = false;
  /** Calls that were traced in the second that began then. */
  #second = { at: -Infinity, calls: 0 };
  readonly #random = Buffer.alloc(ID_BYTES * 256);
  #drawn = this.#random.length;

  constructor(options: OtlpTracerOptions) {
    this.#options = options;
    this.#url = `${options.url.replace(/\/$/, "")}/v1/traces`;
    this.#results = options.metrics.counter("velas_trace_spans_total", "Spans by what became of them", ["result"]);
    this.#timer = setInterval(() => void this.flush(), options.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  begin(name: string, options: SpanOptions): Span | undefined {
    const parent = options.traceparent === undefined ? null : TRACEPARENT.exec(options.traceparent);
    const sampled = parent === null
      ? Math.random() * 100 < this.#options.samplePercent
      : (Number.parseInt(parent[3]!, 16) & 1) === 1;
    if (!sampled) return undefined;
    const nowMs = performance.now();
    if (options.kind === "server" && !this.#mayTrace(nowMs)) return undefined;
    const drawn = this.#draw();
    const traceId = parent?.[1] ?? drawn.slice(16);
    const spanId = drawn.slice(0, 16);
    const startMs = performance.timeOrigin + nowMs;
    let open = true;
    return {
      traceparent: `00-${traceId}-${spanId}-01`,
      end: (code, attributes) => {
        if (!open) return;
        open = false;
        const endMs = performance.timeOrigin + performance.now();
        const all = { ...options, attributes: { ...options.attributes, ...attributes } };
        this.#keep({ traceId, spanId, parentSpanId: parent?.[2] ?? "", name, options: all, startMs, endMs, code });
      },
    };
  }

  /** Sends what there is. Never throws. */
  flush(): Promise<void> {
    return this.#sending ??= this.#send().finally(() => this.#sending = undefined);
  }

  /** Sends the last spans and ends. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
    await this.flush();
  }

  #mayTrace(nowMs: number): boolean {
    if (nowMs - this.#second.at >= 1000) this.#second = { at: nowMs, calls: 0 };
    return this.#second.calls++ < this.#options.callsPerSecond;
  }

  /** Random hex digits, drawn many at a time. */
  #draw(): string {
    if (this.#drawn >= this.#random.length) {
      randomFillSync(this.#random);
      this.#drawn = 0;
    }
    return this.#random.toString("hex", this.#drawn, this.#drawn += ID_BYTES);
  }

  #keep(span: EndedSpan): void {
    if (this.#ended.length >= MAX_KEPT) {
      this.#results.add(1, { result: "dropped" });
      return;
    }
    this.#ended.push(span);
    if (this.#ended.length === BATCH) void this.flush();
  }

  async #send(): Promise<void> {
    while (this.#ended.length > 0) {
      const batch = this.#ended.slice(0, BATCH);
      const failure = await this.#post(batch);
      if (failure === undefined || failure.final) this.#ended = this.#ended.slice(batch.length);
      if (failure === undefined) {
        this.#results.add(batch.length, { result: "exported" });
        this.#isAway = false;
        continue;
      }
      if (failure.final) this.#results.add(batch.length, { result: "refused" });
      if (!this.#isAway) {
        this.#options.log.warn("Traces cannot be exported; it is tried again", { reason: failure.reason });
      }
      this.#isAway = true;
      return;
    }
  }

  async #post(spans: readonly EndedSpan[]): Promise<{ readonly reason: string; readonly final: boolean } | undefined> {
    const { resource } = this.#options;
    const body = {
      resourceSpans: [{
        resource: { attributes: attributesOf(resource) },
        scopeSpans: [{ scope: { name: "velas-sphere" }, spans: spans.map(spanJson) }],
      }],
    };
    try {
      const answer = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        redirect: "error",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await answer.body?.cancel();
      if (answer.ok) return undefined;
      // The specification names these as worth a retry.
      const final = ![429, 502, 503, 504].includes(answer.status);
      return { reason: `the collector answered ${answer.status}`, final };
    } catch (error) {
      const { name, cause } = error as Error & { cause?: { code?: string } };
      return { reason: cause?.code ?? name, final: false };
    }
  }
}

function spanJson({ traceId, spanId, parentSpanId, name, options, startMs, endMs, code }: EndedSpan) {
  const { kind, attributes = {} } = options;
  return {
    traceId,
    spanId,
    ...(parentSpanId === "" ? {} : { parentSpanId }),
    name,
    kind: KINDS[kind],
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(endMs),
    attributes: attributesOf(attributes),
    status: code === "ok" ? { code: 1 } : { code: 2, message: code },
  };
}

function nanos(ms: number): string {
  return `${Math.round(ms * 1000)}000`;
}

function attributesOf(values: Readonly<Record<string, string | number>>) {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value: typeof value === "number" ? { intValue: String(Math.round(value)) } : { stringValue: value },
  }));
}
