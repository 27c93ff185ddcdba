import type { SpanAttributes } from "../core/mod.ts";
import type { OtlpSpan } from "./otlp-span.ts";
import type { ProtoWriter } from "./proto-writer.ts";

/*
 * ExportTraceServiceRequest of OTLP (opentelemetry/proto/trace/v1/trace.proto and those it imports), written span by span as they end. Objects
 * that waited until a batch is sent would outlive the young generation, and collecting them costs more than all else about a span.
 */

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const tag = (field: number, type: number) => (field << 3) | type;

const RESOURCE_SPANS = tag(1, BYTES);
const RESOURCE_SPANS_RESOURCE = tag(1, BYTES);
const RESOURCE_SPANS_SCOPE_SPANS = tag(2, BYTES);
const RESOURCE_ATTRIBUTES = tag(1, BYTES);
const SCOPE_SPANS_SCOPE = tag(1, BYTES);
const SCOPE_SPANS_SPANS = tag(2, BYTES);
const SCOPE_NAME = tag(1, BYTES);
const SPAN_TRACE_ID = tag(1, BYTES);
const SPAN_SPAN_ID = tag(2, BYTES);
const SPAN_PARENT_SPAN_ID = tag(4, BYTES);
const SPAN_NAME = tag(5, BYTES);
const SPAN_KIND = tag(6, VARINT);
const SPAN_START_TIME = tag(7, FIXED64);
const SPAN_END_TIME = tag(8, FIXED64);
const SPAN_ATTRIBUTES = tag(9, BYTES);
const SPAN_STATUS = tag(15, BYTES);
const KEY_VALUE_KEY = tag(1, BYTES);
const KEY_VALUE_VALUE = tag(2, BYTES);
const ANY_VALUE_STRING = tag(1, BYTES);
const ANY_VALUE_INT = tag(3, VARINT);
const ANY_VALUE_DOUBLE = tag(4, FIXED64);
const STATUS_MESSAGE = tag(2, BYTES);
const STATUS_CODE = tag(3, VARINT);

const KINDS = { internal: 1, server: 2 } as const;
const OK = 1;
const ERROR = 2;
const SPAN_ID_BYTES = 8;
const TRACE_ID_BYTES = 16;

/** Where the messages around the spans of a batch begin. */
export interface BatchFrame {
  readonly resourceSpans: number;
  readonly scopeSpans: number;
}

/** Writes what comes before the spans of a batch. */
export function beginBatch(writer: ProtoWriter, resource: SpanAttributes): BatchFrame {
  const resourceSpans = writer.begin(RESOURCE_SPANS);
  const about = writer.begin(RESOURCE_SPANS_RESOURCE);
  for (const key in resource) writeAttribute(writer, RESOURCE_ATTRIBUTES, key, resource[key]!);
  writer.end(about);
  const scopeSpans = writer.begin(RESOURCE_SPANS_SCOPE_SPANS);
  const scope = writer.begin(SCOPE_SPANS_SCOPE);
  writer.text(SCOPE_NAME, "velas-sphere");
  writer.end(scope);
  return { resourceSpans, scopeSpans };
}

/** Makes a request of a batch, behind its last span. */
export function endBatch(writer: ProtoWriter, frame: BatchFrame): void {
  writer.end(frame.scopeSpans);
  writer.end(frame.resourceSpans);
}

/** Writes a span that has ended. */
export function writeSpan(writer: ProtoWriter, span: OtlpSpan): void {
  const { trace, parent, attributes, code } = span;
  const start = writer.begin(SCOPE_SPANS_SPANS);
  writer.byte(SPAN_TRACE_ID);
  writer.byte(TRACE_ID_BYTES);
  writer.bigEndian(trace[0]);
  writer.bigEndian(trace[1]);
  writer.bigEndian(trace[2]);
  writer.bigEndian(trace[3]);
  writer.byte(SPAN_SPAN_ID);
  writer.byte(SPAN_ID_BYTES);
  writer.bigEndian(span.high);
  writer.bigEndian(span.low);
  if (parent !== undefined) {
    writer.byte(SPAN_PARENT_SPAN_ID);
    writer.byte(SPAN_ID_BYTES);
    writer.bigEndian(parent.high);
    writer.bigEndian(parent.low);
  }
  writer.text(SPAN_NAME, span.name);
  writer.byte(SPAN_KIND);
  writer.byte(KINDS[span.kind]);
  writer.byte(SPAN_START_TIME);
  writeNanos(writer, span.begunAt);
  writer.byte(SPAN_END_TIME);
  writeNanos(writer, span.endedAt);
  if (attributes !== undefined) {
    for (const key in attributes) writeAttribute(writer, SPAN_ATTRIBUTES, key, attributes[key]!);
  }
  const status = writer.begin(SPAN_STATUS);
  if (code !== "ok") writer.text(STATUS_MESSAGE, code);
  writer.byte(STATUS_CODE);
  writer.byte(code === "ok" ? OK : ERROR);
  writer.end(status);
  writer.end(start);
}

function writeAttribute(writer: ProtoWriter, field: number, key: string, value: string | number): void {
  const start = writer.begin(field);
  writer.text(KEY_VALUE_KEY, key);
  const any = writer.begin(KEY_VALUE_VALUE);
  if (typeof value === "string") {
    writer.text(ANY_VALUE_STRING, value);
  } else if (Number.isSafeInteger(value) && value >= 0) {
    writer.byte(ANY_VALUE_INT);
    writer.varint(value);
  } else {
    writer.byte(ANY_VALUE_DOUBLE);
    writer.double(value);
  }
  writer.end(any);
  writer.end(start);
}

const ORIGIN_MS = performance.timeOrigin;
const WORD = 2 ** 32;

/** A time of `performance.now()` in nanoseconds since 1970, to the microsecond. */
function writeNanos(writer: ProtoWriter, atMs: number): void {
  const micros = Math.round((ORIGIN_MS + atMs) * 1000);
  // Nanoseconds are more than a number holds exactly: they are made word by word.
  const high = Math.floor(micros / WORD);
  const low = (micros - high * WORD) * 1000;
  writer.littleEndian(low | 0);
  writer.littleEndian((high * 1000 + Math.floor(low / WORD)) | 0);
}
