import { Buffer } from "node:buffer";
import { hash, hkdfSync, type KeyObject } from "node:crypto";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import type { NodeKey } from "./identity.ts";

/*
 * MACs of requests. A check of an Ed25519 signature costs more than the rest of a small call. Whoever holds a session's Ed25519 key and a
 * provider with an X25519 key have a secret in common without a word between them (RFC 7748; RFC 8032's keys map to it, as in libsodium), so
 * the requester may send HMAC-SHA256 (RFC 2104) of what it would sign. Only these two can make it, and the provider knows that it did not.
 */

const BLOCK_BYTES = 64;
/** Length of a MAC, in bytes. */
export const MAC_BYTES = 32;

/** A provider's X25519 keys for MACs. */
export interface MacKeys {
  readonly secret: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** Makes a node's keys from its node key, so that they outlive a restart. */
export function macKeysOf(key: NodeKey): MacKeys {
  const secret = derive(key.sign(Buffer.from("velas-sphere/1 key for macs of requests")), "velas-sphere/1 mac secret");
  return { secret, publicKey: x25519.getPublicKey(secret) };
}

/** HMAC-SHA256 under one key. */
export class RequestMac {
  readonly #inner = Buffer.alloc(BLOCK_BYTES, 0x36);
  readonly #outer = Buffer.alloc(BLOCK_BYTES, 0x5c);

  /** The key has 32 bytes. */
  constructor(key: Uint8Array) {
    key.forEach((byte, at) => {
      this.#inner[at]! ^= byte;
      this.#outer[at]! ^= byte;
    });
  }

  of(text: Uint8Array): Buffer {
    // Two hashes at once cost half of an Hmac object.
    const inner = hash("sha256", Buffer.concat([this.#inner, text]), "buffer");
    return hash("sha256", Buffer.concat([this.#outer, inner]), "buffer");
  }
}

/** The requester's MAC for a session with a provider of this key. Throws for a key that is none. */
export function requesterMac(session: RequesterHalf, publicKey: Uint8Array): RequestMac {
  return new RequestMac(requesterMacKey(session, publicKey, VERSION_1));
}

/** The provider's MAC for a session. Throws for a session key of low order, which everybody could guess the secret of. */
export function providerMac(keys: MacKeys, session: ProviderHalf): RequestMac {
  return new RequestMac(providerMacKey(keys, session, VERSION_1));
}

const VERSION_1 = "velas-sphere request mac v1";

/** What a requester has of a session. */
export interface RequesterHalf {
  readonly privateKey: KeyObject;
  readonly certificateHash: Uint8Array;
}

/** What a provider has of a session. */
export interface ProviderHalf {
  readonly publicKey: KeyObject;
  readonly certificateHash: Uint8Array;
}

/** The key of a session's MACs for one use, which `info` names, as its requester finds it: 32 bytes. Throws for a public key that is none. */
export function requesterMacKey(
  { privateKey, certificateHash }: RequesterHalf,
  publicKey: Uint8Array,
  info: string,
): Uint8Array {
  const seed = Buffer.from((privateKey.export({ format: "jwk" }) as { d: string }).d, "base64url");
  const common = x25519.getSharedSecret(ed25519.utils.toMontgomerySecret(seed), publicKey);
  return derive(common, info, certificateHash);
}

/** The same key as the provider finds it. Throws for a session key of low order. */
export function providerMacKey({ secret }: MacKeys, { publicKey, certificateHash }: ProviderHalf, info: string) {
  const raw = Buffer.from((publicKey.export({ format: "jwk" }) as { x: string }).x, "base64url");
  return derive(x25519.getSharedSecret(secret, ed25519.utils.toMontgomery(raw)), info, certificateHash);
}

function derive(from: Uint8Array, info: string, salt: Uint8Array = new Uint8Array(0)): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", from, salt, info, MAC_BYTES));
}
