import { createCipheriv, createDecipheriv, randomBytes, scrypt } from "node:crypto";

/** scrypt's cost (RFC 7914 §2): memory is 128 · n · r bytes. */
export interface ScryptCost {
  /** A power of two. */
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

/** A secret under a passphrase, as key files hold it: AES-256-GCM under scrypt(passphrase, salt). Bytes are in hex. */
export interface SealedSecret extends ScryptCost {
  readonly kdf: "scrypt";
  readonly salt: string;
  readonly cipher: "aes-256-gcm";
  readonly nonce: string;
  readonly ciphertext: string;
  readonly tag: string;
}

export interface SealOptions {
  readonly passphrase: string;
  /** What the secret is and whose, as associated data: a sealed secret opens in no other place. */
  readonly context: string;
  /** What a guess at the passphrase costs; 64 MiB and about 0.4 s by default. */
  readonly cost?: ScryptCost | undefined;
}

// The strength of OWASP's first choice (n = 2^17, p = 1) in half of its memory, since an edge host may have little.
const DEFAULT_SCRYPT_COST: ScryptCost = { n: 1 << 16, r: 8, p: 2 };
const MAX_SCRYPT_BYTES = 1 << 30; // 1 GiB: a damaged file must not make the node ask for more
const MAX_SCRYPT_PARALLELISM = 64;

/** Seals a secret under a passphrase. */
export async function sealSecret(secret: Uint8Array, options: SealOptions): Promise<SealedSecret> {
  const { passphrase, context, cost: { n, r, p } = DEFAULT_SCRYPT_COST } = options;
  const salt = randomBytes(32);
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", await deriveKey(passphrase, salt, { n, r, p }), nonce)
    .setAAD(Buffer.from(context));
  const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
  return {
    kdf: "scrypt",
    n,
    r,
    p,
    salt: salt.toString("hex"),
    cipher: "aes-256-gcm",
    nonce: nonce.toString("hex"),
    ciphertext: ciphertext.toString("hex"),
    tag: cipher.getAuthTag().toString("hex"),
  };
}

/** Opens a sealed secret that {@link faultOf} finds whole; undefined when the passphrase or the context is another. */
export async function openSecret(
  sealed: SealedSecret,
  { passphrase, context }: Omit<SealOptions, "cost">,
): Promise<Uint8Array | undefined> {
  const key = await deriveKey(passphrase, fromHex(sealed.salt), sealed);
  const decipher = createDecipheriv("aes-256-gcm", key, fromHex(sealed.nonce), { authTagLength: 16 })
    .setAAD(Buffer.from(context))
    .setAuthTag(fromHex(sealed.tag));
  try {
    return Uint8Array.from(Buffer.concat([decipher.update(fromHex(sealed.ciphertext)), decipher.final()]));
  } catch {
    return undefined;
  }
}

/** What is wrong with a sealed secret of some bytes as it was read from a file; undefined when nothing is. */
export function faultOf(sealed: SealedSecret, secretBytes: number): string | undefined {
  const whole = typeof sealed === "object" && sealed !== null && sealed.kdf === "scrypt" &&
    sealed.cipher === "aes-256-gcm" && isHex(sealed.salt, 32) && isHex(sealed.nonce, 12) && isHex(sealed.tag, 16) &&
    isHex(sealed.ciphertext, secretBytes);
  if (!whole) return "its crypto part is incomplete";
  return isScryptCost(sealed) ? undefined : "its scrypt parameters are out of range";
}

/** Whether a value is so many bytes in lower-case hex. */
export function isHex(value: unknown, bytes: number): value is string {
  return typeof value === "string" && value.length === bytes * 2 && /^[0-9a-f]+$/.test(value);
}

/** The bytes of checked hex. */
export function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "hex"));
}

function isScryptCost({ n, r, p }: ScryptCost): boolean {
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
  return isCount(n) && isCount(r) && isCount(p) && n > 1 && Number.isInteger(Math.log2(n)) &&
    128 * n * r <= MAX_SCRYPT_BYTES && p <= MAX_SCRYPT_PARALLELISM;
}

function deriveKey(passphrase: string, salt: Uint8Array, { n, r, p }: ScryptCost): Promise<Buffer> {
  // Twice what scrypt holds, since the limit counts its small buffers too.
  const options = { N: n, r, p, maxmem: 256 * n * r };
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize("NFC"), salt, 32, options, (error, key) => error ? reject(error) : resolve(key));
  });
}
