import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { currentSpan, inSpan, silentLog, type Span } from "../../src/core/mod.ts";
import { createMetrics } from "../../src/rest/mod.ts";
import { OtlpTracer, type OtlpTracerOptions } from "../../src/tracing/mod.ts";
import { startReceiver } from "./otlp-receiver.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

const PARENT = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;

function tracer(t: TestScope, url: string, change: Partial<OtlpTracerOptions> = {}) {
  const metrics = createMetrics({ processMetrics: false });
  const made = new OtlpTracer({
    url,
    samplePercent: 100,
    callsPerSecond: 1_000_000,
    resource: { "service.instance.id": "n" },
    everyMs: 3_600_000,
    log: silentLog,
    metrics,
    ...change,
  });
  t.after(() => made.close());
  return { made, count: (result: string) => metrics.read("velas_trace_spans_total", { result }) };
}

test("a span goes out once, with its parent, times, attributes and outcome", async (t) => {
  const { url, spans } = await startReceiver(t);
  const { made, count } = tracer(t, url);
  const span = made.begin("work", { kind: "server", traceparent: PARENT })!;
  assert.match(span.traceparent, /^00-a{32}-[0-9a-f]{16}-01$/);
  span.end("overloaded", { a: "x", n: 7 });
  span.end("ok", { more: "y" });
  made.begin("own", { kind: "internal" })!.end("ok");
  await made.flush();
  const [first, own] = spans;
  assert.equal(spans.length, 2);
  assert.deepEqual([first!.traceId, first!.parentSpanId, first!.kind], ["a".repeat(32), "b".repeat(16), 2]);
  assert.deepEqual(first!.status, { code: 2, message: "overloaded" });
  assert.deepEqual(first!.attributes.map(({ key }) => key), ["a", "n"]);
  assert(BigInt(first!.endTimeUnixNano) >= BigInt(first!.startTimeUnixNano));
  assert.equal(own!.parentSpanId, undefined);
  assert.equal(count("exported"), 2);
});

test("what is no traceparent begins a trace, and one that is not sampled is followed", async (t) => {
  const { url } = await startReceiver(t);
  const { made } = tracer(t, url);
  for (
    const bad of [
      "",
      "x",
      PARENT.toUpperCase(),
      PARENT.replace(/a/g, "0"),
      PARENT.replace(/b/g, "0"),
      `ff${PARENT.slice(2)}`,
    ]
  ) {
    const span = made.begin("x", { kind: "server", traceparent: bad })!;
    assert(!span.traceparent.includes("a".repeat(32)) && !/-0{32}-/.test(span.traceparent), bad);
  }
  assert.equal(made.begin("x", { kind: "server", traceparent: `${PARENT.slice(0, -1)}0` }), undefined);
  const never = tracer(t, url, { samplePercent: 0 }).made;
  assert.equal(never.begin("x", { kind: "server" }), undefined);
  assert(never.begin("x", { kind: "server", traceparent: PARENT }) !== undefined);
});

test("spans wait while the collector is away, within a bound, and are let go when it refuses them", async (t) => {
  let status = 503;
  const { url, spans } = await startReceiver(t, () => status);
  const { made, count } = tracer(t, url);
  for (let i = 0; i < 9000; i++) made.begin(`s${i}`, { kind: "internal" })!.end("ok");
  await made.flush();
  assert.equal(count("dropped"), 9000 - 8192);
  status = 200;
  await made.flush();
  assert.equal(spans.length, 8192);
  assert.equal(new Set(spans.map(({ name }) => name)).size, 8192, "each once");
  status = 400;
  made.begin("bad", { kind: "internal" })!.end("ok");
  await made.flush();
  assert.equal(count("refused"), 1);
  const gone = tracer(t, "http://127.0.0.1:1").made;
  gone.begin("x", { kind: "internal" })!.end("ok");
  await gone.flush();
});

test("a span is part of another of this node, or of one that only has a traceparent, and of its trace", async (t) => {
  const { url, spans } = await startReceiver(t);
  const { made } = tracer(t, url, { samplePercent: 0 });
  const call = made.begin("call", { kind: "server", traceparent: PARENT })!;
  const part = made.begin("part", { kind: "internal", parent: call })!;
  made.begin("part of part", { kind: "internal", parent: part, traceparent: "of another" })!.end("ok");
  made.begin("part of a foreign one", { kind: "internal", parent: { traceparent: PARENT, end() {} } })!.end("ok");
  const notSampled = { traceparent: `${PARENT.slice(0, -1)}0`, end() {} };
  assert.equal(made.begin("x", { kind: "internal", parent: notSampled }), undefined);
  part.end("ok");
  call.end("ok");
  await made.flush();
  const of = (name: string) => spans.find((span) => span.name === name)!;
  assert.equal(of("call").parentSpanId, "b".repeat(16));
  assert.equal(of("part").parentSpanId, of("call").spanId);
  assert.equal(of("part of part").parentSpanId, of("part").spanId);
  assert.equal(of("part of a foreign one").parentSpanId, "b".repeat(16));
  assert.deepEqual(new Set(spans.map(({ traceId }) => traceId)), new Set(["a".repeat(32)]));
  assert.equal(call.traceparent, `00-${"a".repeat(32)}-${of("call").spanId}-01`);
});

test("spans that end while others are sent wait for a full batch, a flush or the end", async (t) => {
  const { url, spans, bodies, until } = await startReceiver(t);
  const { made } = tracer(t, url);
  const end = (count: number) => {
    for (let i = 0; i < count; i++) made.begin("x", { kind: "internal" })!.end("ok");
  };
  end(2048);
  end(10);
  await until(() => spans.length >= 2048);
  end(10);
  await sleep(50);
  assert.deepEqual([spans.length, bodies.length], [2048, 1]);
  end(2048 - 20);
  await until(() => spans.length >= 4096);
  end(1);
  await made.flush();
  assert.deepEqual([spans.length, bodies.length], [4097, 3]);
  end(1);
  await made.close();
  assert.deepEqual([spans.length, bodies.length], [4098, 4]);
});

test("no more calls a second are traced than may be, and parts of a traced one always are", async (t) => {
  const { url } = await startReceiver(t);
  const { made } = tracer(t, url, { callsPerSecond: 3 });
  const calls = Array.from({ length: 10 }, () => made.begin("call", { kind: "server", traceparent: PARENT }));
  // The second may have ended between two of them.
  const traced = calls.filter((span) => span !== undefined).length;
  assert(traced >= 3 && traced < 10, `${traced}`);
  for (let i = 0; i < 10; i++) assert(made.begin("part", { kind: "internal", traceparent: PARENT }) !== undefined);
});

test("configure() has calls sampled otherwise from then on", async (t) => {
  const { url } = await startReceiver(t);
  const { made } = tracer(t, url, { samplePercent: 0 });
  const begin = (traceparent?: string) => made.begin("call", { kind: "server", traceparent }) !== undefined;
  assert.deepEqual([begin(), begin(PARENT)], [false, true]);
  made.configure({ samplePercent: 100, callsPerSecond: 1_000_000 });
  assert(begin());
  made.configure({ samplePercent: 0, callsPerSecond: 1_000_000 });
  assert.equal(begin(), false);
  // One was traced already in this second, or the first is now.
  made.configure({ samplePercent: 100, callsPerSecond: 1 });
  begin();
  assert.equal([begin(), begin(), begin()].filter(Boolean).length <= 1, true);
});

test("inSpan() holds over what is awaited, and ends with it", async () => {
  const span: Span = { traceparent: PARENT, end() {} };
  const seen = await inSpan(span, async () => {
    await sleep(1);
    return [currentSpan(), inSpan(undefined, currentSpan)];
  });
  assert.deepEqual(seen, [span, undefined]);
  assert.equal(currentSpan(), undefined);
});
