import { NodeError } from "../core/mod.ts";
import { createHashKernel } from "./kernel.ts";
import type { HashKernel } from "./kernel.ts";

/** Bytes of a leaf. */
export const LEAF_BYTES = 1024;
/** Bytes of a digest. */
export const DIGEST_BYTES = 32;
/** Leaves of a whole block of a shard. */
export const BLOCK_LEAVES = 64;

/** What a leaf's 64-byte prefix begins with; zeros and the leaf's index as eight big-endian bytes follow. */
export const LEAF_TAG = "velas-sphere/1 leaf";

let kernel: HashKernel | undefined;

/** The kernel, one a thread: its calls are synchronous and leave nothing behind. */
function hashKernel(): HashKernel {
  return kernel ??= createHashKernel(new TextEncoder().encode(LEAF_TAG));
}

/**
 * The digests of consecutive leaves, the first of which has index `firstLeaf`: SHA-256(prefix ‖ leaf) each. Throws `invalid_argument` when
 * `bytes` are not whole leaves.
 */
export function hashLeaves(bytes: Uint8Array, firstLeaf: number): Uint8Array {
  const count = leavesIn(bytes);
  const kernel = hashKernel();
  const digests = new Uint8Array(count * DIGEST_BYTES);
  for (let done = 0; done < count; done += BLOCK_LEAVES) {
    const some = Math.min(BLOCK_LEAVES, count - done);
    kernel.memory.set(bytes.subarray(done * LEAF_BYTES, (done + some) * LEAF_BYTES), kernel.input);
    kernel.hashLeaves(some, BigInt(firstLeaf + done));
    digests.set(kernel.memory.subarray(kernel.output, kernel.output + some * DIGEST_BYTES), done * DIGEST_BYTES);
  }
  return digests;
}

/** SHA-256(left ‖ right) of each two neighbours of an even number of digests. */
export function hashPairs(digests: Uint8Array): Uint8Array {
  const count = digests.length / (2 * DIGEST_BYTES);
  const kernel = hashKernel();
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
  const kernel = hashKernel();
  kernel.memory.set(bytes, kernel.input);
  kernel.hashSubtree(count, BigInt(firstLeaf));
  return kernel.memory.slice(kernel.output, kernel.output + DIGEST_BYTES);
}

/** How many leaves the bytes are; throws `invalid_argument` when they are none or not whole ones. */
export function leavesIn(bytes: Uint8Array): number {
  if (bytes.length === 0 || bytes.length % LEAF_BYTES !== 0) {
    throw new NodeError("invalid_argument", `${bytes.length} bytes are not whole leaves of ${LEAF_BYTES} bytes`);
  }
  return bytes.length / LEAF_BYTES;
}
