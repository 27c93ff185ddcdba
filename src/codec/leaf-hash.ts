import { Buffer } from "node:buffer";
import { hash } from "node:crypto";
import type { HashKernel } from "./kernel.ts";
import type { OpenSsl } from "./openssl.ts";

/** Bytes of a leaf. */
export const LEAF_BYTES = 1024;
/** Bytes of a digest. */
export const DIGEST_BYTES = 32;
/** Leaves of a whole block of a shard. */
export const BLOCK_LEAVES = 64;
/** Bytes before a leaf in what is hashed: a tag, zeros, and the leaf's index as eight big-endian bytes. */
const PREFIX_BYTES = 64;

/** A way to hash up to 64 consecutive leaves, the first of which has index `firstLeaf`. */
export interface LeafHash {
  /** Their digests, one after the other. */
  leaves(bytes: Uint8Array, firstLeaf: number): Uint8Array;
  /** The digest of the node that spans them all. */
  block(bytes: Uint8Array, firstLeaf: number): Uint8Array;
}

/** {@link LeafHash} in WebAssembly, four leaves at a time. */
export class KernelLeafHash implements LeafHash {
  readonly #kernel: HashKernel;

  constructor(kernel: HashKernel) {
    this.#kernel = kernel;
  }

  leaves(bytes: Uint8Array, firstLeaf: number): Uint8Array {
    const { memory, input, output } = this.#kernel;
    const count = bytes.length / LEAF_BYTES;
    memory.set(bytes, input);
    this.#kernel.hashLeaves(count, BigInt(firstLeaf));
    return memory.slice(output, output + count * DIGEST_BYTES);
  }

  block(bytes: Uint8Array, firstLeaf: number): Uint8Array {
    const { memory, input, output } = this.#kernel;
    memory.set(bytes, input);
    this.#kernel.hashSubtree(bytes.length / LEAF_BYTES, BigInt(firstLeaf));
    return memory.slice(output, output + DIGEST_BYTES);
  }
}

/**
 * {@link LeafHash} by node:crypto or, where it is given, by the system's OpenSSL, which is faster where the processor has instructions for SHA-256 and
 * slower elsewhere. Pairs of digests are too short for it: these go through the kernel.
 */
export class NativeLeafHash implements LeafHash {
  readonly #kernel: HashKernel;
  readonly #openSsl: OpenSsl | undefined;
  /** A leaf behind its prefix. */
  readonly #message = Buffer.alloc(PREFIX_BYTES + LEAF_BYTES);
  readonly #prefix = this.#message.subarray(0, PREFIX_BYTES);
  /** Where the kernel finds digests. */
  readonly #input: Buffer;

  constructor(kernel: HashKernel, tag: Uint8Array, openSsl?: OpenSsl) {
    this.#kernel = kernel;
    this.#openSsl = openSsl;
    this.#message.set(tag);
    const { buffer, byteOffset } = kernel.memory;
    this.#input = Buffer.from(buffer, byteOffset + kernel.input, BLOCK_LEAVES * DIGEST_BYTES);
  }

  leaves(bytes: Uint8Array, firstLeaf: number): Uint8Array {
    const digests = new Uint8Array(bytes.length / LEAF_BYTES * DIGEST_BYTES);
    this.#hash(bytes, firstLeaf, Buffer.from(digests.buffer));
    return digests;
  }

  block(bytes: Uint8Array, firstLeaf: number): Uint8Array {
    const { memory, input, output } = this.#kernel;
    let width = bytes.length / LEAF_BYTES;
    this.#hash(bytes, firstLeaf, this.#input);
    while (width > 1) {
      const pairs = width >>> 1;
      const odd = width % 2 === 1
        ? memory.slice(input + (width - 1) * DIGEST_BYTES, input + width * DIGEST_BYTES)
        : undefined;
      this.#kernel.hashPairs(pairs);
      memory.copyWithin(input, output, output + pairs * DIGEST_BYTES);
      if (odd !== undefined) memory.set(odd, input + pairs * DIGEST_BYTES);
      width -= pairs;
    }
    return memory.slice(input, input + DIGEST_BYTES);
  }

  #hash(bytes: Uint8Array, firstLeaf: number, digests: Buffer): void {
    const openSsl = this.#openSsl;
    // As text, since a buffer for each digest costs as much as half of the hash, and written at once.
    let text = "";
    for (let at = 0, leaf = firstLeaf; at < bytes.length; at += LEAF_BYTES, leaf++) {
      this.#prefix.writeUInt32BE(Math.floor(leaf / 2 ** 32), PREFIX_BYTES - 8);
      this.#prefix.writeUInt32BE(leaf >>> 0, PREFIX_BYTES - 4);
      const content = bytes.subarray(at, at + LEAF_BYTES);
      if (openSsl !== undefined) {
        const place = at / LEAF_BYTES * DIGEST_BYTES;
        openSsl.sha256(this.#prefix, content, digests.subarray(place, place + DIGEST_BYTES));
      } else {
        this.#message.set(content, PREFIX_BYTES);
        text += hash("sha256", this.#message, "hex");
      }
    }
    digests.write(text, "hex");
  }
}
