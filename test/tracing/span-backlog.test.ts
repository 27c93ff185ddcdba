import assert from "node:assert/strict";
import { OtlpSpan } from "../../src/tracing/otlp-span.ts";
import { SpanBacklog, type SpanBatch } from "../../src/tracing/span-backlog.ts";
import { test } from "../testing.ts";
import { decodeOtlp } from "./decode-otlp.ts";

function backlog({ batchSpans = 3, maxSpans = 1000 } = {}) {
  return new SpanBacklog({ resource: { "service.instance.id": "é" }, batchSpans, maxSpans });
}

function span(name: string): OtlpSpan {
  const made = new OtlpSpan(() => {}, {
    trace: [1, 2, 3, 4],
    high: 5,
    low: 6,
    parent: undefined,
    name,
    kind: "internal",
    begunAt: 0,
  });
  made.end("ok");
  return made;
}

function names(batch: SpanBatch | undefined): string[] {
  const { spans } = decodeOtlp(batch!.body);
  assert(spans.every(({ instance }) => instance === "é"));
  return spans.map(({ name }) => name);
}

/** Takes all batches out. */
function drain(from: SpanBacklog): string[][] {
  const batches = [];
  for (let batch; (batch = from.oldest({ partial: true })) !== undefined; from.remove({ reusable: true })) {
    const all = names(batch);
    assert.equal(all.length, batch.spans);
    batches.push(all);
  }
  return batches;
}

test("a batch is closed with its last span, and one that is being filled is given only when that is wanted", () => {
  for (const [count, closed] of [[0, 0], [2, 0], [3, 3], [4, 3]] as const) {
    const waiting = backlog();
    for (let i = 0; i < count; i++) waiting.add(span(`${i}`));
    assert.equal(waiting.hasClosed, closed > 0, `${count}`);
    assert.equal(waiting.oldest({ partial: false })?.spans ?? 0, closed);
    assert.equal(waiting.oldest({ partial: true })?.isLast, count === 0 ? undefined : count !== 4);
    assert.deepEqual(drain(waiting).flat(), ["0", "1", "2", "3"].slice(0, count));
    assert.equal(waiting.oldest({ partial: true }), undefined);
  }
});

test("a batch stays until it is removed, and spans that come meanwhile wait behind it", () => {
  const waiting = backlog();
  waiting.add(span("a"));
  const first = waiting.oldest({ partial: true })!;
  assert(first.isLast);
  for (const name of ["b", "c", "d", "e"]) waiting.add(span(name));
  const again = waiting.oldest({ partial: true })!;
  assert.deepEqual([names(first), names(again), again.isLast], [["a"], ["a"], false]);
  assert.deepEqual(drain(waiting), [["a"], ["b", "c", "d"], ["e"]]);
});

test("there is room for as many spans as may wait, those that are being sent among them", () => {
  const waiting = backlog({ maxSpans: 4 });
  for (let i = 0; i < 4; i++) {
    assert(waiting.hasRoom);
    waiting.add(span(`${i}`));
  }
  assert(!waiting.hasRoom);
  waiting.oldest({ partial: false });
  assert(!waiting.hasRoom);
  waiting.remove({ reusable: true });
  assert(waiting.hasRoom);
});

test("bytes are used again only when they may be", () => {
  for (const reusable of [true, false]) {
    const waiting = backlog();
    waiting.add(span("first"));
    const { body } = waiting.oldest({ partial: true })!;
    waiting.remove({ reusable });
    for (let i = 0; i < 4; i++) waiting.add(span("later"));
    assert.equal(waiting.oldest({ partial: false })!.body.buffer === body.buffer, reusable);
    assert.deepEqual(drain(waiting), [["later", "later", "later"], ["later"]]);
  }
});

test("a batch is closed before its bytes run out, and a span that is larger than all of them goes alone", () => {
  const waiting = backlog({ batchSpans: 1000 });
  // One unit of UTF-16 gives up to three bytes.
  const sizes = [10, 100_000, 80_000, 150_000, 700_000, 10, 10];
  const sent = sizes.map((size, i) => `${"東".repeat(size)}${i}`);
  for (const name of sent) waiting.add(span(name));
  const batches = drain(waiting);
  assert.deepEqual(batches.flat(), sent);
  assert.deepEqual(batches.map((batch) => batch.length), [3, 1, 1, 2]);
});

test("every span is in a batch once, wherever the bytes of one end", () => {
  for (const size of [30, 31, 32, 33, 34, 35, 36, 37]) {
    const waiting = backlog({ batchSpans: 1_000_000, maxSpans: 1_000_000 });
    const sent = Array.from({ length: 8000 }, (_, i) => `${i}`.padStart(size, "x"));
    for (const name of sent) waiting.add(span(name));
    const batches = drain(waiting);
    assert.deepEqual([batches.length, batches.flat()], [2, sent]);
  }
});
