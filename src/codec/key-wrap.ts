import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { x25519 } from "@noble/curves/ed25519.js";
import { NodeError } from "../core/mod.ts";
import { checkBytes, hkdf, KEY_BYTES } from "./file-keys.ts";

/** Draws `length` random bytes; tests pass their own. */
export type RandomSource = (length: number) => Uint8Array;

/** The system's random bytes. */
export const systemRandom: RandomSource = (length) => new Uint8Array(randomBytes(length));

/** Who a file key is wrapped for: holders of a master key, or of the secret key that belongs to an X25519 public key. 32 bytes each. */
export type Recipient =
  | { readonly type: "master"; readonly key: Uint8Array }
  | { readonly type: "x25519"; readonly publicKey: Uint8Array };

/** What opens a header: a key that its file key is wrapped for, or the file key itself. 32 bytes each. */
export type Identity =
  | { readonly type: "file"; readonly key: Uint8Array }
  | { readonly type: "master"; readonly key: Uint8Array }
  | { readonly type: "x25519"; readonly secretKey: Uint8Array };

/** A wrapped file key as it stands in a header. A type that is not known here is kept and passed over. */
export interface Stanza {
  readonly type: number;
  readonly body: Uint8Array;
}

const MASTER = 1;
const X25519 = 2;
const SALT_BYTES = 32;
const KEY_ID_BYTES = 8;
const TAG_BYTES = 16;
const WRAPPED_BYTES = KEY_BYTES + TAG_BYTES;
const EMPTY = new Uint8Array(0);

/** Wraps a file key for a recipient and binds it to `context`, the header's core. Throws `invalid_argument` for a key that cannot be used. */
export function wrapFileKey(
  fileKey: Uint8Array,
  options: { readonly recipient: Recipient; readonly context: Uint8Array; readonly random: RandomSource },
): Stanza {
  const { recipient, context, random } = options;
  if (recipient.type === "master") {
    checkBytes("master key", recipient.key, KEY_BYTES);
    const salt = random(SALT_BYTES);
    const wrapKey = hkdf(recipient.key, salt, "velas-sphere/1 wrap master");
    const body = Buffer.concat([masterKeyId(recipient.key), salt, encrypt(wrapKey, context, fileKey)]);
    return { type: MASTER, body: new Uint8Array(body) };
  }
  checkBytes("X25519 public key", recipient.publicKey, KEY_BYTES);
  const ephemeralSecret = random(KEY_BYTES);
  const ephemeral = x25519.getPublicKey(ephemeralSecret);
  const wrapKey = agree(ephemeralSecret, { peer: recipient.publicKey, ephemeral, recipient: recipient.publicKey });
  if (wrapKey === undefined) {
    throw new NodeError("invalid_argument", "The X25519 public key has low order and protects nothing; use a real key");
  }
  return { type: X25519, body: new Uint8Array(Buffer.concat([ephemeral, encrypt(wrapKey, context, fileKey)])) };
}

/** The file key in a stanza, or `undefined` when the stanza is not for this identity or was changed. */
export function unwrapFileKey(stanza: Stanza, identity: Identity, context: Uint8Array): Uint8Array | undefined {
  const { type, body } = stanza;
  if (identity.type === "master" && type === MASTER && body.length === KEY_ID_BYTES + SALT_BYTES + WRAPPED_BYTES) {
    if (Buffer.compare(body.subarray(0, KEY_ID_BYTES), masterKeyId(identity.key)) !== 0) return undefined;
    const salt = body.subarray(KEY_ID_BYTES, KEY_ID_BYTES + SALT_BYTES);
    const wrapKey = hkdf(identity.key, salt, "velas-sphere/1 wrap master");
    return decrypt(wrapKey, context, body.subarray(KEY_ID_BYTES + SALT_BYTES));
  }
  if (identity.type === "x25519" && type === X25519 && body.length === KEY_BYTES + WRAPPED_BYTES) {
    const ephemeral = body.subarray(0, KEY_BYTES);
    checkBytes("X25519 secret key", identity.secretKey, KEY_BYTES);
    const recipient = x25519.getPublicKey(identity.secretKey);
    const wrapKey = agree(identity.secretKey, { peer: ephemeral, ephemeral, recipient });
    return wrapKey === undefined ? undefined : decrypt(wrapKey, context, body.subarray(KEY_BYTES));
  }
  return undefined;
}

/** Tells master keys apart without telling anything about them: eight bytes of HKDF. */
export function masterKeyId(masterKey: Uint8Array): Uint8Array {
  checkBytes("master key", masterKey, KEY_BYTES);
  return hkdf(masterKey, EMPTY, "velas-sphere/1 master key id").subarray(0, KEY_ID_BYTES);
}

/** The wrapping key of an X25519 exchange, or `undefined` when the peer's key has low order (RFC 7748 §6.1). */
function agree(
  secret: Uint8Array,
  keys: { readonly peer: Uint8Array; readonly ephemeral: Uint8Array; readonly recipient: Uint8Array },
): Uint8Array | undefined {
  let shared: Uint8Array;
  try {
    shared = x25519.getSharedSecret(secret, keys.peer);
  } catch {
    return undefined;
  }
  return hkdf(shared, Buffer.concat([keys.ephemeral, keys.recipient]), "velas-sphere/1 wrap x25519");
}

// A wrapping key is used once, so the nonce may be zero.
const ZERO_NONCE = new Uint8Array(12);

function encrypt(key: Uint8Array, context: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", key, ZERO_NONCE);
  cipher.setAAD(context);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Uint8Array, context: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  const decipher = createDecipheriv("aes-256-gcm", key, ZERO_NONCE, { authTagLength: TAG_BYTES });
  decipher.setAAD(context);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    return new Uint8Array(Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]));
  } catch {
    return undefined;
  }
}
