import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { NodeError } from "../core/mod.ts";
import { bigEndian, ByteReader } from "./byte-reader.ts";
import { checkBytes, FILE_ID_BYTES, KEY_BYTES } from "./file-keys.ts";
import { MAX_HEADER_BYTES, openHeader, parseHeader } from "./header.ts";
import type { OpenedHeader } from "./header.ts";
import type { Identity } from "./key-wrap.ts";
import { MAX_FILE_BYTES } from "./layout.ts";
import { DIGEST_BYTES } from "./merkle-hash.ts";
import { checkPolicy, MAX_SHARDS_OF_A_KIND, shardCount } from "./policy.ts";
import type { ErasurePolicy } from "./policy.ts";

/** One shard of a file. Its length and the count of its leaves follow from the file's size and policy. */
export interface ManifestShard {
  /** The root of its Merkle tree, over the masked bytes. */
  readonly root: Uint8Array;
  /** Who holds it, the most wanted first: node ids or addresses, 1 to 255 printable ASCII characters. May be empty. */
  readonly providers: readonly string[];
}

/** All that it takes, beside a key, to find, check and read one version of a file. */
export interface Manifest {
  /** 16 random bytes, the identity of these sealed bytes. */
  readonly fileId: Uint8Array;
  /** Counts the versions under one name, from 1. */
  readonly version: number;
  /** Milliseconds since the Unix epoch. */
  readonly createdAtMs: number;
  /** Plaintext bytes. */
  readonly sizeBytes: number;
  readonly policy: ErasurePolicy;
  /** 1 to 4,096 bytes of UTF-8, taken as it is. */
  readonly name: string;
  /** A media type in up to 255 printable ASCII characters; empty when unknown. */
  readonly contentType: string;
  /** The file's header. */
  readonly header: Uint8Array;
  /** Data shards, then parity shards. */
  readonly shards: readonly ManifestShard[];
}

/** The longest name, in bytes of UTF-8. */
export const MAX_NAME_BYTES = 4096;
/** The most providers of one shard. */
export const MAX_PROVIDERS = 16;

const MAGIC = new TextEncoder().encode("VSPHMAN");
const VERSION = 1;
const MAC_BYTES = 32;
const CHECKSUM_BYTES = 32;
const MAX_TEXT_BYTES = 255;

/** The longest manifest. */
export const MAX_MANIFEST_BYTES = 64 + MAX_NAME_BYTES + MAX_TEXT_BYTES + MAX_HEADER_BYTES + MAC_BYTES + CHECKSUM_BYTES +
  2 * MAX_SHARDS_OF_A_KIND * (DIGEST_BYTES + 1 + MAX_PROVIDERS * (1 + MAX_TEXT_BYTES));

/**
 * The one binary form of a manifest (docs/formats.md), authenticated with the file's manifest key and with a checksum that needs no
 * key. Throws `invalid_argument` for a value that has no form.
 */
export function encodeManifest(manifest: Manifest, manifestKey: Uint8Array): Uint8Array {
  checkBytes("manifest key", manifestKey, KEY_BYTES);
  checkManifest(manifest);
  const name = Buffer.from(manifest.name);
  const parts = [
    MAGIC,
    bigEndian.u8(VERSION),
    manifest.fileId,
    bigEndian.u32(manifest.version),
    bigEndian.u64(manifest.createdAtMs),
    bigEndian.u64(manifest.sizeBytes),
    bigEndian.u8(manifest.policy.dataShards),
    bigEndian.u8(manifest.policy.parityShards),
    bigEndian.u16(name.length),
    name,
    ...shortText(manifest.contentType),
    bigEndian.u16(manifest.header.length),
    manifest.header,
  ];
  for (const shard of manifest.shards) {
    parts.push(shard.root, bigEndian.u8(shard.providers.length));
    for (const provider of shard.providers) parts.push(...shortText(provider));
  }
  const body = Buffer.concat(parts);
  const authenticated = Buffer.concat([body, codeOf(body, manifestKey)]);
  return new Uint8Array(Buffer.concat([authenticated, checksumOf(authenticated)]));
}

/**
 * Parses a manifest and checks its form and checksum, not who made it: see {@link openManifest}. Total: throws `invalid_argument` with
 * what is wrong at which byte, `data_corrupt` when the checksum is wrong, and `unimplemented` for a version that is not known.
 */
export function decodeManifest(bytes: Uint8Array): Manifest {
  if (bytes.length > MAX_MANIFEST_BYTES) {
    throw new NodeError(
      "invalid_argument",
      `A manifest of ${bytes.length} bytes is too long; at most ${MAX_MANIFEST_BYTES}`,
    );
  }
  const reader = new ByteReader("manifest", bytes);
  reader.expect("magic", MAGIC);
  reader.version(VERSION);
  if (bytes.length < CHECKSUM_BYTES || !isChecked(bytes)) {
    throw new NodeError(
      "data_corrupt",
      "The manifest's checksum is wrong: it was cut or changed. Use another copy of it",
    );
  }
  const fileId = reader.bytes("file id", FILE_ID_BYTES);
  const version = reader.u32("version number");
  const createdAtMs = reader.u64("creation time");
  const sizeBytes = reader.u64("size", MAX_FILE_BYTES);
  const policy = { dataShards: reader.u8("data shards"), parityShards: reader.u8("parity shards") };
  checkPolicy(policy);
  const name = reader.text("name", reader.u16("name length"));
  const contentType = reader.text("content type", reader.u8("content type length"));
  const header = reader.bytes("header", reader.u16("header length"));
  const shards: ManifestShard[] = [];
  for (let i = 0; i < shardCount(policy); i++) {
    const root = reader.bytes(`root of shard ${i}`, DIGEST_BYTES);
    const count = reader.u8(`provider count of shard ${i}`);
    const providers: string[] = [];
    for (let j = 0; j < count; j++) {
      providers.push(reader.text(`provider ${j} of shard ${i}`, reader.u8(`provider ${j} length of shard ${i}`)));
    }
    shards.push({ root, providers });
  }
  reader.bytes("code", MAC_BYTES);
  reader.bytes("checksum", CHECKSUM_BYTES);
  reader.end();
  const manifest = { fileId, version, createdAtMs, sizeBytes, policy, name, contentType, header, shards };
  checkManifest(manifest);
  return manifest;
}

/** A manifest that its file key vouches for. */
export interface OpenedManifest {
  readonly manifest: Manifest;
  readonly header: OpenedHeader;
}

/**
 * Parses a manifest, opens its header and checks that who made it had the file key. Throws as {@link decodeManifest} and `openHeader` do, and
 * `data_corrupt` when the manifest was changed by somebody without the file key.
 */
export function openManifest(bytes: Uint8Array, identity: Identity): OpenedManifest {
  const manifest = decodeManifest(bytes);
  const header = openHeader(manifest.header, identity);
  const codeAt = bytes.length - CHECKSUM_BYTES - MAC_BYTES;
  const code = codeOf(bytes.subarray(0, codeAt), header.keys.manifestKey);
  if (!timingSafeEqual(code, bytes.subarray(codeAt, codeAt + MAC_BYTES))) {
    throw new NodeError(
      "data_corrupt",
      "The manifest was changed by somebody without the file's key; use another copy of it",
    );
  }
  return { manifest, header };
}

/** Throws `invalid_argument` for a value that a manifest cannot hold; both directions check, so there is one form for each value. */
function checkManifest(manifest: Manifest): void {
  const { fileId, version, createdAtMs, sizeBytes, policy, name, contentType, header, shards } = manifest;
  checkBytes("file id", fileId, FILE_ID_BYTES);
  checkNumber("version number", version, { min: 1, max: 0xffff_ffff });
  checkNumber("creation time", createdAtMs, { min: 0, max: Number.MAX_SAFE_INTEGER });
  checkNumber("size", sizeBytes, { min: 0, max: MAX_FILE_BYTES });
  checkPolicy(policy);
  const nameBytes = Buffer.byteLength(name);
  if (nameBytes === 0 || nameBytes > MAX_NAME_BYTES || !name.isWellFormed()) {
    throw new NodeError(
      "invalid_argument",
      `A name of ${nameBytes} bytes: use 1 to ${MAX_NAME_BYTES} bytes of valid Unicode`,
    );
  }
  checkPrintable("content type", contentType);
  if (Buffer.compare(parseHeader(header).fileId, fileId) !== 0) {
    throw new NodeError("invalid_argument", "The manifest's header belongs to another file than the manifest");
  }
  if (shards.length !== shardCount(policy)) {
    throw new NodeError(
      "invalid_argument",
      `The manifest lists ${shards.length} shards; its policy has ${shardCount(policy)}`,
    );
  }
  for (const [index, { root, providers }] of shards.entries()) {
    checkBytes(`root of shard ${index}`, root, DIGEST_BYTES);
    if (providers.length > MAX_PROVIDERS) {
      throw new NodeError(
        "invalid_argument",
        `Shard ${index} has ${providers.length} providers; at most ${MAX_PROVIDERS}`,
      );
    }
    for (const provider of providers) {
      if (provider.length === 0) {
        throw new NodeError("invalid_argument", `Shard ${index} has a provider without a name`);
      }
      checkPrintable(`provider of shard ${index}`, provider);
    }
  }
}

function checkNumber(what: string, value: number, bounds: { readonly min: number; readonly max: number }): void {
  if (!Number.isSafeInteger(value) || value < bounds.min || value > bounds.max) {
    throw new NodeError(
      "invalid_argument",
      `The ${what} is ${value}, not a whole number from ${bounds.min} to ${bounds.max}`,
    );
  }
}

function checkPrintable(what: string, text: string): void {
  if (text.length > MAX_TEXT_BYTES || !/^[\x20-\x7e]*$/.test(text)) {
    throw new NodeError(
      "invalid_argument",
      `The ${what} has ${text.length} characters: use at most ${MAX_TEXT_BYTES}, printable ASCII only`,
    );
  }
}

function shortText(text: string): Uint8Array[] {
  return [bigEndian.u8(text.length), Buffer.from(text)];
}

function isChecked(bytes: Uint8Array): boolean {
  const at = bytes.length - CHECKSUM_BYTES;
  return timingSafeEqual(checksumOf(bytes.subarray(0, at)), bytes.subarray(at));
}

function codeOf(bytes: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac("sha256", key).update(bytes).digest();
}

function checksumOf(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}
