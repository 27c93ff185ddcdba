import { join } from "node:path";
import { NodeError } from "../core/errors.ts";
import { newSecretKey, type NodeKey, nodeKeyOf, SECRET_KEY_BYTES } from "../core/identity.ts";
import { createPrivateFile, readPrivateFile } from "./private-file.ts";
import {
  faultOf,
  fromHex,
  isHex,
  openSecret,
  type ScryptCost,
  type SealedSecret,
  sealSecret,
} from "./sealed-secret.ts";

/** The file in the data directory that holds the node key. */
export const NODE_KEY_FILE = "node-key.json";

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
  readonly crypto?: SealedSecret;
}

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
    : await encryptedKeyFile(secretKey, key, { passphrase, cost: options.scryptCost });
  secretKey.fill(0);
  const won = await createPrivateFile({ path, what: "node key" }, JSON.stringify(file, null, 2) + "\n");
  if (won) return { key, path, created: true, encrypted: passphrase !== undefined };
  return (await loadNodeKey(options))!;
}

/** As {@link loadOrCreateNodeKey}, but returns `undefined` when there is no key, and makes nothing. */
export async function loadNodeKey(options: NodeKeyOptions): Promise<LoadedNodeKey | undefined> {
  const path = join(options.dataDir, NODE_KEY_FILE);
  const text = await readPrivateFile({ path, what: "node key" });
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
  return { version: 1, address: key.nodeId, secretKey: Buffer.from(secretKey).toString("hex") };
}

async function encryptedKeyFile(
  secretKey: Uint8Array,
  key: NodeKey,
  options: { passphrase: string; cost: ScryptCost | undefined },
): Promise<KeyFile> {
  const crypto = await sealSecret(secretKey, { ...options, context: contextOf(key.nodeId) });
  return { version: 1, address: key.nodeId, crypto };
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
  const secretKey = await openSecret(file.crypto, { passphrase, context: contextOf(file.address) });
  if (secretKey !== undefined) return secretKey;
  throw new NodeError(
    "permission_denied",
    `The passphrase does not open the node key in ${path}: it is wrong, or the file was changed`,
    { data: { path } },
  );
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
  const fault = faultOf(crypto, SECRET_KEY_BYTES);
  if (fault !== undefined) throw damaged(path, fault);
  return file;
}

function keyOrDamaged(secretKey: Uint8Array, path: string): NodeKey {
  try {
    return nodeKeyOf(secretKey);
  } catch (cause) {
    throw damaged(path, "its secretKey is no secp256k1 key", cause);
  }
}

function contextOf(address: string): string {
  return `velas-sphere node key v1 ${address}`;
}

function damaged(path: string, why: string, cause?: unknown): NodeError {
  return new NodeError(
    "storage_failed",
    `The node key in ${path} is damaged: ${why}. Put it back from a backup; without one, move the file away and the node ` +
      "makes a new key, and so becomes another node",
    { cause, data: { path } },
  );
}
