import { secp256k1 } from "@noble/curves/secp256k1.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { NodeError } from "./errors.ts";
import type { NodeId } from "./ids.ts";

/** Length of a secp256k1 secret key, in bytes. */
export const SECRET_KEY_BYTES = 32;

/** Length of a recoverable signature r ‖ s ‖ v, in bytes. */
export const SIGNATURE_BYTES = 65;

const PERSONAL_MESSAGE_PREFIX = "\x19Ethereum Signed Message:\n";

/** A node's key pair, which signs without giving its secret away. */
export interface NodeKey {
  readonly nodeId: NodeId;
  /** The EIP-191 personal-message signature of the message: r ‖ s ‖ v, 65 bytes, v 27 or 28, s in the lower half (EIP-2). */
  sign(message: Uint8Array): Uint8Array;
  /** Signs a digest as it is, such as an EIP-712 one; the form is the same. Never sign a digest that somebody else chose. */
  signDigest(digest: Uint8Array): Uint8Array;
  /** The same key with a faster way to sign, which sees the secret and must give the same signatures (RFC 6979). */
  signingWith(signer: DigestSigner): NodeKey;
}

/** Signs a digest with a secret key, in the form of {@link NodeKey.signDigest}. */
export type DigestSigner = (digest: Uint8Array, secretKey: Uint8Array) => Uint8Array;

/** Draws a secret key from the system's randomness. */
export function newSecretKey(): Uint8Array {
  return secp256k1.utils.randomSecretKey();
}

/**
 * The key pair of a secret key. Keeps a copy of the secret; the caller may wipe its own. Throws `invalid_argument` when
 * the bytes are not a number from 1 to the curve's order - 1.
 */
export function nodeKeyOf(secretKey: Uint8Array): NodeKey {
  if (!secp256k1.utils.isValidSecretKey(secretKey)) {
    throw new NodeError("invalid_argument", `These ${secretKey.length} bytes are not a secp256k1 secret key`);
  }
  const secret = secretKey.slice();
  const nodeId = addressOf(secp256k1.getPublicKey(secret, false));
  const keyWith = (signer: DigestSigner): NodeKey => ({
    nodeId,
    sign: (message) => signer(personalMessageHash(message), secret),
    signDigest: (digest) => signer(digest, secret),
    signingWith: keyWith,
  });
  return keyWith(signDigest);
}

/**
 * The node that signed this personal message (EIP-191), as {@link NodeKey.sign} does. Throws `invalid_argument` when the
 * signature is malformed or malleable (s in the upper half, v not 27 or 28), or belongs to no key.
 */
export function recoverSigner(message: Uint8Array, signature: Uint8Array): NodeId {
  return recoverDigestSigner(personalMessageHash(message), signature);
}

/** The node that signed this digest, as {@link NodeKey.signDigest} does. Throws as {@link recoverSigner}. */
export function recoverDigestSigner(digest: Uint8Array, signature: Uint8Array): NodeId {
  if (signature.length !== SIGNATURE_BYTES) {
    throw new NodeError("invalid_argument", `A signature has ${SIGNATURE_BYTES} bytes, not ${signature.length}`);
  }
  const v = signature[64]!;
  if (v !== 27 && v !== 28) {
    throw new NodeError("invalid_argument", `The last byte of a signature is 27 or 28, not ${v}`);
  }
  try {
    const parsed = secp256k1.Signature.fromBytes(signature.subarray(0, 64)).addRecoveryBit(v - 27);
    if (parsed.hasHighS()) throw new RangeError("s is in the upper half of the curve's order");
    return addressOf(parsed.recoverPublicKey(digest).toBytes(false));
  } catch (cause) {
    throw new NodeError("invalid_argument", "The signature is not one that any key makes", { cause });
  }
}

/** The Keccak-256 hash that a personal-message signature signs (EIP-191, version 0x45). */
export function personalMessageHash(message: Uint8Array): Uint8Array {
  return keccak_256(concatBytes(utf8ToBytes(`${PERSONAL_MESSAGE_PREFIX}${message.length}`), message));
}

/** The EIP-55 checksummed address of a public key in its uncompressed form: 65 bytes that begin with 4. */
export function addressOf(publicKey: Uint8Array): NodeId {
  return checksumAddress(bytesToHex(keccak_256(publicKey.subarray(1)).subarray(12)));
}

/** Whether a text is a node id: `0x`, 40 hex digits and, unless they are all of one case, the right EIP-55 checksum. */
export function isNodeId(text: string): text is NodeId {
  if (!/^0x[0-9a-fA-F]{40}$/.test(text)) return false;
  const digits = text.slice(2);
  const lower = digits.toLowerCase();
  return digits === lower || digits === digits.toUpperCase() || checksumAddress(lower) === text;
}

/** The node id in its one canonical spelling. Throws `invalid_argument` when the text is none. */
export function parseNodeId(text: string): NodeId {
  if (!isNodeId(text)) {
    throw new NodeError(
      "invalid_argument",
      `"${text.slice(0, 64)}" is not a node id: it must be 0x, 40 hex digits, and have the right checksum (EIP-55)`,
    );
  }
  return checksumAddress(text.slice(2).toLowerCase());
}

function signDigest(digest: Uint8Array, secretKey: Uint8Array): Uint8Array {
  const recovered = secp256k1.sign(digest, secretKey, { prehash: false, format: "recovered" });
  const signature = new Uint8Array(SIGNATURE_BYTES);
  signature.set(recovered.subarray(1));
  signature[64] = 27 + recovered[0]!;
  return signature;
}

/** EIP-55: a letter is upper-case when the digit of the hash of the lower-case address at its place is 8 or more. */
function checksumAddress(lowerHex: string): NodeId {
  const hash = bytesToHex(keccak_256(utf8ToBytes(lowerHex)));
  let address = "";
  for (let i = 0; i < 40; i++) address += parseInt(hash[i]!, 16) >= 8 ? lowerHex[i]!.toUpperCase() : lowerHex[i]!;
  return `0x${address}`;
}
