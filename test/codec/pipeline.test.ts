import assert from "node:assert/strict";
import { test } from "node:test";
import { CELL_PLAINTEXT_BYTES, DEFAULT_POLICY } from "../../src/codec/mod.ts";
import { getFile, pseudoRandom, putFile, sameBytes } from "./memory-shards.ts";

const CELL = CELL_PLAINTEXT_BYTES;
const STRIPE = 4 * CELL;

for (
  const size of [
    0,
    1,
    1023,
    1024,
    CELL - 1,
    CELL,
    CELL + 1,
    STRIPE - 1,
    STRIPE,
    STRIPE + 1,
    4 * STRIPE - 1,
    4 * STRIPE,
    4 * STRIPE + 1,
  ]
) {
  test(`a file of ${size} bytes reads back from all shards, and from each k of them`, async () => {
    const bytes = pseudoRandom(size);
    const file = await putFile(bytes, DEFAULT_POLICY);
    assert.equal(file.encoded.sizeBytes, size);
    assert.ok(sameBytes(await getFile(file), bytes));
    for (let first = 0; first < 6; first++) {
      for (let second = first + 1; second < 6; second++) {
        const readers = file.shards.map((shard, i) => i === first || i === second ? undefined : shard);
        assert.ok(sameBytes(await getFile(file, { readers }), bytes), `without ${first} and ${second}`);
      }
    }
  });
}
