import type { ByteSpan } from "../core/mod.ts";

/** The most ranges that one request may ask for: many small ones cost far more to serve than to ask. */
export const MAX_RANGES = 64;

/** What a Range header asks of `sizeBytes`: these spans, everything, nothing that there is, or more pieces than are served. */
export type RangeAnswer =
  | { readonly kind: "spans"; readonly spans: readonly ByteSpan[] }
  | { readonly kind: "whole" }
  | { readonly kind: "unsatisfiable" }
  | { readonly kind: "too-many" };

const WHOLE: RangeAnswer = { kind: "whole" };
const SPEC = /^(\d*)-(\d*)$/;

/**
 * Reads a Range header (RFC 9110 §14.2). Another unit than bytes and what cannot be read ask for everything, as the RFC has it; what lies
 * behind the end is left out. Spans keep their order unless some overlap or touch: then they are sorted and joined.
 */
export function parseRange(header: string, sizeBytes: number): RangeAnswer {
  const set = /^bytes[ \t]*=(.*)$/i.exec(header.trim())?.[1];
  if (set === undefined) return WHOLE;
  const parts = set.split(",").map((part) => part.trim()).filter((part) => part !== "");
  if (parts.length === 0) return WHOLE;
  if (parts.length > MAX_RANGES) return { kind: "too-many" };
  const spans: ByteSpan[] = [];
  for (const part of parts) {
    const [, first, last] = SPEC.exec(part) ?? [];
    if (first === undefined || last === undefined || first + last === "") return WHOLE;
    if (first === "") {
      const suffix = Math.min(Number(last), sizeBytes);
      // A suffix of nothing is all of nothing, which a Content-Range cannot say.
      if (sizeBytes === 0 && Number(last) > 0) return WHOLE;
      if (suffix > 0) spans.push({ start: sizeBytes - suffix, end: sizeBytes });
      continue;
    }
    const start = Number(first);
    const end = last === "" ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
    if (last !== "" && Number(last) < start) return WHOLE;
    if (start < sizeBytes) spans.push({ start, end });
  }
  return spans.length === 0 ? { kind: "unsatisfiable" } : { kind: "spans", spans: joined(spans) };
}

function joined(spans: readonly ByteSpan[]): readonly ByteSpan[] {
  const sorted = spans.toSorted((a, b) => a.start - b.start);
  const result: ByteSpan[] = [];
  for (const span of sorted) {
    const previous = result.at(-1);
    if (previous === undefined || span.start > previous.end) result.push(span);
    else result[result.length - 1] = { start: previous.start, end: Math.max(previous.end, span.end) };
  }
  return result.length === spans.length ? spans : result;
}

/** How a `Content-Range` tells a span (RFC 9110 §14.4), or without one that nothing could be given. */
export function contentRange(span: ByteSpan | undefined, sizeBytes: number): string {
  return span === undefined ? `bytes */${sizeBytes}` : `bytes ${span.start}-${span.end - 1}/${sizeBytes}`;
}

/** What the conditions of a request are held against. */
export interface Validators {
  /** A strong entity tag, with its quotes. */
  readonly etag: string;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number;
}

/** The headers that make a request conditional. */
export interface ConditionHeaders {
  readonly "if-match"?: string | undefined;
  readonly "if-none-match"?: string | undefined;
  readonly "if-modified-since"?: string | undefined;
  readonly "if-unmodified-since"?: string | undefined;
  readonly "if-range"?: string | undefined;
}

/** What the conditions of a GET say (RFC 9110 §13.2.2): send it, 304, or 412. */
export function conditionStatus(headers: ConditionHeaders, validators: Validators): 200 | 304 | 412 {
  const seconds = Math.floor(validators.modifiedAt / 1000) * 1000;
  const ifMatch = headers["if-match"];
  if (ifMatch !== undefined) {
    if (!lists(ifMatch, validators.etag, { weak: false })) return 412;
  } else if (headers["if-unmodified-since"] !== undefined) {
    const since = Date.parse(headers["if-unmodified-since"]);
    if (seconds > since) return 412;
  }
  const ifNoneMatch = headers["if-none-match"];
  if (ifNoneMatch !== undefined) return lists(ifNoneMatch, validators.etag, { weak: true }) ? 304 : 200;
  if (headers["if-modified-since"] !== undefined) {
    const since = Date.parse(headers["if-modified-since"]);
    if (seconds <= since) return 304;
  }
  return 200;
}

/** Whether a Range counts: without If-Range always, else when the client has a part of these very bytes (RFC 9110 §13.1.5). */
export function rangeCounts(headers: ConditionHeaders, { etag, modifiedAt }: Validators): boolean {
  const ifRange = headers["if-range"]?.trim();
  if (ifRange === undefined) return true;
  if (/^(?:W\/)?"/.test(ifRange)) return ifRange === etag;
  return Date.parse(ifRange) === Math.floor(modifiedAt / 1000) * 1000;
}

function lists(header: string, etag: string, { weak }: { readonly weak: boolean }): boolean {
  if (header.trim() === "*") return true;
  return [...header.matchAll(/(W\/)?("[^"]*")/g)].some(([, isWeak, tag]) => (weak || !isWeak) && tag === etag);
}
