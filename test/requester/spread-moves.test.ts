import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId, StoredShard } from "../../src/core/mod.ts";
import type { Candidate } from "../../src/requester/provider-pool.ts";
import { hasDoubles, spreadMoves } from "../../src/requester/spread-moves.ts";

const nodeId = (letter: string): NodeId => `0x${letter.repeat(40)}`;
const shardsAt = (letters: string): StoredShard[] =>
  [...letters].map((letter) => ({ target: letter, providerId: nodeId(letter), state: "stored" }));
const candidates = (letters: string): Candidate[] =>
  [...letters].map((letter) => ({ target: letter, nodeId: nodeId(letter) }));

/** Where shards are after the moves, and how many those were. */
function spread(letters: string, known: string): [string, number] {
  const moves = spreadMoves(shardsAt(letters), candidates(known));
  const after = [...letters];
  for (const { index, provider } of moves) after[index] = provider.target;
  return [after.join(""), moves.length];
}

test("shards move to nodes that have none, no more of them than it takes", () => {
  assert.deepEqual(spread("aaaaaa", "ab"), ["aaabbb", 3]);
  assert.deepEqual(spread("aabbcc", "abc"), ["aabbcc", 0]);
  assert.deepEqual(spread("aabbcc", "abcd"), ["adbbcc", 1]);
  assert.deepEqual(spread("aabbcc", "abcdef"), ["adbecf", 3]);
  assert.deepEqual(spread("abcdef", "abcdefgh"), ["abcdef", 0]);
});

test("shards leave a node that does not answer for ones that do, and go to none when there is none", () => {
  assert.deepEqual(spread("aaab", "b"), ["aabb", 1]);
  assert.deepEqual(spread("aab", ""), ["aab", 0]);
  assert.deepEqual(spread("aaa", "a"), ["aaa", 0]);
});

test("only nodes that have several shards of a file make it one to spread", () => {
  assert.equal(hasDoubles({ shards: shardsAt("aab") }), true);
  assert.equal(hasDoubles({ shards: shardsAt("abc") }), false);
  assert.equal(hasDoubles({ shards: [] }), false);
});
