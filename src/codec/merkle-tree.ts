import { NodeError } from "../core/mod.ts";
import { BLOCK_LEAVES, DIGEST_BYTES, hashBlock, hashLeaves, hashPairs, LEAF_BYTES, leavesIn } from "./merkle-hash.ts";

/** All that a verifier keeps of a tree: with the count, the place of every leaf and the length of every proof are known. */
export interface TreeHead {
  /** 32 bytes. */
  readonly root: Uint8Array;
  readonly leafCount: number;
}

/** Leaves from `first` to before `end`. */
export interface LeafRange {
  readonly first: number;
  readonly end: number;
}

/** A node: level 0 are the leaves' digests, and node i of a level spans the leaves from i·2^level to before (i+1)·2^level. */
export interface NodePosition {
  readonly level: number;
  readonly index: number;
}

/** The level of the nodes that span a whole block of a shard. */
export const BLOCK_LEVEL = Math.log2(BLOCK_LEAVES);

/** The most leaves that a tree may have: 2^44 bytes. */
export const MAX_LEAVES = 2 ** 34;

/** Gets each node of {@link BLOCK_LEVEL} and above, as soon as its digest is known. */
export type NodeListener = (position: NodePosition, digest: Uint8Array) => void;

/**
 * Builds a tree from a shard's bytes as they come, in pieces of any length. Holds one block and a digest a level, whatever the size.
 *
 * The tree is positional: neighbours are hashed in pairs level by level, and a node without a right neighbour moves up unchanged.
 */
export class MerkleBuilder {
  readonly #onNode: NodeListener | undefined;
  /** The bytes of a block that is not whole yet. */
  readonly #rest = new Uint8Array(BLOCK_LEAVES * LEAF_BYTES);
  #restBytes = 0;
  #blocks = 0;
  /** At place i the left node of level BLOCK_LEVEL + i that waits for its right neighbour. */
  readonly #waiting: (Uint8Array | undefined)[] = [];

  constructor(onNode?: NodeListener) {
    this.#onNode = onNode;
  }

  /** Takes the next bytes of the shard. They are not kept. */
  append(bytes: Uint8Array): void {
    let at = 0;
    if (this.#restBytes > 0) {
      at = Math.min(this.#rest.length - this.#restBytes, bytes.length);
      this.#rest.set(bytes.subarray(0, at), this.#restBytes);
      this.#restBytes += at;
      if (this.#restBytes < this.#rest.length) return;
      this.#appendBlock(this.#rest);
      this.#restBytes = 0;
    }
    for (; at + this.#rest.length <= bytes.length; at += this.#rest.length) {
      this.#appendBlock(bytes.subarray(at, at + this.#rest.length));
    }
    this.#rest.set(bytes.subarray(at));
    this.#restBytes = bytes.length - at;
  }

  /** Ends the tree. Throws `invalid_argument` when the bytes were none or not whole leaves. */
  finish(): TreeHead {
    const leafCount = this.#blocks * BLOCK_LEAVES + this.#restBytes / LEAF_BYTES;
    if (leafCount === 0 || !Number.isInteger(leafCount)) {
      const total = leafCount * LEAF_BYTES;
      throw new NodeError("invalid_argument", `A shard of ${total} bytes is not whole leaves of ${LEAF_BYTES} bytes`);
    }
    let last: Uint8Array | undefined;
    if (this.#restBytes > 0) {
      last = hashBlock(this.#rest.subarray(0, this.#restBytes), this.#blocks * BLOCK_LEAVES);
      this.#onNode?.({ level: BLOCK_LEVEL, index: this.#blocks }, last);
    }
    // Up the right edge: `last` is the level's last node where that one is not whole.
    let level = BLOCK_LEVEL;
    for (let width = nodesOfLevel(leafCount, level); width > 1; width = nodesOfLevel(leafCount, ++level)) {
      const left = this.#waiting[level - BLOCK_LEVEL];
      if (left === undefined && last === undefined) continue;
      last = left === undefined ? last! : last === undefined ? left : hashPair(left, last);
      this.#onNode?.({ level: level + 1, index: nodesOfLevel(leafCount, level + 1) - 1 }, last);
    }
    return { root: last ?? this.#waiting[level - BLOCK_LEVEL]!, leafCount };
  }

  #appendBlock(block: Uint8Array): void {
    let digest = hashBlock(block, this.#blocks * BLOCK_LEAVES);
    let index = this.#blocks++;
    let level = BLOCK_LEVEL;
    this.#onNode?.({ level, index }, digest);
    while ((index & 1) === 1) {
      digest = hashPair(this.#waiting[level - BLOCK_LEVEL]!, digest);
      this.#waiting[level - BLOCK_LEVEL] = undefined;
      level++;
      index = Math.floor(index / 2);
      this.#onNode?.({ level, index }, digest);
    }
    this.#waiting[level - BLOCK_LEVEL] = digest;
  }
}

/** How many nodes a level has. */
export function nodesOfLevel(leafCount: number, level: number): number {
  return Math.ceil(leafCount / 2 ** level);
}

/** The leaves that a node spans. */
export function leavesOfNode(leafCount: number, { level, index }: NodePosition): LeafRange {
  const first = index * 2 ** level;
  return { first, end: Math.min(first + 2 ** level, leafCount) };
}

/**
 * The nodes whose digests, one after the other, prove a range of leaves: level by level from the leaves up, where the range has one,
 * the neighbour on its left, then the one on its right. Throws `invalid_argument` for a range that is empty or not in the tree.
 */
export function proofPositions(leafCount: number, range: LeafRange): NodePosition[] {
  if (!inTree(leafCount, range)) {
    throw new NodeError(
      "invalid_argument",
      `There are no leaves ${range.first} to ${range.end} in a tree of ${leafCount}: ask for 0 ≤ first < end ≤ ${leafCount}`,
    );
  }
  const positions: NodePosition[] = [];
  let { first, end } = range;
  for (let level = 0; nodesOfLevel(leafCount, level) > 1; level++) {
    if (first % 2 === 1) positions.push({ level, index: first - 1 });
    if (end % 2 === 1 && end < nodesOfLevel(leafCount, level)) positions.push({ level, index: end });
    first = Math.floor(first / 2);
    end = Math.ceil(end / 2);
  }
  return positions;
}

/** Where a prover finds a tree. */
export interface TreeSource {
  /** The digests of nodes of {@link BLOCK_LEVEL} or above, as a {@link NodeListener} got them, in the order of the positions. */
  nodes(positions: readonly NodePosition[]): readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** The bytes of leaves within one block. */
  leaves(range: LeafRange): Uint8Array | Promise<Uint8Array>;
}

/** Makes the proof of a range of leaves. Throws as {@link proofPositions} does, and whatever the source throws. */
export async function proveRange(source: TreeSource, leafCount: number, range: LeafRange): Promise<Uint8Array> {
  const positions = proofPositions(leafCount, range);
  const proof = new Uint8Array(positions.length * DIGEST_BYTES);
  // Levels rise, so those that are kept come last.
  const below = positions.filter(({ level }) => level < BLOCK_LEVEL);
  for (const [place, position] of below.entries()) {
    const leaves = leavesOfNode(leafCount, position);
    proof.set(hashSubtree(await source.leaves(leaves), leaves.first), place * DIGEST_BYTES);
  }
  if (below.length === positions.length) return proof;
  const digests = await source.nodes(positions.slice(below.length));
  for (const [i, digest] of digests.entries()) proof.set(digest, (below.length + i) * DIGEST_BYTES);
  return proof;
}

/** The digest of the node that spans the given leaves, whose first index must be a multiple of the smallest power of two ≥ their number. */
export function hashSubtree(bytes: Uint8Array, firstLeaf: number): Uint8Array {
  let digests = hashLeaves(bytes, firstLeaf);
  while (digests.length > DIGEST_BYTES) digests = levelAbove(digests);
  return digests;
}

/** Leaves with what proves them. */
export interface ProvenLeaves {
  readonly firstLeaf: number;
  /** Whole leaves. */
  readonly bytes: Uint8Array;
  /** The digests of {@link proofPositions}. */
  readonly proof: Uint8Array;
}

/**
 * Whether the leaves are those of the tree at that place. Total: lengths or places that do not fit are `false`, like wrong bytes. A proof has
 * one right length, so none can be stretched or moved.
 */
export function verifyRange(head: TreeHead, { firstLeaf, bytes, proof }: ProvenLeaves): boolean {
  if (bytes.length === 0 || bytes.length % LEAF_BYTES !== 0 || head.root.length !== DIGEST_BYTES) return false;
  const range = { first: firstLeaf, end: firstLeaf + leavesIn(bytes) };
  if (!inTree(head.leafCount, range)) return false;
  if (proof.length !== proofPositions(head.leafCount, range).length * DIGEST_BYTES) return false;

  let digests = hashLeaves(bytes, firstLeaf);
  let { first, end } = range;
  let at = 0;
  const take = () => proof.subarray(at, at += DIGEST_BYTES);
  for (let level = 0; nodesOfLevel(head.leafCount, level) > 1; level++) {
    const parts = [digests];
    if (first % 2 === 1) parts.unshift(take());
    if (end % 2 === 1 && end < nodesOfLevel(head.leafCount, level)) parts.push(take());
    digests = levelAbove(parts.length === 1 ? digests : Buffer.concat(parts));
    first = Math.floor(first / 2);
    end = Math.ceil(end / 2);
  }
  return Buffer.compare(digests, head.root) === 0;
}

/** The digests one level up; the last of an odd number moves up unchanged. */
function levelAbove(digests: Uint8Array): Uint8Array {
  const odd = digests.length % (2 * DIGEST_BYTES);
  const nodes = hashPairs(digests.subarray(0, digests.length - odd));
  return odd === 0 ? nodes : Buffer.concat([nodes, digests.subarray(digests.length - odd)]);
}

function hashPair(left: Uint8Array, right: Uint8Array): Uint8Array {
  return hashPairs(Buffer.concat([left, right]));
}

function inTree(leafCount: number, { first, end }: LeafRange): boolean {
  return Number.isSafeInteger(leafCount) && leafCount <= MAX_LEAVES && Number.isSafeInteger(first) &&
    Number.isSafeInteger(end) && 0 <= first && first < end && end <= leafCount;
}
