import { NodeError } from "../core/mod.ts";
import { FastestWay } from "./fastest-way.ts";
import { createHashKernel } from "./kernel.ts";
import type { HashKernel } from "./kernel.ts";
import { BLOCK_LEAVES, DIGEST_BYTES, KernelLeafHash, LEAF_BYTES, NativeLeafHash } from "./leaf-hash.ts";
import { openSsl } from "./openssl.ts";

export { BLOCK_LEAVES, DIGEST_BYTES, LEAF_BYTES } from "./leaf-hash.ts";

/** What a leaf's 64-byte prefix begins with; zeros and the leaf's index as eight big-endian bytes follow. */
export const LEAF_TAG = "velas-sphere/1 leaf";

/** Blocks that each way of hashing them is tried on. */
const TRIES = 200;

interface Hashing {
  readonly kernel: HashKernel;
  readonly leaves: FastestWay<[bytes: Uint8Array, firstLeaf: number], Uint8Array>;
  readonly block: FastestWay<[bytes: Uint8Array, firstLeaf: number], Uint8Array>;
}

let known: Hashing | undefined;

/** What hashes, one a thread: its calls are synchronous and leave nothing behind. */
function hashing(): Hashing {
  if (known !== undefined) return known;
  const tag = new TextEncoder().encode(LEAF_TAG);
  const kernel = createHashKernel(tag);
  const ways = [new KernelLeafHash(kernel), new NativeLeafHash(kernel, tag, openSsl())];
  return known = {
    kernel,
    leaves: new FastestWay(ways.map((way) => way.leaves.bind(way)), { tries: TRIES }),
    block: new FastestWay(ways.map((way) => way.block.bind(way)), { tries: TRIES }),
  };
}

/**
 * The digests of consecutive leaves, the first of which has index `firstLeaf`: SHA-256(prefix ‖ leaf) each. Throws `invalid_argument` when
 * `bytes` are not whole leaves.
 */
export function hashLeaves(bytes: Uint8Array, firstLeaf: number): Uint8Array {
  const count = leavesIn(bytes);
  const { leaves } = hashing();
  const digests = new Uint8Array(count * DIGEST_BYTES);
  for (let done = 0; done < count; done += BLOCK_LEAVES) {
    const some = bytes.subarray(done * LEAF_BYTES, (done + BLOCK_LEAVES) * LEAF_BYTES);
    const isWhole = some.length === BLOCK_LEAVES * LEAF_BYTES;
    const found = isWhole ? leaves.run(some, firstLeaf + done) : leaves.chosen(some, firstLeaf + done);
    digests.set(found, done * DIGEST_BYTES);
  }
  return digests;
}

/** SHA-256(left ‖ right) of each two neighbours of an even number of digests. */
export function hashPairs(digests: Uint8Array): Uint8Array {
  const count = digests.length / (2 * DIGEST_BYTES);
  const { kernel } = hashing();
  const nodes = new Uint8Array(count * DIGEST_BYTES);
  for (let done = 0; done < count; done += BLOCK_LEAVES) {
    const some = Math.min(BLOCK_LEAVES, count - done);
    const from = done * 2 * DIGEST_BYTES;
    kernel.memory.set(digests.subarray(from, from + some * 2 * DIGEST_BYTES), kernel.input);
    kernel.hashPairs(some);
    nodes.set(kernel.memory.subarray(kernel.output, kernel.output + some * DIGEST_BYTES), done * DIGEST_BYTES);
  }
  return nodes;
}

/** The digest of the node that spans at most 64 leaves, the first of which has index `firstLeaf`, a multiple of 64. */
export function hashBlock(bytes: Uint8Array, firstLeaf: number): Uint8Array {
  const count = leavesIn(bytes);
  const { block } = hashing();
  return count === BLOCK_LEAVES ? block.run(bytes, firstLeaf) : block.chosen(bytes, firstLeaf);
}

/** How many leaves the bytes are; throws `invalid_argument` when they are none or not whole ones. */
export function leavesIn(bytes: Uint8Array): number {
  if (bytes.length === 0 || bytes.length % LEAF_BYTES !== 0) {
    throw new NodeError("invalid_argument", `${bytes.length} bytes are not whole leaves of ${LEAF_BYTES} bytes`);
  }
  return bytes.length / LEAF_BYTES;
}
