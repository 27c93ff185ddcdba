import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FastestWay } from "../../src/codec/fastest-way.ts";
import { createHashKernel } from "../../src/codec/kernel.ts";
import { BLOCK_LEAVES, KernelLeafHash, LEAF_BYTES, NativeLeafHash } from "../../src/codec/leaf-hash.ts";
import { LEAF_TAG } from "../../src/codec/merkle-hash.ts";
import { openSsl } from "../../src/codec/openssl.ts";
import { MAX_LEAVES } from "../../src/codec/merkle-tree.ts";

const tag = new TextEncoder().encode(LEAF_TAG);
const kernel = createHashKernel(tag);
const ways = [
  new KernelLeafHash(kernel),
  new NativeLeafHash(kernel, tag),
  new NativeLeafHash(kernel, tag, openSsl()),
];

/** Fails unless all ways make the same of leaves. */
function expectSame(bytes: Uint8Array, first: number): void {
  for (const make of ["leaves", "block"] as const) {
    const [expected, ...others] = ways.map((way) => way[make](bytes, first));
    for (const other of others) assert.deepEqual(other, expected);
  }
}

/** As many leaves, all of them different. */
function leavesOf(count: number, seed: number): Uint8Array {
  const words = new Uint32Array(count * LEAF_BYTES / 4);
  for (let i = 0, word = seed; i < words.length; i++) words[i] = word = Math.imul(word, 1_664_525) + 1_013_904_223;
  return new Uint8Array(words.buffer);
}

test("leaves and the nodes above them are the same in WebAssembly and natively, for every number of them", () => {
  for (let count = 1; count <= BLOCK_LEAVES; count++) {
    const bytes = leavesOf(count, count);
    for (const first of [0, 64, 2 ** 32 - 64, 2 ** 32]) expectSame(bytes, first);
  }
});

test("they are the same wherever the leaves are, and whatever was hashed before", () => {
  const any = fc.record({
    count: fc.integer({ min: 1, max: BLOCK_LEAVES }),
    first: fc.integer({ min: 0, max: MAX_LEAVES / BLOCK_LEAVES - 1 }).map((block) => block * BLOCK_LEAVES),
    seed: fc.nat(),
  });
  fc.assert(fc.property(any, ({ count, first, seed }) => expectSame(leavesOf(count, seed), first)));
});

test("each way is tried in turn, and then the one whose fastest run was the fastest is taken", () => {
  let now = 0;
  const runs: string[] = [];
  const way = (name: string, durations: number[]) => (input: number) => {
    runs.push(name);
    now += durations.shift() ?? 100;
    return input + 1;
  };
  const fastest = new FastestWay([way("a", [9, 4]), way("b", [50, 3])], { tries: 2, now: () => now });
  for (let i = 0; i < 6; i++) assert.equal(fastest.run(i), i + 1);
  assert.equal(fastest.chosen(1), 2);
  assert.deepEqual(runs, ["b", "a", "b", "a", "b", "b", "b"]);
});
