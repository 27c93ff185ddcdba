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
const MAX_REMEMBERED = 1024;
const nameMember = remembering((name) => ['"name":', JSON.stringify(name)].join(""));
const keyMember = remembering((key) => ['"key":', JSON.stringify(key)].join(""));

/** What an ended span is in the JSON of OTLP (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding). */
export function spanJson(span: SpanBeginning, end: SpanEnd): string {
  const { begunAt, options, parentSpanId } = span;
  const { code } = end;
  const parent = parentSpanId === "" ? "" : `","parentSpanId":"${parentSpanId}`;
  const status = code === "ok" ? `{"code":1}` : `{"code":2,"message":${JSON.stringify(code)}}`;
  return `{"traceId":"${span.traceId}","spanId":"${span.spanId}${parent}",${nameMember(span.name)},"kind":${
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
  for (const key in first) json += attributeJson(json, key, Object.hasOwn(last, key) ? last[key]! : first[key]!);
  for (const key in last) if (!Object.hasOwn(first, key)) json += attributeJson(json, key, last[key]!);
  return json;
}

function attributeJson(before: string, key: string, value: string | number): string {
  const start = before === "" ? "{" : ",{";
  return typeof value === "number"
    ? `${start}${keyMember(key)},"value":{"intValue":"${Math.round(value)}"}}`
    : `${start}${keyMember(key)},"value":{"stringValue":${JSON.stringify(value)}}}`;
}

/** The function, with what it gave for the first texts remembered. */
function remembering(make: (text: string) => string): (text: string) => string {
  const made = new Map<string, string>();
  return (text) => {
    let json = made.get(text);
    if (json === undefined) {
      json = make(text);
      if (made.size < MAX_REMEMBERED) made.set(text, json);
    }
    return json;
  };
}

const ORIGIN_MS = performance.timeOrigin;
let second = { at: 0, text: "0" };

/** `000` to `999`: looking digits up is faster than making them. */
const THREE_DIGITS = Array.from({ length: 1000 }, (_, i) => String(i).padStart(3, "0"));

/** A time of `performance.now()` in nanoseconds since 1970, to the microsecond. */
function unixNanos(atMs: number): string {
  const micros = Math.round((ORIGIN_MS + atMs) * 1000);
  const at = Math.floor(micros / 1_000_000);
  if (at !== second.at) second = { at, text: String(at) };
  const within = micros - at * 1_000_000;
  const millis = Math.floor(within / 1000);
  return `${second.text}${THREE_DIGITS[millis]}${THREE_DIGITS[within - millis * 1000]}000`;
}
