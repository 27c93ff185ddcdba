import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { SpanBacklog, type SpanBatch } from "../../src/tracing/span-backlog.ts";
import { test } from "../testing.ts";

function backlog({ batchSpans = 3, maxSpans = 1000 } = {}) {
  return new SpanBacklog({ frame: { head: '{"é":[', tail: "]}" }, batchSpans, maxSpans });
}

function texts(batch: SpanBatch | undefined): string[] {
  return JSON.parse(Buffer.from(batch!.body).toString())["é"];
}

/** Takes all batches out. */
function drain(from: SpanBacklog): string[][] {
  const batches = [];
  for (let batch; (batch = from.oldest({ partial: true })) !== undefined; from.remove({ reusable: true })) {
    const all = texts(batch);
    assert.equal(all.length, batch.spans);
    batches.push(all);
  }
  return batches;
}

test("a batch is closed with its last span, and one that is being filled is given only when that is wanted", () => {
  for (const [count, closed] of [[0, 0], [2, 0], [3, 3], [4, 3]] as const) {
    const waiting = backlog();
    for (let i = 0; i < count; i++) waiting.add(`"${i}"`);
    assert.equal(waiting.hasClosed, closed > 0, `${count}`);
    assert.equal(waiting.oldest({ partial: false })?.spans ?? 0, closed);
    assert.equal(waiting.oldest({ partial: true })?.isLast, count === 0 ? undefined : count !== 4);
    assert.deepEqual(drain(waiting).flat(), ["0", "1", "2", "3"].slice(0, count));
    assert.equal(waiting.oldest({ partial: true }), undefined);
  }
});

test("a batch stays until it is removed, and spans that come meanwhile wait behind it", () => {
  const waiting = backlog();
  waiting.add('"a"');
  const first = waiting.oldest({ partial: true })!;
  assert(first.isLast);
  for (const text of ["b", "c", "d", "e"]) waiting.add(`"${text}"`);
  const again = waiting.oldest({ partial: true })!;
  assert.deepEqual([texts(first), texts(again), again.isLast], [["a"], ["a"], false]);
  assert.deepEqual(drain(waiting), [["a"], ["b", "c", "d"], ["e"]]);
});

test("there is room for as many spans as may wait, those that are being sent among them", () => {
  const waiting = backlog({ maxSpans: 4 });
  for (let i = 0; i < 4; i++) {
    assert(waiting.hasRoom);
    waiting.add(`"${i}"`);
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
    waiting.add('"first"');
    const { body } = waiting.oldest({ partial: true })!;
    waiting.remove({ reusable });
    for (let i = 0; i < 4; i++) waiting.add('"later"');
    assert.equal(waiting.oldest({ partial: false })!.body.buffer === body.buffer, reusable);
    assert.deepEqual(drain(waiting), [["later", "later", "later"], ["later"]]);
  }
});

test("a batch is closed before its bytes run out, and a span that is larger than all of them goes alone", () => {
  const waiting = backlog({ batchSpans: 1000 });
  // One unit of UTF-16 gives up to three bytes.
  const sizes = [10, 200_000, 200_000, 200_000, 700_000, 10, 10];
  const sent = sizes.map((size, i) => `${"東".repeat(size)}${i}`);
  for (const text of sent) waiting.add(JSON.stringify(text));
  const batches = drain(waiting);
  assert.deepEqual(batches.flat(), sent);
  assert.deepEqual(batches.map((batch) => batch.length), [2, 1, 1, 1, 2]);
});
