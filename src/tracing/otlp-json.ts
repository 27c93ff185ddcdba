import type { SpanOptions } from "../core/mod.ts";
import type { SpanBeginning, SpanEnd } from "./otlp-span.ts";

/*
 * A span is written as text as soon as it has ended, not as an object that is encoded later: objects that wait until a batch is sent
 * outlive the young generation, and collecting them costs more than all else about a span. Every text that is not a constant of this
 * file goes through JSON.stringify; a test holds what comes out against what it makes of the same span as an object.
 */

type Attributes = NonNullable<SpanOptions["attributes"]>;

const KINDS = { internal: 1, server: 2 } as const;
const NO_ATTRIBUTES: Attributes = {};
/** Names and keys are few, for they are constants of the code; should they not be, those beyond are quoted each time. */
const MAX_QUOTED = 1024;
const quotedNames = new Map<string, string>();

/** What an ended span is in the JSON of OTLP (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). */
export function spanJson(span: SpanBeginning, end: SpanEnd): string {
  const { begunAt, options, parentSpanId } = span;
  const { code } = end;
  const parent = parentSpanId === "" ? "" : `","parentSpanId":"${parentSpanId}`;
  const status = code === "ok" ? `{"code":1}` : `{"code":2,"message":${JSON.stringify(code)}}`;
  return `{"traceId":"${span.traceId}","spanId":"${span.spanId}${parent}","name":${quoted(span.name)},"kind":${
    KINDS[options.kind]
  },"startTimeUnixNano":"${unixNanos(begunAt)}","endTimeUnixNano":"${unixNanos(end.endedAt)}","attributes":[${
    attributesJson(options.attributes, end.attributes)
  }],"status":${status}}`;
}

/** What comes before the spans of a batch, and after them. */
export function batchFrame(resource: Attributes): { readonly head: string; readonly tail: string } {
  const attributes = attributesJson(resource);
  return {
    head: `{"resourceSpans":[{"resource":{"attributes":[${attributes}]},` +
      `"scopeSpans":[{"scope":{"name":"velas-sphere"},"spans":[`,
    tail: "]}]}]}",
  };
}

function attributesJson(first: Attributes = NO_ATTRIBUTES, last: Attributes = NO_ATTRIBUTES): string {
  let json = "";
  for (const key in first) {
    json += separator(json) + attributeJson(key, Object.hasOwn(last, key) ? last[key]! : first[key]!);
  }
  for (const key in last) if (!Object.hasOwn(first, key)) json += separator(json) + attributeJson(key, last[key]!);
  return json;
}

function separator(json: string): string {
  return json === "" ? "" : ",";
}

function attributeJson(key: string, value: string | number): string {
  return typeof value === "number"
    ? `{"key":${quoted(key)},"value":{"intValue":"${Math.round(value)}"}}`
    : `{"key":${quoted(key)},"value":{"stringValue":${JSON.stringify(value)}}}`;
}

function quoted(name: string): string {
  let json = quotedNames.get(name);
  if (json === undefined) {
    json = JSON.stringify(name);
    if (quotedNames.size < MAX_QUOTED) quotedNames.set(name, json);
  }
  return json;
}

const ORIGIN_MS = performance.timeOrigin;
let second = { at: 0, text: "0" };

/** A time of `performance.now()` in nanoseconds since 1970, to the microsecond. Small integers become text much faster than large ones. */
function unixNanos(atMs: number): string {
  const micros = Math.round((ORIGIN_MS + atMs) * 1000);
  const at = Math.floor(micros / 1_000_000);
  if (at !== second.at) second = { at, text: String(at) };
  return `${second.text}${String(1_000_000 + micros - at * 1_000_000).slice(1)}000`;
}
