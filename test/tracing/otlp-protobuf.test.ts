import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import type { SpanAttributes } from "../../src/core/mod.ts";
import { beginBatch, endBatch, writeSpan } from "../../src/tracing/otlp-protobuf.ts";
import { OtlpSpan, type SpanBeginning } from "../../src/tracing/otlp-span.ts";
import { ProtoWriter } from "../../src/tracing/proto-writer.ts";
import { test } from "../testing.ts";
import { decodeOtlp } from "./decode-otlp.ts";

const BEGINNING: SpanBeginning = {
  trace: [0x01234567, -1, 0, -0x80000000],
  high: 0x0abcdef0,
  low: -2,
  parent: { high: 1, low: 2 },
  name: "work",
  kind: "internal",
  begunAt: 0,
};

interface End {
  readonly endedAt: number;
  readonly code: string;
  readonly attributes: SpanAttributes;
}

function ended(beginning: Partial<SpanBeginning> = {}, end: Partial<End> = {}): OtlpSpan {
  const span = new OtlpSpan(() => {}, { ...BEGINNING, ...beginning });
  return Object.assign(span, { endedAt: 1, code: "ok", ...end });
}

/** The request that holds some spans. */
function request(spans: readonly OtlpSpan[], resource: SpanAttributes = {}): Buffer {
  const writer = new ProtoWriter(Buffer.alloc(1 << 20, 0xff));
  const frame = beginBatch(writer, resource);
  for (const span of spans) writeSpan(writer, span);
  endBatch(writer, frame);
  assert(writer.fits);
  return writer.bytes.subarray(0, writer.length);
}

function decoded(span: OtlpSpan) {
  return decodeOtlp(request([span])).spans[0]!;
}

test("a span is written with its ids, kind and outcome", () => {
  const { startTimeUnixNano: _, endTimeUnixNano: __, ...rest } = decoded(ended());
  assert.deepEqual(rest, {
    traceId: "01234567ffffffff0000000080000000",
    spanId: "0abcdef0fffffffe",
    parentSpanId: "0000000100000002",
    name: "work",
    kind: 1,
    attributes: [],
    status: { code: 1 },
    instance: undefined,
  });
  const root = decoded(ended({ parent: undefined, kind: "server" }, { code: "overloaded" }));
  assert.deepEqual([root.parentSpanId, root.kind, root.status], [undefined, 2, { code: 2, message: "overloaded" }]);
});

test("texts and numbers of a span are what they were, whatever they are", () => {
  const texts = ["", "plain", "\u0000\u001f\u007f", "Zürich, 東京, 🦊", "x".repeat(70_000), "é".repeat(200)];
  for (const text of texts) {
    const span = decoded(ended({ name: text }, { code: text, attributes: { [text]: text, n: 7 } }));
    assert.deepEqual([span.name, span.status.message], [text, text]);
    assert.deepEqual(span.attributes, [
      { key: text, value: { stringValue: text } },
      { key: "n", value: { intValue: "7" } },
    ]);
  }
  for (const whole of [0, 200, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    assert.deepEqual(decoded(ended({}, { attributes: { whole } })).attributes[0]!.value, { intValue: String(whole) });
  }
  for (const other of [-1, 1.5, 2 ** 53]) {
    assert.deepEqual(decoded(ended({}, { attributes: { other } })).attributes[0]!.value, {
      doubleValue: String(other),
    });
  }
});

test("times are written to the microsecond, over the ends of seconds and back", () => {
  const { timeOrigin } = performance;
  const nextSecond = Math.ceil(timeOrigin / 1000) * 1000 - timeOrigin;
  // From one end of the lower word to the next it takes 4.3 seconds.
  const times = [0, 0.5, nextSecond - 0.0004, nextSecond, nextSecond + 0.001, 1e9, 1e12];
  for (let i = 0; i < 50; i++) times.push(i * 100.001);
  for (const time of times) {
    const { startTimeUnixNano, endTimeUnixNano } = decoded(ended({ begunAt: time }, { endedAt: time + 1500 }));
    assert.equal(startTimeUnixNano, `${Math.round((timeOrigin + time) * 1000)}000`);
    assert.equal(endTimeUnixNano, `${Math.round((timeOrigin + time + 1500) * 1000)}000`);
  }
});

test("a batch names the resource once and holds all its spans", () => {
  const resource = { "service.name": "a node", "service.instance.id": "n" };
  const names = Array.from({ length: 100 }, (_, i) => `span ${i}`);
  const { spans, resource: about } = decodeOtlp(request(names.map((name) => ended({ name })), resource));
  assert.deepEqual(spans.map(({ name, instance }) => [name, instance]), names.map((name) => [name, "n"]));
  assert.deepEqual(about.map(({ key, value }) => [key, value["stringValue"]]), Object.entries(resource));
});

test("a request is what decoders of others were shown to take", () => {
  const { comment: _, hex } = JSON.parse(readFileSync("test/vectors/otlp.json", "utf8"));
  const at = (unixMs: number) => unixMs - performance.timeOrigin;
  const whole = request([
    ended({ kind: "server", parent: undefined, name: "HTTP POST", begunAt: at(1_750_000_000_000) }, {
      endedAt: at(1_750_000_000_012.5),
      code: "ok",
      attributes: { "http.response.status_code": 200, "velas.request_id": "01JXTR0000" },
    }),
    ended({ name: "plugin.execute", begunAt: at(1_750_000_000_001) }, {
      endedAt: at(1_750_000_000_010),
      code: "plugin_failed",
      attributes: { "velas.plugin": "Zürich", "velas.function": "", ratio: 0.5 },
    }),
  ], { "service.name": "velas-sphere", "service.instance.id": "0x12" });
  assert.equal(whole.toString("hex"), hex);
});
