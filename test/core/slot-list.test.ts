import assert from "node:assert/strict";
import { SlotList } from "../../src/core/mod.ts";
import { test } from "../testing.ts";

test("a list holds those that were added and not removed, in slots that are used again", () => {
  const list = new SlotList<string>();
  assert.deepEqual([list.size, [...list]], [0, []]);
  const slots = ["a", "b", "c"].map((entry) => list.add(entry));
  assert.equal(new Set(slots).size, 3);
  list.remove(slots[1]!);
  assert.deepEqual([list.size, [...list]], [2, ["a", "c"]]);
  assert.equal(list.add("d"), slots[1]);
  assert.deepEqual([list.size, [...list].sort()], [3, ["a", "c", "d"]]);
  list.add("e");
  assert.equal(list.size, 4);
});

test("entries may leave and come while a list is walked", () => {
  const list = new SlotList<number>();
  const slots = [0, 1, 2].map((entry) => list.add(entry));
  const seen: number[] = [];
  for (const entry of list) {
    seen.push(entry);
    if (entry === 0) list.remove(slots[1]!);
    if (entry === 2) list.add(3);
  }
  assert.deepEqual(seen, [0, 2]);
  assert.deepEqual([...list].sort(), [0, 2, 3]);
});
