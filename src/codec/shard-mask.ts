import { createCipheriv, createSecretKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { isDeno } from "../core/mod.ts";
import { openSsl } from "./openssl.ts";

/** Bytes of an AES block, after which the counter grows by one. */
const AES_BLOCK_BYTES = 16;

/**
 * The mask of one shard: AES-256-CTR under the shard's own key, whose counter is zero at the shard's first byte. Masking and unmasking
 * are the same. Without it, whoever holds k shards under several names could make the others when asked to prove them.
 */
export interface ShardMask {
  /** The bytes that lie at `offset` of the shard, masked or unmasked, as a new array. */
  apply(bytes: Uint8Array, offset: number): Promise<Uint8Array>;
}

/**
 * The mask for this runtime, whichever measured faster: node:crypto on Node; on Deno the system's OpenSSL, and without it WebCrypto. `key` has 32
 * bytes.
 */
export function shardMask(key: Uint8Array): ShardMask {
  if (!isDeno) return new NodeShardMask(key);
  return openSsl() === undefined ? new WebShardMask(key) : new OpenSslShardMask(key);
}

/** {@link ShardMask} by node:crypto. */
export class NodeShardMask implements ShardMask {
  readonly #key: KeyObject;

  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key);
  }

  apply(bytes: Uint8Array, offset: number): Promise<Uint8Array> {
    const cipher = createCipheriv("aes-256-ctr", this.#key, counterAt(offset));
    const skip = offset % AES_BLOCK_BYTES;
    if (skip > 0) cipher.update(new Uint8Array(skip));
    return Promise.resolve(cipher.update(bytes));
  }
}

/** {@link ShardMask} by the system's OpenSSL, where it has one. */
export class OpenSslShardMask implements ShardMask {
  readonly #openSsl = openSsl()!;
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = Uint8Array.from(key);
  }

  apply(bytes: Uint8Array, offset: number): Promise<Uint8Array> {
    const skip = offset % AES_BLOCK_BYTES;
    const masked = this.#openSsl.counterMode(behind(skip, bytes), { key: this.#key, counter: counterAt(offset) });
    return Promise.resolve(masked.subarray(skip));
  }
}

type WebKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** {@link ShardMask} by WebCrypto. */
export class WebShardMask implements ShardMask {
  readonly #key: Promise<WebKey>;

  constructor(key: Uint8Array) {
    this.#key = crypto.subtle.importKey("raw", Uint8Array.from(key), "AES-CTR", false, ["encrypt"]);
  }

  async apply(bytes: Uint8Array, offset: number): Promise<Uint8Array> {
    const skip = offset % AES_BLOCK_BYTES;
    const input = behind(skip, bytes) as Uint8Array<ArrayBuffer>;
    const parameters = { name: "AES-CTR", counter: counterAt(offset), length: 128 };
    return new Uint8Array(await crypto.subtle.encrypt(parameters, await this.#key, input), skip);
  }
}

/** The bytes behind as many zeros. */
function behind(zeros: number, bytes: Uint8Array): Uint8Array {
  if (zeros === 0) return bytes;
  const whole = new Uint8Array(zeros + bytes.length);
  whole.set(bytes, zeros);
  return whole;
}

/** The counter of the AES block in which `offset` lies, as sixteen big-endian bytes. */
function counterAt(offset: number): Uint8Array<ArrayBuffer> {
  const block = Math.floor(offset / AES_BLOCK_BYTES);
  const counter = new Uint8Array(AES_BLOCK_BYTES);
  const view = new DataView(counter.buffer);
  view.setUint32(8, Math.floor(block / 2 ** 32));
  view.setUint32(12, block % 2 ** 32);
  return counter;
}
