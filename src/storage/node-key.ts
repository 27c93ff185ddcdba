import { createCipheriv, createDecipheriv, randomBytes, scrypt } from "node:crypto";
import { link, mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { NodeError } from "../core/errors.ts";
import { newSecretKey, type NodeKey, nodeKeyOf, SECRET_KEY_BYTES } from "../core/identity.ts";

/** The file in the data directory that holds the node key. */
export const NODE_KEY_FILE = "node-key.json";

/** scrypt's cost (RFC 7914 §2): memory is 128 · n · r bytes. */
export interface ScryptCost {
  /** A power of two. */
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

export interface NodeKeyOptions {
  readonly dataDir: string;
  /** Encrypts a new key and opens an encrypted one. */
  readonly passphrase?: string | undefined;
  /** What a guess at the passphrase of a new key costs; 64 MiB and about 0.4 s by default. */
  readonly scryptCost?: ScryptCost;
}

export interface LoadedNodeKey {
  readonly key: NodeKey;
  readonly path: string;
  /** Whether this call made it. */
  readonly created: boolean;
  /** Whether the file is encrypted. */
  readonly encrypted: boolean;
}

/**
 * Version 1 of the file. A plain one has `secretKey`; an encrypted one has `crypto`, in which AES-256-GCM seals the
 * secret key under scrypt(passphrase, salt), with `velas-sphere node key v1 <address>` as associated data.
 */
interface KeyFile {
  readonly version: 1;
  readonly address: string;
  readonly secretKey?: string;
  readonly crypto?: {
    readonly kdf: "scrypt";
    readonly n: number;
    readonly r: number;
    readonly p: number;
    readonly salt: string;
    readonly cipher: "aes-256-gcm";
    readonly nonce: string;
    readonly ciphertext: string;
    readonly tag: string;
  };
}

// The strength of OWASP's first choice (n = 2^17, p = 1) in half of its memory, since an edge host may have little.
const DEFAULT_SCRYPT_COST: ScryptCost = { n: 1 << 16, r: 8, p: 2 };
const MAX_SCRYPT_BYTES = 1 << 30; // 1 GiB: a damaged file must not make the node ask for more
const MAX_SCRYPT_PARALLELISM = 64;
const MAX_KEY_FILE_BYTES = 1 << 16; // 64 KiB
const READABLE_BY_OTHERS = 0o077;

/**
 * The node's key from the data directory; makes the directory and the key when there are none. Of two processes that
 * make one at once, one wins and both return its key. A file that is there is never written to.
 *
 * Throws `storage_failed` when the file is damaged, readable by others, or cannot be read or written; `storage_full`
 * when the disk is; `config_invalid` when a passphrase is missing or not wanted; `permission_denied` when it is wrong.
 */
export async function loadOrCreateNodeKey(options: NodeKeyOptions): Promise<LoadedNodeKey> {
  const loaded = await loadNodeKey(options);
  if (loaded !== undefined) return loaded;

  const path = join(options.dataDir, NODE_KEY_FILE);
  const { passphrase } = options;
  const secretKey = newSecretKey();
  const key = nodeKeyOf(secretKey);
  const file = passphrase === undefined
    ? plainKeyFile(secretKey, key)
    : await encryptedKeyFile(secretKey, key, { passphrase, cost: options.scryptCost ?? DEFAULT_SCRYPT_COST });
  secretKey.fill(0);
  const won = await createKeyFile(path, JSON.stringify(file, null, 2) + "\n");
  if (won) return { key, path, created: true, encrypted: passphrase !== undefined };
  return (await loadNodeKey(options))!;
}

/** As {@link loadOrCreateNodeKey}, but returns `undefined` when there is no key, and makes nothing. */
export async function loadNodeKey(options: NodeKeyOptions): Promise<LoadedNodeKey | undefined> {
  const path = join(options.dataDir, NODE_KEY_FILE);
  const text = await readPrivateFile(path);
  if (text === undefined) return undefined;
  const file = parseKeyFile(text, path);
  const secretKey = await secretKeyOf(file, { path, passphrase: options.passphrase });
  const key = keyOrDamaged(secretKey, path);
  secretKey.fill(0);
  if (key.nodeId !== file.address) {
    throw damaged(path, `it names ${file.address}, but its key belongs to ${key.nodeId}`);
  }
  return { key, path, created: false, encrypted: file.crypto !== undefined };
}

function plainKeyFile(secretKey: Uint8Array, key: NodeKey): KeyFile {
  return { version: 1, address: key.nodeId, secretKey: toHex(secretKey) };
}

async function encryptedKeyFile(
  secretKey: Uint8Array,
  key: NodeKey,
  options: { passphrase: string; cost: ScryptCost },
): Promise<KeyFile> {
  const salt = randomBytes(32);
  const nonce = randomBytes(12);
  const { n, r, p } = options.cost;
  const sealingKey = await deriveKey(options.passphrase, salt, options.cost);
  const cipher = createCipheriv("aes-256-gcm", sealingKey, nonce).setAAD(associatedData(key.nodeId));
  const ciphertext = Buffer.concat([cipher.update(secretKey), cipher.final()]);
  return {
    version: 1,
    address: key.nodeId,
    crypto: {
      kdf: "scrypt",
      n,
      r,
      p,
      salt: toHex(salt),
      cipher: "aes-256-gcm",
      nonce: toHex(nonce),
      ciphertext: toHex(ciphertext),
      tag: toHex(cipher.getAuthTag()),
    },
  };
}

async function secretKeyOf(
  file: KeyFile,
  { path, passphrase }: { path: string; passphrase: string | undefined },
): Promise<Uint8Array> {
  if (file.crypto === undefined) {
    if (passphrase !== undefined) {
      throw new NodeError(
        "config_invalid",
        `The node key in ${path} is not encrypted, but a passphrase is given: unset node.keyPassphrase and ` +
          "node.keyPassphraseFile to use the key as it is",
        { data: { path } },
      );
    }
    return fromHex(file.secretKey!);
  }
  if (passphrase === undefined) {
    throw new NodeError(
      "config_invalid",
      `The node key in ${path} is encrypted: give its passphrase in VELAS_SPHERE_NODE_KEY_PASSPHRASE, or the path of a file ` +
        "that holds it in node.keyPassphraseFile",
      { data: { path } },
    );
  }
  const { crypto } = file;
  const sealingKey = await deriveKey(passphrase, fromHex(crypto.salt), crypto);
  const decipher = createDecipheriv("aes-256-gcm", sealingKey, fromHex(crypto.nonce), { authTagLength: 16 })
    .setAAD(associatedData(file.address))
    .setAuthTag(fromHex(crypto.tag));
  try {
    return Buffer.concat([decipher.update(fromHex(crypto.ciphertext)), decipher.final()]);
  } catch (cause) {
    throw new NodeError(
      "permission_denied",
      `The passphrase does not open the node key in ${path}: it is wrong, or the file was changed`,
      { cause, data: { path } },
    );
  }
}

/** Throws `storage_failed` unless the text is a key file of version 1, all of whose parts have their right lengths. */
function parseKeyFile(text: string, path: string): KeyFile {
  let file: KeyFile;
  try {
    file = JSON.parse(text) as KeyFile;
  } catch (cause) {
    throw damaged(path, text === "" ? "it is empty" : "it is not JSON", cause);
  }
  if (typeof file !== "object" || file === null) throw damaged(path, "it is not a JSON object");
  if (file.version !== 1) {
    throw damaged(path, `its version is ${JSON.stringify(file.version)}, and this software knows 1`);
  }
  if (typeof file.address !== "string") throw damaged(path, "it names no address");
  const { crypto } = file;
  if (crypto === undefined) {
    if (!isHex(file.secretKey, SECRET_KEY_BYTES)) throw damaged(path, "its secretKey is not 64 hex digits");
    return file;
  }
  const whole = typeof crypto === "object" && crypto !== null && crypto.kdf === "scrypt" &&
    crypto.cipher === "aes-256-gcm" && isHex(crypto.salt, 32) && isHex(crypto.nonce, 12) && isHex(crypto.tag, 16) &&
    isHex(crypto.ciphertext, SECRET_KEY_BYTES);
  if (!whole) throw damaged(path, "its crypto part is incomplete");
  if (!isScryptCost(crypto)) throw damaged(path, "its scrypt parameters are out of range");
  return file;
}

function isScryptCost({ n, r, p }: ScryptCost): boolean {
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
  return isCount(n) && isCount(r) && isCount(p) && n > 1 && Number.isInteger(Math.log2(n)) &&
    128 * n * r <= MAX_SCRYPT_BYTES && p <= MAX_SCRYPT_PARALLELISM;
}

function keyOrDamaged(secretKey: Uint8Array, path: string): NodeKey {
  try {
    return nodeKeyOf(secretKey);
  } catch (cause) {
    throw damaged(path, "its secretKey is no secp256k1 key", cause);
  }
}

/** The file's text, or `undefined` when there is none. Refuses one that others may read. */
async function readPrivateFile(path: string): Promise<string | undefined> {
  try {
    const { mode, size } = await stat(path);
    if (process.platform !== "win32" && (mode & READABLE_BY_OTHERS) !== 0) {
      throw new NodeError(
        "storage_failed",
        `The node key in ${path} may be read by others (mode ${
          (mode & 0o777).toString(8)
        }): run chmod 600 on it, and ` +
          "if somebody else used this machine, take the key for known",
        { data: { path } },
      );
    }
    if (size > MAX_KEY_FILE_BYTES) throw damaged(path, `it has ${size} bytes`);
    return await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof NodeError) throw cause;
    if (errorCode(cause) === "ENOENT") return undefined;
    throw failed("read", path, cause);
  }
}

/**
 * Writes the file so that it is there whole or not at all, also after a power cut. Returns false when it was there
 * already. The text goes to a file of another name, and the link to its final name fails when that name is taken.
 */
async function createKeyFile(path: string, text: string): Promise<boolean> {
  const temporary = `${path}.${randomBytes(8).toString("hex")}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    try {
      await writeSynced(temporary, text);
      await link(temporary, path);
    } catch (cause) {
      if (errorCode(cause) === "EEXIST") return false;
      if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"].includes(errorCode(cause))) throw cause;
      // A file system without hard links: here a power cut may leave a damaged file, which the next start reports.
      await writeSynced(path, text);
    } finally {
      await rm(temporary, { force: true });
    }
    await syncDirectory(dirname(path));
    return true;
  } catch (cause) {
    if (errorCode(cause) === "EEXIST") return false;
    throw failed("write", path, cause);
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return; // directories cannot be opened there
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function deriveKey(passphrase: string, salt: Uint8Array, { n, r, p }: ScryptCost): Promise<Buffer> {
  // Twice what scrypt holds, since the limit counts its small buffers too.
  const options = { N: n, r, p, maxmem: 256 * n * r };
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize("NFC"), salt, 32, options, (error, key) => error ? reject(error) : resolve(key));
  });
}

function associatedData(address: string): Uint8Array {
  return new TextEncoder().encode(`velas-sphere node key v1 ${address}`);
}

function isHex(value: unknown, bytes: number): value is string {
  return typeof value === "string" && value.length === bytes * 2 && /^[0-9a-f]+$/.test(value);
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function fromHex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "hex"));
}

function errorCode(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? "");
}

function damaged(path: string, why: string, cause?: unknown): NodeError {
  return new NodeError(
    "storage_failed",
    `The node key in ${path} is damaged: ${why}. Put it back from a backup; without one, move the file away and the node ` +
      "makes a new key, and so becomes another node",
    { cause, data: { path } },
  );
}

function failed(action: "read" | "write", path: string, cause: unknown): NodeError {
  const code = errorCode(cause);
  const cure = code === "EACCES" || code === "EPERM" || code === "EROFS"
    ? "give the node's user the right to, or choose another directory with --data-dir"
    : code === "ENOSPC" || code === "EDQUOT"
    ? "free some space"
    : "choose another directory with --data-dir, or look after the disk";
  return new NodeError(
    code === "ENOSPC" || code === "EDQUOT" ? "storage_full" : "storage_failed",
    `Cannot ${action} the node key in ${path} (${code === "" ? "unknown error" : code}): ${cure}`,
    { cause, data: { path } },
  );
}
