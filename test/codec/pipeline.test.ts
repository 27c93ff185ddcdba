import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CELL_PLAINTEXT_BYTES, copiesPolicy, DEFAULT_POLICY } from "../../src/codec/mod.ts";
import type { ErasurePolicy, Span } from "../../src/codec/mod.ts";
import { getFile, inChunks, pseudoRandom, putFile, sameBytes } from "./memory-shards.ts";

const CELL = CELL_PLAINTEXT_BYTES;
const STRIPE = 4 * CELL;
const WINDOW = 4 * STRIPE;

for (const size of [0, 1, CELL - 1, CELL, CELL + 1, STRIPE - 1, STRIPE, STRIPE + 1, WINDOW - 1, WINDOW, WINDOW + 1]) {
  test(`a file of ${size} bytes reads back from all shards, and from any four of six`, async () => {
    const bytes = pseudoRandom(size);
    const file = await putFile(bytes, DEFAULT_POLICY);
    assert.equal(file.encoded.sizeBytes, size);
    assert.deepEqual(file.encoded.failedShards, []);
    assert.ok(sameBytes(await getFile(file), bytes));
    for (let first = 0; first < 6; first++) {
      for (let second = first + 1; second < 6; second++) {
        const readers = file.shards.map((shard, i) => i === first || i === second ? undefined : shard);
        assert.ok(sameBytes(await getFile(file, { readers }), bytes), `without ${first} and ${second}`);
      }
    }
  });
}

test("shards do not depend on how the plaintext comes or how many stripes a write takes", async () => {
  const bytes = pseudoRandom(WINDOW + 12_345);
  const one = await putFile(bytes, DEFAULT_POLICY);
  async function* ragged() {
    yield new Uint8Array(0);
    yield* inChunks(bytes.subarray(0, 5000), 7);
    yield* inChunks(bytes.subarray(5000), WINDOW);
    yield new Uint8Array(0);
  }
  for (const stripesPerWrite of [1, 3, 16]) {
    const other = await putFile(ragged(), DEFAULT_POLICY, { stripesPerWrite });
    other.shards.forEach((shard, i) => assert.ok(sameBytes(shard.bytes, one.shards[i]!.bytes), `shard ${i}`));
    assert.deepEqual(other.encoded, one.encoded);
  }
});

test("copies are equal plaintext behind different masks", async () => {
  const bytes = pseudoRandom(CELL + 5);
  const file = await putFile(bytes, copiesPolicy(3));
  assert.ok(!sameBytes(file.shards[0]!.bytes, file.shards[1]!.bytes));
  for (let only = 0; only < 3; only++) {
    const readers = file.shards.map((shard, i) => i === only ? shard : undefined);
    assert.ok(sameBytes(await getFile(file, { readers }), bytes));
  }
});

const policies: fc.Arbitrary<ErasurePolicy> = fc.record({
  dataShards: fc.integer({ min: 1, max: 12 }),
  parityShards: fc.integer({ min: 0, max: 10 }),
});

test("whatever size, policy, losses and range: a read gives the written bytes", async () => {
  const cases = fc.record({
    policy: policies,
    cells: fc.nat(30),
    odd: fc.constantFrom(0, 1, 2, 1000, 1024, CELL - 1),
    numbers: fc.infiniteStream(fc.nat()),
    cut: fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
    stripes: fc.integer({ min: 1, max: 6 }),
  });
  const all = pseudoRandom(31 * CELL);
  await fc.assert(
    fc.asyncProperty(cases, async ({ policy, cells, odd, numbers, cut, stripes }) => {
      const bytes = all.subarray(0, cells * CELL + odd);
      const file = await putFile(bytes, policy, { stripesPerWrite: stripes });
      const order = file.shards.map((_, i) => ({ i, key: numbers.next().value! })).sort((a, b) => a.key - b.key);
      const lost = new Set(order.slice(0, numbers.next().value! % (policy.parityShards + 1)).map(({ i }) => i));
      const start = Math.floor(Math.min(...cut) * bytes.length);
      const end = Math.ceil(Math.max(...cut) * bytes.length);
      const read = await getFile(file, {
        range: { start, end },
        readers: file.shards.map((shard, i) => lost.has(i) ? undefined : shard),
        stripesPerRead: 1 + numbers.next().value! % 5,
      });
      assert.ok(sameBytes(read, bytes.subarray(start, end)), `${start} to ${end} of ${bytes.length}`);
    }),
    { numRuns: 40 },
  );
});

test("whatever bits of up to m shards are flipped, a read gives the written bytes and names the shards", async () => {
  const cases = fc.record({
    policy: policies,
    size: fc.integer({ min: 1, max: 6 * CELL }),
    numbers: fc.infiniteStream(fc.nat()),
  });
  const all = pseudoRandom(6 * CELL);
  await fc.assert(
    fc.asyncProperty(cases, async ({ policy, size, numbers }) => {
      const bytes = all.subarray(0, size);
      const file = await putFile(bytes, policy);
      const order = file.shards.map((_, i) => ({ i, key: numbers.next().value! })).sort((a, b) => a.key - b.key);
      const bad = new Set(order.slice(0, policy.parityShards).map(({ i }) => i));
      for (const i of bad) {
        const shard = file.shards[i]!;
        const bit = numbers.next().value! % (shard.bytes.length * 8);
        shard.bytes[bit >> 3]! ^= 1 << (bit & 7);
      }
      const named = new Set<number>();
      const read = await getFile(file, { onShardFailed: (shard) => named.add(shard) });
      assert.ok(sameBytes(read, bytes));
      for (const shard of named) assert.ok(bad.has(shard), `shard ${shard} was good`);
    }),
    { numRuns: 40 },
  );
});

test("what readers gave is released once it is unmasked: also with lost shards, and for a part", async () => {
  const bytes = pseudoRandom(3_000_000);
  const file = await putFile(bytes, { dataShards: 4, parityShards: 2 });
  for (const lost of [[], [0, 5]]) {
    const given: Uint8Array[] = [];
    const readers = file.shards.map((shard, index) =>
      lost.includes(index) ? undefined : {
        read: async (span: Span) => {
          const piece = await shard.read(span);
          given.push(piece.bytes);
          return piece;
        },
      }
    );
    const range = { start: 70_000, end: 2_900_000 };
    assert.ok(sameBytes(await getFile(file, { readers, range }), bytes.subarray(range.start, range.end)));
    assert.ok(given.length > 4);
    assert.deepEqual(given.filter(({ length }) => length > 0), []);
  }
});

test("reading a small range asks one shard for one block", async () => {
  const bytes = pseudoRandom(3 * WINDOW);
  const file = await putFile(bytes, DEFAULT_POLICY);
  const range = { start: 6 * CELL + 100, end: 6 * CELL + 200 };
  assert.ok(sameBytes(await getFile(file, { range }), bytes.subarray(range.start, range.end)));
  assert.deepEqual(file.shards.map(({ reads }) => reads), [0, 0, 1, 0, 0, 0]);
});

test("a range that is empty gives nothing and asks nobody; one outside the file is rejected", async () => {
  const file = await putFile(pseudoRandom(5000), DEFAULT_POLICY);
  assert.equal((await getFile(file, { range: { start: 100, end: 100 } })).length, 0);
  assert.deepEqual(file.shards.map(({ reads }) => reads), [0, 0, 0, 0, 0, 0]);
  await assert.rejects(getFile(file, { range: { start: 0, end: 5001 } }), { code: "invalid_argument" });
});

test("a window of no stripes, or too many, is rejected", async () => {
  const file = await putFile(pseudoRandom(5), DEFAULT_POLICY);
  for (const stripes of [0, -1, 0.5, 65]) {
    await assert.rejects(getFile(file, { stripesPerRead: stripes }), { code: "invalid_argument" });
    await assert.rejects(putFile(pseudoRandom(5), DEFAULT_POLICY, { stripesPerWrite: stripes }), {
      code: "invalid_argument",
    });
  }
});

test("a manifest that lies about the size does not yield a shorter or longer file", async () => {
  for (const size of [CELL, 3 * CELL, 4 * CELL + 17]) {
    const file = await putFile(pseudoRandom(size), { dataShards: 1, parityShards: 0 });
    for (const sizeBytes of [size - 1, size + 1, size - CELL, size + CELL].filter((lie) => lie >= 0)) {
      const lying = { ...file, encoded: { ...file.encoded, sizeBytes } };
      await assert.rejects(
        getFile(lying),
        (error: { code?: string }) => error.code === "data_corrupt" || error.code === "shards_missing",
        `${sizeBytes} for ${size}`,
      );
    }
  }
});

test("swapped shards, and shards of another file, are not taken for the file's", async () => {
  const bytes = pseudoRandom(3 * STRIPE);
  const file = await putFile(bytes, DEFAULT_POLICY);
  const other = await putFile(pseudoRandom(3 * STRIPE, 2), DEFAULT_POLICY);
  const readers = [file.shards[1], file.shards[0], ...file.shards.slice(2)];
  assert.ok(sameBytes(await getFile(file, { readers }), bytes));
  await assert.rejects(getFile(file, { readers: other.shards }), { code: "shards_missing" });
});
