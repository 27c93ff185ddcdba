import { hkdfSync } from "node:crypto";
import { NodeError } from "../core/mod.ts";

/** Bytes of every key. */
export const KEY_BYTES = 32;
/** Bytes of a file id. */
export const FILE_ID_BYTES = 16;

/**
 * The keys of one version of one file: each is HKDF-SHA-256 (RFC 5869) of the file key with the file id as salt and a name of its own as
 * info. A file key is drawn for each put and never used for other bytes.
 */
export interface FileKeys {
  readonly fileId: Uint8Array;
  /** Seals the cells. */
  readonly payloadKey: Uint8Array;
  /** Authenticates the header. */
  readonly headerKey: Uint8Array;
  /** Authenticates the manifest. */
  readonly manifestKey: Uint8Array;
}

/** Throws `invalid_argument` when file key or id have a wrong length. */
export function deriveFileKeys(fileKey: Uint8Array, fileId: Uint8Array): FileKeys {
  checkBytes("file key", fileKey, KEY_BYTES);
  checkBytes("file id", fileId, FILE_ID_BYTES);
  return {
    fileId,
    payloadKey: hkdf(fileKey, fileId, "velas-sphere/1 payload"),
    headerKey: hkdf(fileKey, fileId, "velas-sphere/1 header"),
    manifestKey: hkdf(fileKey, fileId, "velas-sphere/1 manifest"),
  };
}

/**
 * The mask key of one shard. Whoever has the mask keys of a file, and not its file key, can rebuild lost shards but read nothing. Throws
 * `invalid_argument` for a wrong length or a shard below 0 or above 65,535.
 */
export function deriveMaskKey(fileKey: Uint8Array, fileId: Uint8Array, shard: number): Uint8Array {
  checkBytes("file key", fileKey, KEY_BYTES);
  checkBytes("file id", fileId, FILE_ID_BYTES);
  if (!Number.isInteger(shard) || shard < 0 || shard > 0xffff) {
    throw new NodeError("invalid_argument", `There is no shard ${shard}; shards count from 0`);
  }
  return hkdf(fileKey, fileId, `velas-sphere/1 mask ${shard}`);
}

/** HKDF-SHA-256 to 32 bytes. */
export function hkdf(secret: Uint8Array, salt: Uint8Array, info: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, salt, info, KEY_BYTES));
}

/** Throws `invalid_argument` unless `bytes` has the length; never tells the bytes. */
export function checkBytes(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) {
    throw new NodeError("invalid_argument", `The ${what} has ${bytes.length} bytes; it must have ${length}`);
  }
}
