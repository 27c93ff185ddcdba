import { concatBytes, hexToBytes } from "@noble/hashes/utils.js";
import { parseNodeId } from "./identity.ts";
import type { NodeId } from "./ids.ts";
import { toHex, typedDigest, type TypedStruct } from "./typed-data.ts";

/*
 * The form of session certificates (docs/protocol.md), without anything that only Node has: the node and the client for browsers both make
 * them by it.
 */

const VERSION = 1;
const KEY_BYTES = 32;
const ADDRESS_BYTES = 20;
const PROVIDER_AT = 1 + KEY_BYTES;
const CHAIN_AT = PROVIDER_AT + ADDRESS_BYTES;
const EXPIRY_AT = CHAIN_AT + 8;

/** Length of what a certificate says; the node key's signature of it follows. */
export const SESSION_BODY_BYTES = EXPIRY_AT + 8;

const SESSION: TypedStruct = {
  name: "Session",
  fields: [["bytes32", "sessionKey"], ["address", "provider"], ["uint64", "expiresAt"]],
};
const NO_CONTRACT: NodeId = `0x${"00".repeat(ADDRESS_BYTES)}`;

/** The longest session, in milliseconds. */
export const MAX_SESSION_MS = 24 * 3_600_000;

/** With whom a session is, and for how long. */
export interface SessionTerms {
  readonly provider: NodeId;
  /** 0 for nodes without a chain. */
  readonly chainId: number;
  /** Milliseconds since the epoch; whole seconds of it count. */
  readonly expiresAt: number;
}

/** What a certificate says, as bytes. */
export function sessionBody(publicKey: Uint8Array, { provider, chainId, expiresAt }: SessionTerms): Uint8Array {
  const numbers = new DataView(new ArrayBuffer(16));
  numbers.setBigUint64(0, BigInt(chainId));
  numbers.setBigUint64(8, BigInt(Math.floor(expiresAt / 1000)));
  return concatBytes(
    Uint8Array.of(VERSION),
    publicKey,
    hexToBytes(provider.slice(2)),
    new Uint8Array(numbers.buffer),
  );
}

/** Whether a certificate has a version that this can read. */
export function isSessionVersion(version: number | undefined): boolean {
  return version === VERSION;
}

/** The Ed25519 public key that a certificate vouches for. */
export function sessionPublicKey(body: Uint8Array): Uint8Array {
  return body.subarray(1, PROVIDER_AT);
}

export function sessionTerms(body: Uint8Array): SessionTerms {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return {
    provider: parseNodeId(toHex(body.subarray(PROVIDER_AT, CHAIN_AT))),
    chainId: Number(view.getBigUint64(CHAIN_AT)),
    expiresAt: Number(view.getBigUint64(EXPIRY_AT)) * 1000,
  };
}

/** The EIP-712 digest of what a certificate says, which the node key signs. */
export function sessionDigest(body: Uint8Array): Uint8Array {
  const { provider, chainId, expiresAt } = sessionTerms(body);
  const domain = { name: "Velas Sphere Session", chainId, verifyingContract: NO_CONTRACT };
  return typedDigest(domain, SESSION, {
    sessionKey: toHex(sessionPublicKey(body)),
    provider,
    expiresAt: BigInt(expiresAt / 1000),
  });
}
