import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { copiesPolicy, ErasureCoder, MAX_SHARDS_OF_A_KIND } from "../../src/codec/mod.ts";
import { invert, invertMatrix, multiply } from "../../src/codec/gf256.ts";
import { hasRelaxedSimd } from "../../src/codec/kernel.ts";
import { generatorMatrix } from "../../src/codec/reed-solomon.ts";
import { pseudoRandom, sameBytes } from "./memory-shards.ts";

/** All ways to choose `count` of the numbers below `total`. */
function* choices(total: number, count: number, from = 0): Generator<number[]> {
  if (count === 0) yield [];
  else {for (let i = from; i <= total - count; i++) {
      for (const rest of choices(total, count - 1, i + 1)) yield [i, ...rest];
    }}
}

function encoded(coder: ErasureCoder, length: number): Uint8Array[] {
  const { dataShards, parityShards } = coder.policy;
  const data = Array.from({ length: dataShards }, (_, i) => pseudoRandom(length, i + 1));
  const parity = Array.from({ length: parityShards }, () => new Uint8Array(length));
  coder.encode(data, parity);
  return [...data, ...parity];
}

/** A product by the definition: shift and add, reduced by the polynomial. */
function slowMultiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 0; bit < 8; bit++) {
    if (b & (1 << bit)) product ^= a << bit;
  }
  for (let bit = 14; bit >= 8; bit--) {
    if (product & (1 << bit)) product ^= 0x11d << (bit - 8);
  }
  return product;
}

test("products and inverses are right for all elements", () => {
  for (let a = 0; a < 256; a++) {
    for (let b = 0; b < 256; b++) {
      if (multiply(a, b) !== slowMultiply(a, b)) assert.fail(`${a} · ${b}`);
    }
    if (a > 0) assert.equal(multiply(a, invert(a)), 1);
  }
});

test("a matrix times its inverse is the identity, and a singular one has none", () => {
  assert.equal(invertMatrix([Uint8Array.of(3, 3), Uint8Array.of(3, 3)]), undefined);
  const inverse = invertMatrix([Uint8Array.of(0, 1), Uint8Array.of(2, 0)]);
  assert.deepEqual(inverse, [Uint8Array.of(0, invert(2)), Uint8Array.of(1, 0)]);
});

test("any k rows of the generator are invertible: all choices of small policies", () => {
  for (let k = 1; k <= 6; k++) {
    for (let m = 0; m <= 5; m++) {
      const generator = generatorMatrix({ dataShards: k, parityShards: m });
      for (const rows of choices(k + m, k)) {
        assert.ok(invertMatrix(rows.map((row) => generator[row]!)), `${k}+${m}: ${rows}`);
      }
    }
  }
});

test("any k rows of the generator are invertible: random choices of all policies", () => {
  const size = fc.integer({ min: 1, max: MAX_SHARDS_OF_A_KIND });
  fc.assert(
    fc.property(size, size, fc.infiniteStream(fc.nat()), (k, m, numbers) => {
      const generator = generatorMatrix({ dataShards: k, parityShards: m });
      const rows = generator.map((row) => ({ row, key: numbers.next().value! })).sort((a, b) => a.key - b.key).slice(
        0,
        k,
      );
      assert.ok(invertMatrix(rows.map(({ row }) => row)));
    }),
    { numRuns: 200 },
  );
});

test("parity does not depend on how many parity shards there are, and the first is the XOR of the data", () => {
  const few = encoded(new ErasureCoder({ dataShards: 5, parityShards: 2 }), 100);
  const many = encoded(new ErasureCoder({ dataShards: 5, parityShards: 9 }), 100);
  assert.deepEqual(few.slice(5), many.slice(5, 7));
  const xor = new Uint8Array(100);
  for (const block of few.slice(0, 5)) block.forEach((byte, i) => xor[i]! ^= byte);
  assert.deepEqual(few[5], xor);
});

test("with one data shard every shard is a copy", () => {
  const shards = encoded(new ErasureCoder(copiesPolicy(4)), 5000);
  assert.equal(shards.length, 4);
  for (const shard of shards) assert.ok(sameBytes(shard, shards[0]!));
});

for (const variant of ["relaxed", "plain"] as const) {
  test(`any k shards decode: all losses of small policies (${variant})`, () => {
    for (const [dataShards, parityShards] of [[1, 2], [2, 2], [4, 2], [3, 3], [5, 4]] as const) {
      const coder = new ErasureCoder({ dataShards, parityShards }, { variant });
      const shards = encoded(coder, 97);
      for (const kept of choices(shards.length, dataShards)) {
        const blocks = shards.map((shard, i) => kept.includes(i) ? shard : undefined);
        const wanted = shards.flatMap((_, i) => kept.includes(i) ? [] : [i]);
        const rebuilt = coder.rebuild(blocks, wanted);
        wanted.forEach((shard, place) => assert.deepEqual(rebuilt[place], shards[shard], `${kept} → ${shard}`));
      }
    }
  });

  test(`any k shards decode: random losses, policies and lengths (${variant})`, () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: MAX_SHARDS_OF_A_KIND }),
        fc.integer({ min: 1, max: MAX_SHARDS_OF_A_KIND }),
        fc.constantFrom(1, 15, 16, 31, 32, 33, 1024, 16_383, 16_384, 16_385, 33_000),
        fc.infiniteStream(fc.nat()),
        (dataShards, parityShards, length, numbers) => {
          const coder = new ErasureCoder({ dataShards, parityShards }, { variant });
          const shards = encoded(coder, length);
          const order = shards.map((_, i) => ({ i, key: numbers.next().value! })).sort((a, b) => a.key - b.key);
          const lost = new Set(order.slice(0, parityShards).map(({ i }) => i));
          const wanted = [...lost];
          const rebuilt = coder.rebuild(shards.map((shard, i) => lost.has(i) ? undefined : shard), wanted);
          wanted.forEach((shard, place) => assert.ok(sameBytes(rebuilt[place]!, shards[shard]!)));
        },
      ),
      { numRuns: 60 },
    );
  });
}

test("this runtime has the fast kernel", () => {
  assert.ok(hasRelaxedSimd());
});

test("an engine without relaxed SIMD falls back to the plain kernel, and makes the same parity", async () => {
  const thread = new Worker(new URL("without-relaxed-simd.ts", import.meta.url));
  try {
    const made = await new Promise<{ parity: Uint8Array[]; rebuilt: Uint8Array }>((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
    });
    const shards = encoded(new ErasureCoder({ dataShards: 3, parityShards: 2 }, { variant: "relaxed" }), 1000);
    assert.deepEqual(made.parity, shards.slice(3));
    assert.deepEqual(made.rebuilt, shards[0]);
  } finally {
    await thread.terminate();
  }
});

test("rebuild() of nothing is nothing", () => {
  const coder = new ErasureCoder({ dataShards: 2, parityShards: 1 });
  assert.deepEqual(coder.rebuild(encoded(coder, 64), []), []);
});

test("encode() and rebuild() reject what does not fit", () => {
  const coder = new ErasureCoder({ dataShards: 2, parityShards: 1 });
  const block = new Uint8Array(32);
  assert.throws(() => coder.encode([block], [block]), { code: "invalid_argument", message: /1 data and 1 parity/ });
  assert.throws(() => coder.encode([block, block], [new Uint8Array(31)]), {
    code: "invalid_argument",
    message: /32 and 31/,
  });
  assert.throws(() => coder.rebuild([block, block], [2], []), {
    code: "invalid_argument",
    message: /1 shards do not fit/,
  });
  assert.throws(() => coder.rebuild([block, block], [2], [new Uint8Array(5)]), { code: "invalid_argument" });
  assert.throws(() => coder.rebuild([block], [1]), { code: "shards_missing", message: /Only 1 shards/ });
  assert.throws(() => coder.rebuild([block, block], [3]), { code: "invalid_argument", message: /no shard 3/ });
  assert.throws(() => coder.rebuild([block, block, block, block], [0]), { code: "invalid_argument" });
  assert.throws(() => coder.rebuild([block, undefined, new Uint8Array(5)], [1]), { code: "invalid_argument" });
});

test("a policy out of range is rejected", () => {
  for (
    const [dataShards, parityShards] of [[0, 1], [33, 0], [1, -1], [1, 33], [1.5, 1], [Number.NaN, 1], [
      1,
      Infinity,
    ]] as const
  ) {
    assert.throws(() => new ErasureCoder({ dataShards, parityShards }), { code: "invalid_argument" });
  }
  assert.throws(() => copiesPolicy(0), { code: "invalid_argument" });
  assert.throws(() => copiesPolicy(34), { code: "invalid_argument" });
});
