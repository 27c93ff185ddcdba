import assert from "node:assert/strict";
import type { SpanOptions } from "../../src/core/mod.ts";
import { batchFrame, spanJson } from "../../src/tracing/otlp-json.ts";
import type { SpanBeginning, SpanEnd } from "../../src/tracing/otlp-span.ts";
import { test } from "../testing.ts";

const NASTY = [
  "",
  "plain",
  'a"b\\c/d',
  "\u0000\u0007\b\t\n\f\r\u001f\u007f\u0085",
  "\u2028\u2029\u202e",
  "Zürich, 東京, 🦊",
  "\ud800 alone, and \udfff",
  '"}],"status":{"code":1}},{"traceId":"',
  "__proto__",
  "toString",
];

const BEGINNING: SpanBeginning = {
  traceId: "a".repeat(32),
  spanId: "b".repeat(16),
  parentSpanId: "c".repeat(16),
  name: "work",
  options: { kind: "internal" },
  begunAt: 0,
};
const END: SpanEnd = { endedAt: 1, code: "ok", attributes: undefined };

function attribute([key, value]: [string, string | number]) {
  return {
    key,
    value: typeof value === "number" ? { intValue: String(Math.round(value)) } : { stringValue: value },
  };
}

/** The same as an object, for JSON.stringify. */
function expected(beginning: SpanBeginning, end: SpanEnd, [startTimeUnixNano, endTimeUnixNano]: [string, string]) {
  const { traceId, spanId, parentSpanId, name, options } = beginning;
  const attributes = new Map([
    ...Object.entries(options.attributes ?? {}),
    ...Object.entries(end.attributes ?? {}),
  ]);
  return JSON.stringify({
    traceId,
    spanId,
    ...(parentSpanId !== "" && { parentSpanId }),
    name,
    kind: options.kind === "server" ? 2 : 1,
    startTimeUnixNano,
    endTimeUnixNano,
    attributes: [...attributes].map(attribute),
    status: end.code === "ok" ? { code: 1 } : { code: 2, message: end.code },
  });
}

function check(beginning: Partial<SpanBeginning>, end: Partial<SpanEnd> = {}) {
  const [whole, ending] = [{ ...BEGINNING, ...beginning }, { ...END, ...end }];
  const json = spanJson(whole, ending);
  const { startTimeUnixNano, endTimeUnixNano } = JSON.parse(json);
  assert.equal(json, expected(whole, ending, [startTimeUnixNano, endTimeUnixNano]));
}

test("spanJson() writes what JSON.stringify() makes of the span, whatever its texts are", () => {
  check({});
  check({ parentSpanId: "", options: { kind: "server" } });
  for (const text of NASTY) {
    const attributes = Object.fromEntries([[text, text], ["n", 7]]) as NonNullable<SpanOptions["attributes"]>;
    check({ name: text, options: { kind: "server", attributes } }, { code: text === "" ? "x" : text });
    check({ name: text }, { attributes });
    check({ options: { kind: "internal", attributes } }, { attributes: { [text]: "later", z: text } });
  }
});

test("spanJson() gives an attribute once, in its first place and with its last value", () => {
  const attributes = { a: "x", b: "y", n: 1.5 };
  const json = spanJson({ ...BEGINNING, options: { kind: "server", attributes } }, {
    ...END,
    attributes: { b: 0, toString: "own" },
  } as unknown as SpanEnd);
  assert.deepEqual(
    JSON.parse(json).attributes,
    [["a", "x"], ["b", 0], ["n", 2], ["toString", "own"]].map((entry) => attribute(entry as [string, string])),
  );
});

test("spanJson() keeps quoting names when there are more than are remembered", () => {
  for (let i = 0; i < 1100; i++) check({ name: `name "${i}"` });
  check({ name: 'name "0"' });
});

test("spanJson() writes times to the microsecond, over the ends of seconds and back", () => {
  const { timeOrigin } = performance;
  const nextSecond = Math.ceil(timeOrigin / 1000) * 1000 - timeOrigin;
  const times = [
    0,
    0.5,
    nextSecond - 1,
    nextSecond - 0.0004,
    nextSecond,
    nextSecond + 0.001,
    nextSecond + 999.999,
    1e9,
  ];
  for (const time of [...times, ...times.toReversed()]) {
    const { startTimeUnixNano, endTimeUnixNano } = JSON.parse(
      spanJson({ ...BEGINNING, begunAt: time }, { ...END, endedAt: time + 1500 }),
    );
    assert.equal(startTimeUnixNano, `${Math.round((timeOrigin + time) * 1000)}000`);
    assert.equal(endTimeUnixNano, `${Math.round((timeOrigin + time + 1500) * 1000)}000`);
  }
});

test("batchFrame() names the resource and makes one request of spans", () => {
  const { head, tail } = batchFrame({ "service.name": 'a "node"' });
  const span = spanJson(BEGINNING, END);
  assert.deepEqual(JSON.parse(`${head}${span},${span}${tail}`), {
    resourceSpans: [{
      resource: { attributes: [{ key: "service.name", value: { stringValue: 'a "node"' } }] },
      scopeSpans: [{ scope: { name: "velas-sphere" }, spans: [JSON.parse(span), JSON.parse(span)] }],
    }],
  });
});
