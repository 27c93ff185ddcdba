import { newSecretKey, type NodeKey, nodeKeyOf } from "../src/core/identity.ts";
import { SphereError } from "./sphere-error.ts";

/** A secp256k1 key that signs without giving its secret away. Its `nodeId`, an Ethereum address, is who nodes see calling. */
export type ClientKey = Pick<NodeKey, "nodeId" | "sign" | "signDigest">;

/** Draws a secret key from the system's randomness: 32 bytes, to be kept where nobody else reads them. */
export function drawSecretKey(): Uint8Array {
  return newSecretKey();
}

/** The key of a secret: 32 bytes, or `0x` and 64 hex digits. Throws a {@link SphereError} `invalid_argument`, which does not hold the secret. */
export function keyOf(secret: Uint8Array | string): ClientKey {
  const bytes = typeof secret === "string" ? bytesOf(secret) : secret;
  try {
    return nodeKeyOf(bytes);
  } catch (error) {
    throw SphereError.from(error);
  }
}

function bytesOf(hex: string): Uint8Array {
  if (!/^0x[0-9a-fA-F]{64}$/.test(hex)) {
    throw new SphereError(
      "invalid_argument",
      `A secret key is 32 bytes, or 0x and 64 hex digits; this text has ${hex.length} characters`,
    );
  }
  return Uint8Array.from(hex.slice(2).match(/../g)!, (pair) => Number.parseInt(pair, 16));
}
