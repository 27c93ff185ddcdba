import assert from "node:assert/strict";
import { ChargePlaces, SETTLED } from "../../../src/plugins/wasm-meter/place-charges.ts";
import type { ChargedBlock } from "../../../src/plugins/wasm-meter/place-charges.ts";
import { test } from "../../testing.ts";

/** A function whose blocks are given by where they begin and end, what they cost, and how often they run. */
function paid(
  blocks: readonly (readonly [before: number, after: number, cost: number, weight: number])[],
): ChargedBlock[] {
  const places = new ChargePlaces();
  const count = 1 + Math.max(...blocks.flatMap(([before, after]) => [before, after]));
  for (let i = 1; i < count; i++) places.add();
  const charged = blocks.map(([before, after, value, weight]) => ({ before, after, value, weight, debt: 0 }));
  places.settle(charged);
  return charged;
}

const sum = (blocks: readonly ChargedBlock[], way: readonly number[]): number =>
  way.reduce((total, index) => total + blocks[index]!.value, 0);

test("every way through a function pays what its blocks cost, and one of two arms pays for the difference", () => {
  const blocks = paid([[SETTLED, 1, 4, 1], [1, 2, 3, 0.5], [1, 2, 5, 0.5], [2, SETTLED, 7, 1]]);
  assert.equal(sum(blocks, [0, 1, 3]), 14);
  assert.equal(sum(blocks, [0, 2, 3]), 16);
  assert.equal(blocks.filter(({ value }) => value !== 0).length, 2);
});

test("a loop pays once a turn, in the block that runs least often", () => {
  // A head, an arm that is skipped now and then, what turns back, and what comes after.
  const blocks = paid([[SETTLED, 1, 2, 1], [1, 2, 10, 8], [2, 3, 5, 4], [3, 1, 1, 6], [2, SETTLED, 9, 1]]);
  assert.equal(sum(blocks, [0, 1, 4]), 21);
  assert.equal(sum(blocks, [0, 1, 2, 3, 1, 2, 3, 1, 4]), 21 + 2 * 16);
  assert.deepEqual(blocks.slice(1, 4).map(({ value }) => value), [0, 16, 0]);
  // What the test at the loop's head must know.
  assert.equal(blocks[1]!.debt - blocks[3]!.debt, 10);
});

test("code that ends in a trap pays nothing, and code that nothing leads to has no debt", () => {
  const blocks = paid([[SETTLED, SETTLED, 3, 1], [SETTLED, 1, 100, 0], [2, 3, 5, 1]]);
  assert.deepEqual(blocks.map(({ value, debt }) => [value, debt]), [[3, 0], [0, 100], [5, 0]]);
});
