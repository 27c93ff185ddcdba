import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import {
  BLOCK_LEAVES,
  BLOCK_LEVEL,
  DIGEST_BYTES,
  LEAF_BYTES,
  leavesOfNode,
  MerkleBuilder,
  nodesOfLevel,
  proofPositions,
  proveRange,
  verifyRange,
} from "../../src/codec/mod.ts";
import type { NodePosition, TreeHead } from "../../src/codec/mod.ts";
import { hashSubtree } from "../../src/codec/merkle-tree.ts";
import { pseudoRandom } from "./memory-shards.ts";
import { hex } from "./vectors.ts";

const COUNTS = [1, 2, 3, 4, 5, 31, 32, 33, 62, 63, 64, 65, 66, 127, 128, 129, 130, 192, 193, 255, 257];

/** The digests of all levels by node:crypto, one by one. */
function levelsOf(bytes: Uint8Array): Buffer[][] {
  const sha256 = (...parts: Uint8Array[]) => createHash("sha256").update(Buffer.concat(parts)).digest();
  const leaves: Buffer[] = [];
  for (let index = 0; index * LEAF_BYTES < bytes.length; index++) {
    const prefix = Buffer.alloc(64);
    prefix.write("velas-sphere/1 leaf");
    prefix.writeUInt32BE(index, 60);
    leaves.push(sha256(prefix, bytes.subarray(index * LEAF_BYTES, (index + 1) * LEAF_BYTES)));
  }
  const levels = [leaves];
  for (let level = leaves; level.length > 1;) {
    const above: Buffer[] = [];
    for (let i = 0; i < level.length; i += 2) {
      above.push(i + 1 < level.length ? sha256(level[i]!, level[i + 1]!) : level[i]!);
    }
    levels.push(above);
    level = above;
  }
  return levels;
}

interface Built {
  readonly head: TreeHead;
  readonly nodes: Map<string, Uint8Array>;
}

function build(bytes: Uint8Array, chunkBytes = bytes.length): Built {
  const nodes = new Map<string, Uint8Array>();
  const builder = new MerkleBuilder(({ level, index }, digest) => {
    assert.ok(!nodes.has(`${level}/${index}`), `node ${level}/${index} came twice`);
    nodes.set(`${level}/${index}`, digest);
  });
  for (let at = 0; at < bytes.length; at += chunkBytes) builder.append(bytes.subarray(at, at + chunkBytes));
  return { head: builder.finish(), nodes };
}

function prove(bytes: Uint8Array, nodes: Built["nodes"], range: { first: number; end: number }): Promise<Uint8Array> {
  return proveRange(
    {
      nodes: (positions: readonly NodePosition[]) =>
        positions.map(({ level, index }) => nodes.get(`${level}/${index}`)!),
      leaves: ({ first, end }) => {
        assert.ok(Math.floor(first / BLOCK_LEAVES) === Math.floor((end - 1) / BLOCK_LEAVES), "leaves of two blocks");
        return bytes.subarray(first * LEAF_BYTES, end * LEAF_BYTES);
      },
    },
    bytes.length / LEAF_BYTES,
    range,
  );
}

test("a tree's nodes are what node:crypto makes of its leaves", () => {
  for (const count of COUNTS) {
    const bytes = pseudoRandom(count * LEAF_BYTES);
    const levels = levelsOf(bytes);
    const { head, nodes } = build(bytes);
    assert.equal(hex(head.root), hex(levels.at(-1)![0]!), `${count} leaves`);
    const told = levels.slice(BLOCK_LEVEL).flatMap((digests, i) =>
      digests.map((_, index) => `${BLOCK_LEVEL + i}/${index}`)
    );
    if (count > BLOCK_LEAVES) assert.deepEqual([...nodes.keys()].sort(), told.sort());
    for (const [name, digest] of nodes) {
      const [level, index] = name.split("/").map(Number);
      assert.equal(hex(digest), hex((levels[level!] ?? levels.at(-1)!)[index!]!), `node ${name} of ${count} leaves`);
    }
  }
});

test("a tree does not depend on how its bytes come", () => {
  const bytes = pseudoRandom(200 * LEAF_BYTES);
  const whole = build(bytes);
  for (const chunkBytes of [1, 1000, 1024, 65_535, 65_536, 65_537, 131_072]) {
    assert.deepEqual(build(bytes, chunkBytes), whole, `chunks of ${chunkBytes}`);
  }
});

test("a tree of no or broken leaves is rejected", () => {
  for (const length of [0, 1, 1023, 1025, 65_537]) {
    const builder = new MerkleBuilder();
    builder.append(new Uint8Array(length));
    assert.throws(() => builder.finish(), { code: "invalid_argument", message: new RegExp(`${length} bytes`) });
  }
});

test("every leaf of every small tree has a proof of the right length that verifies", async () => {
  for (const count of COUNTS) {
    const bytes = pseudoRandom(count * LEAF_BYTES);
    const { head, nodes } = build(bytes);
    const levels = levelsOf(bytes);
    for (let leaf = 0; leaf < count; leaf += count > 70 ? 7 : 1) {
      const range = { first: leaf, end: leaf + 1 };
      const proof = await prove(bytes, nodes, range);
      const expected = proofPositions(count, range).map(({ level, index }) => levels[level]![index]!);
      assert.equal(hex(proof), hex(Buffer.concat(expected)));
      const leaves = bytes.subarray(leaf * LEAF_BYTES, (leaf + 1) * LEAF_BYTES);
      assert.ok(verifyRange(head, { firstLeaf: leaf, bytes: leaves, proof }));
    }
  }
});

test("a range verifies with its own bytes, place and proof, and with nothing else", async () => {
  const cases = fc.integer({ min: 1, max: 300 }).chain((count) =>
    fc.record({
      count: fc.constant(count),
      first: fc.nat(count - 1),
      length: fc.integer({ min: 1, max: count }),
      bit: fc.nat(),
    })
  );
  const all = pseudoRandom(300 * LEAF_BYTES);
  await fc.assert(
    fc.asyncProperty(cases, async ({ count, first, length, bit }) => {
      const bytes = all.subarray(0, count * LEAF_BYTES);
      const end = Math.min(count, first + length);
      const { head, nodes } = build(bytes);
      const proof = await prove(bytes, nodes, { first, end });
      const leaves = bytes.slice(first * LEAF_BYTES, end * LEAF_BYTES);
      const good = { firstLeaf: first, bytes: leaves, proof };
      assert.ok(verifyRange(head, good));

      const flip = (data: Uint8Array) => {
        const copy = Uint8Array.from(data);
        const at = bit % (copy.length * 8);
        copy[at >> 3]! ^= 1 << (at & 7);
        return copy;
      };
      assert.ok(!verifyRange(head, { ...good, bytes: flip(leaves) }));
      if (proof.length > 0) {
        assert.ok(!verifyRange(head, { ...good, proof: flip(proof) }));
        assert.ok(!verifyRange(head, { ...good, proof: proof.subarray(DIGEST_BYTES) }));
      }
      assert.ok(!verifyRange(head, { ...good, proof: Buffer.concat([proof, new Uint8Array(DIGEST_BYTES)]) }));
      assert.ok(!verifyRange(head, { ...good, proof: Buffer.concat([proof, Uint8Array.of(0)]) }));
      assert.ok(!verifyRange(head, { ...good, firstLeaf: first + 1 }));
      assert.ok(!verifyRange(head, { ...good, firstLeaf: first - 1 }));
      assert.ok(!verifyRange({ ...head, root: flip(head.root) }, good));
      if (leaves.length > LEAF_BYTES) assert.ok(!verifyRange(head, { ...good, bytes: leaves.subarray(LEAF_BYTES) }));
    }),
    { numRuns: 150 },
  );
});

test("verifyRange() is false, and never throws, for whatever has the wrong form", () => {
  const { head } = build(pseudoRandom(4 * LEAF_BYTES));
  const good = { firstLeaf: 0, bytes: new Uint8Array(LEAF_BYTES), proof: new Uint8Array(64) };
  for (const firstLeaf of [-1, 4, 0.5, Number.NaN, Infinity, 2 ** 60]) {
    assert.equal(verifyRange(head, { ...good, firstLeaf }), false);
  }
  for (const length of [0, 1, 1023, 1025, 5 * 1024]) {
    assert.equal(verifyRange(head, { ...good, bytes: new Uint8Array(length) }), false);
  }
  for (const leafCount of [0, -1, Number.NaN, 2 ** 60]) assert.equal(verifyRange({ ...head, leafCount }, good), false);
  assert.equal(verifyRange({ ...head, root: new Uint8Array(31) }, good), false);
});

test("an interior node cannot pass for a leaf, nor a leaf for another place", async () => {
  const bytes = pseudoRandom(2 * LEAF_BYTES);
  const same = Buffer.concat([bytes.subarray(0, LEAF_BYTES), bytes.subarray(0, LEAF_BYTES)]);
  const { head, nodes } = build(same);
  const proof = await prove(same, nodes, { first: 0, end: 1 });
  const leaf = same.subarray(0, LEAF_BYTES);
  assert.ok(verifyRange(head, { firstLeaf: 0, bytes: leaf, proof }));
  assert.ok(!verifyRange(head, { firstLeaf: 1, bytes: leaf, proof }), "equal leaves have different digests");
});

test("node spans and level widths are those of the positional tree", () => {
  assert.deepEqual(leavesOfNode(130, { level: 6, index: 2 }), { first: 128, end: 130 });
  assert.deepEqual(leavesOfNode(130, { level: 8, index: 0 }), { first: 0, end: 130 });
  assert.deepEqual([0, 1, 6, 7, 8, 9].map((level) => nodesOfLevel(130, level)), [130, 65, 3, 2, 1, 1]);
  assert.equal(hex(hashSubtree(pseudoRandom(LEAF_BYTES), 0)), hex(build(pseudoRandom(LEAF_BYTES)).head.root));
});

test("a proof of leaves that are not in the tree is rejected", () => {
  for (const [first, end] of [[0, 0], [1, 0], [-1, 1], [3, 5], [0.5, 1], [Number.NaN, 1]] as const) {
    assert.throws(() => proofPositions(4, { first, end }), { code: "invalid_argument" });
  }
});
