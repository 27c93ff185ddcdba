import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  CELL_BYTES,
  CELL_PLAINTEXT_BYTES,
  fileLayout,
  LEAF_BYTES,
  leavesOfSpan,
  MAX_FILE_BYTES,
  MAX_LEAVES,
  planRange,
  shardSpan,
} from "../../src/codec/mod.ts";
import { sealedSpan } from "../../src/codec/layout.ts";

const CELL = CELL_PLAINTEXT_BYTES;
const fourTwo = { dataShards: 4, parityShards: 2 };

test("a file of no bytes has one empty cell in one leaf of each shard", () => {
  const layout = fileLayout(0, fourTwo);
  assert.deepEqual([layout.cells, layout.sealedBytes, layout.stripes, layout.leafCount], [1, 16, 1, 1]);
  assert.deepEqual(planRange(layout, { start: 0, end: 0 }), {
    cells: { start: 0, end: 1 },
    stripes: { start: 0, end: 1 },
    dataShards: [0],
  });
});

test("sizes around cells and stripes give the expected cells, stripes and last blocks", () => {
  const shapes = [1, CELL - 1, CELL, CELL + 1, 4 * CELL - 1, 4 * CELL, 4 * CELL + 1].map((size) => {
    const { cells, stripes, lastBlockBytes } = fileLayout(size, fourTwo);
    return [cells, stripes, lastBlockBytes];
  });
  assert.deepEqual(shapes, [
    [1, 1, 1024],
    [1, 1, 16_384],
    [1, 1, 16_384],
    [2, 1, 17_408],
    [4, 1, 65_536],
    [4, 1, 65_536],
    [5, 2, 1024],
  ]);
});

test("the largest file of one shard fits into one tree", () => {
  assert.ok(fileLayout(MAX_FILE_BYTES, { dataShards: 1, parityShards: 0 }).leafCount <= MAX_LEAVES);
  for (const size of [MAX_FILE_BYTES + 1, -1, 0.5, Number.NaN, Infinity]) {
    assert.throws(() => fileLayout(size, fourTwo), { code: "invalid_argument" });
  }
});

test("a range within one cell of a whole stripe is read from one shard", () => {
  const layout = fileLayout(100 * CELL, fourTwo);
  assert.deepEqual(planRange(layout, { start: 6 * CELL, end: 7 * CELL }), {
    cells: { start: 6, end: 7 },
    stripes: { start: 1, end: 2 },
    dataShards: [2],
  });
  assert.deepEqual(shardSpan(layout, { start: 1, end: 2 }), { start: 65_536, end: 131_072 });
  assert.deepEqual(leavesOfSpan({ start: 65_536, end: 131_072 }), { first: 64, end: 128 });
  assert.deepEqual(planRange(layout, { start: 7 * CELL - 1, end: 9 * CELL + 1 }).dataShards, [0, 1, 2, 3]);
  assert.deepEqual(planRange(layout, { start: 7 * CELL, end: 9 * CELL }).dataShards, [0, 3]);
});

test("an empty range needs nothing, and one outside the file is rejected", () => {
  const layout = fileLayout(1000, fourTwo);
  assert.deepEqual(planRange(layout, { start: 1000, end: 1000 }).cells, { start: 0, end: 0 });
  for (const [start, end] of [[0, 1001], [-1, 5], [6, 5], [0.5, 1], [0, Number.NaN]] as const) {
    assert.throws(() => planRange(layout, { start, end }), { code: "invalid_argument", message: /of 1000/ });
  }
});

test("a plan covers every sealed byte of its cells, and no shard of it is idle", () => {
  const cases = fc.record({
    size: fc.oneof(fc.nat(50 * CELL), fc.integer({ min: MAX_FILE_BYTES - 50 * CELL, max: MAX_FILE_BYTES })),
    dataShards: fc.integer({ min: 1, max: 32 }),
    from: fc.nat(1_000_000),
    length: fc.integer({ min: 1, max: 40 * CELL }),
  });
  fc.assert(
    fc.property(cases, ({ size, dataShards, from, length }) => {
      const layout = fileLayout(size, { dataShards, parityShards: 2 });
      assert.equal(layout.shardBytes % LEAF_BYTES, 0);
      assert.ok(layout.shardBytes * dataShards >= layout.sealedBytes);
      assert.ok(layout.shardBytes * dataShards - layout.sealedBytes < dataShards * LEAF_BYTES);
      const start = Math.max(0, size - 1 - from);
      const end = Math.min(size, start + length);
      if (start >= end) return;
      const plan = planRange(layout, { start, end });
      assert.ok(plan.cells.start * CELL <= start && end <= plan.cells.end * CELL);
      assert.ok(plan.cells.end - plan.cells.start <= (end - start) / CELL + 2);
      const touched = new Set<number>();
      for (let cell = plan.cells.start; cell < plan.cells.end; cell++) {
        const span = sealedSpan(layout, cell);
        const stripe = Math.floor(cell / dataShards);
        assert.ok(plan.stripes.start <= stripe && stripe < plan.stripes.end);
        const block = stripe === layout.stripes - 1 ? layout.lastBlockBytes : CELL_BYTES;
        const origin = stripe * dataShards * CELL_BYTES;
        for (const at of [span.start, span.end - 1]) touched.add(Math.floor((at - origin) / block));
        for (let at = span.start; at < span.end; at += LEAF_BYTES) touched.add(Math.floor((at - origin) / block));
      }
      assert.deepEqual(plan.dataShards, [...touched].sort((a, b) => a - b));
    }),
    { numRuns: 300 },
  );
});
