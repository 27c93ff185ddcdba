import assert from "node:assert/strict";
import { hexOfWord, RandomWords, wordOfHex } from "../../src/tracing/trace-ids.ts";
import { test } from "../testing.ts";

test("words are read from the hex that they make, at any digit, whatever their sign", () => {
  for (const hex of ["00000000", "00000001", "7fffffff", "80000000", "ffffffff", "0badcafe"]) {
    assert.equal(hexOfWord(wordOfHex(hex, 0)), hex);
    assert.equal(hexOfWord(wordOfHex(`123${hex}456`, 3)), hex);
  }
  assert.equal(wordOfHex("ffffffff", 0), -1);
});

test("random words do not come again when they are drawn anew, and use all of their bits", () => {
  const random = new RandomWords();
  const seen = new Set<string>();
  let [ones, zeros] = [0, 0];
  for (let i = 0; i < 10_000; i++) {
    const [high, low] = [random.next(), random.next()];
    assert(Number.isInteger(high) && high === (high | 0), `${high}`);
    seen.add(hexOfWord(high) + hexOfWord(low));
    ones |= low;
    zeros |= ~low;
  }
  assert.equal(seen.size, 10_000);
  assert.deepEqual([ones, zeros], [-1, -1]);
});
