import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { NodeError } from "../core/mod.ts";
import { bigEndian, ByteReader } from "./byte-reader.ts";
import { checkBytes, deriveFileKeys, FILE_ID_BYTES, KEY_BYTES } from "./file-keys.ts";
import type { FileKeys } from "./file-keys.ts";
import { systemRandom, unwrapFileKey, wrapFileKey } from "./key-wrap.ts";
import type { Identity, RandomSource, Recipient, Stanza } from "./key-wrap.ts";

/** The suite that {@link createHeader} writes: AES-256-GCM STREAM, HKDF-SHA-256, HMAC-SHA-256. */
export const SUITE = 1;
/** The most stanzas of a header. */
export const MAX_STANZAS = 32;
/** The longest stanza body. */
export const MAX_STANZA_BYTES = 512;

const MAGIC = new TextEncoder().encode("VSPHEAD");
const VERSION = 1;
const CORE_BYTES = MAGIC.length + 2 + FILE_ID_BYTES;
const MAC_BYTES = 32;

/** The longest header. */
export const MAX_HEADER_BYTES = CORE_BYTES + 1 + MAX_STANZAS * (3 + MAX_STANZA_BYTES) + MAC_BYTES;

/** A header whose form is right; that it is authentic shows only when it is opened. */
export interface ParsedHeader {
  readonly fileId: Uint8Array;
  readonly stanzas: readonly Stanza[];
  /** SHA-256 of the core, the part that never changes; every cell is bound to it. */
  readonly hash: Uint8Array;
}

/** What an opened header gives. */
export interface OpenedHeader extends ParsedHeader {
  readonly fileKey: Uint8Array;
  readonly keys: FileKeys;
}

/**
 * Makes the header of a new file: its file key wrapped for each recipient, authenticated by the file key. Throws `invalid_argument` for
 * no or too many recipients and for keys of a wrong length.
 */
export function createHeader(
  options: {
    readonly fileId: Uint8Array;
    readonly fileKey: Uint8Array;
    readonly recipients: readonly Recipient[];
    readonly random?: RandomSource;
  },
): Uint8Array {
  const { fileId, fileKey, recipients, random = systemRandom } = options;
  checkBytes("file id", fileId, FILE_ID_BYTES);
  checkBytes("file key", fileKey, KEY_BYTES);
  if (recipients.length === 0) {
    throw new NodeError("invalid_argument", "A header without recipients can never be opened; name at least one");
  }
  const context = Buffer.concat([MAGIC, bigEndian.u8(VERSION), bigEndian.u8(SUITE), fileId]);
  const stanzas = recipients.map((recipient) => wrapFileKey(fileKey, { recipient, context, random }));
  return assemble(context, stanzas, deriveFileKeys(fileKey, fileId).headerKey);
}

/**
 * Parses a header. Throws `invalid_argument` with what is wrong at which byte, and `unimplemented` for a version or suite that is not
 * known.
 */
export function parseHeader(bytes: Uint8Array): ParsedHeader {
  if (bytes.length > MAX_HEADER_BYTES) {
    throw new NodeError(
      "invalid_argument",
      `A header of ${bytes.length} bytes is too long; at most ${MAX_HEADER_BYTES}`,
    );
  }
  const reader = new ByteReader("file header", bytes);
  reader.expect("magic", MAGIC);
  reader.version(VERSION);
  const suite = reader.u8("suite");
  if (suite !== SUITE) {
    throw new NodeError("unimplemented", `The file is sealed with suite ${suite}; this version knows suite ${SUITE}`);
  }
  const fileId = reader.bytes("file id", FILE_ID_BYTES);
  const countAt = reader.at;
  const count = reader.u8("stanza count");
  if (count === 0 || count > MAX_STANZAS) {
    throw reader.error("stanza count", countAt, `is ${count}, not 1 to ${MAX_STANZAS}`);
  }
  const stanzas: Stanza[] = [];
  for (let i = 0; i < count; i++) {
    const type = reader.u8(`stanza ${i} type`);
    const lengthAt = reader.at;
    const length = reader.u16(`stanza ${i} length`);
    if (length > MAX_STANZA_BYTES) {
      throw reader.error(`stanza ${i} length`, lengthAt, `is ${length}, above ${MAX_STANZA_BYTES}`);
    }
    stanzas.push({ type, body: reader.bytes(`stanza ${i}`, length) });
  }
  reader.bytes("code", MAC_BYTES);
  reader.end();
  return { fileId, stanzas, hash: sha256(coreOf(bytes)) };
}

/**
 * Opens a header. Throws as {@link parseHeader} does; `permission_denied` when no stanza is for this identity; and `data_corrupt` when one
 * is, but the header was changed.
 */
export function openHeader(bytes: Uint8Array, identity: Identity): OpenedHeader {
  const header = parseHeader(bytes);
  const fileKey = identity.type === "file" ? identity.key : findFileKey(header, { identity, core: coreOf(bytes) });
  if (fileKey === undefined) {
    throw new NodeError(
      "permission_denied",
      `No part of the file's header opens with this ${identity.type} key; use a key that the file was made for or shared with`,
    );
  }
  const keys = deriveFileKeys(fileKey, header.fileId);
  if (!timingSafeEqual(codeOf(bytes.subarray(0, -MAC_BYTES), keys.headerKey), bytes.subarray(-MAC_BYTES))) {
    throw new NodeError(
      "data_corrupt",
      "The file's header was changed, or does not belong to this file key; use another copy of it",
    );
  }
  return { ...header, fileKey, keys };
}

/** The same header with the file key wrapped for one more recipient; sealed cells stay valid. Throws `invalid_argument` when it is full. */
export function addRecipient(
  bytes: Uint8Array,
  options: { readonly fileKey: Uint8Array; readonly recipient: Recipient; readonly random?: RandomSource },
): Uint8Array {
  const { fileKey, recipient, random = systemRandom } = options;
  const { fileId, stanzas } = parseHeader(bytes);
  if (stanzas.length >= MAX_STANZAS) {
    throw new NodeError(
      "invalid_argument",
      `The file is shared with ${stanzas.length} keys already, the most there can be`,
    );
  }
  const core = coreOf(bytes);
  const added = wrapFileKey(fileKey, { recipient, context: core, random });
  return assemble(core, [...stanzas, added], deriveFileKeys(fileKey, fileId).headerKey);
}

/** The same header with only the stanzas that `keep` says. Whoever had the file key before still has it. Throws when none is left. */
export function filterRecipients(
  bytes: Uint8Array,
  options: { readonly fileKey: Uint8Array; readonly keep: (stanza: Stanza, index: number) => boolean },
): Uint8Array {
  const { fileId, stanzas } = parseHeader(bytes);
  const kept = stanzas.filter(options.keep);
  if (kept.length === 0) {
    throw new NodeError("invalid_argument", "A header without recipients can never be opened; keep at least one");
  }
  return assemble(coreOf(bytes), kept, deriveFileKeys(options.fileKey, fileId).headerKey);
}

function findFileKey(
  header: ParsedHeader,
  options: { readonly identity: Identity; readonly core: Uint8Array },
): Uint8Array | undefined {
  for (const stanza of header.stanzas) {
    const fileKey = unwrapFileKey(stanza, options.identity, options.core);
    if (fileKey !== undefined) return fileKey;
  }
  return undefined;
}

function coreOf(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(0, CORE_BYTES);
}

function assemble(core: Uint8Array, stanzas: readonly Stanza[], headerKey: Uint8Array): Uint8Array {
  if (stanzas.length > MAX_STANZAS) {
    throw new NodeError("invalid_argument", `A header has at most ${MAX_STANZAS} recipients, not ${stanzas.length}`);
  }
  const parts = [core, bigEndian.u8(stanzas.length)];
  for (const { type, body } of stanzas) parts.push(bigEndian.u8(type), bigEndian.u16(body.length), body);
  const bytes = Buffer.concat(parts);
  return new Uint8Array(Buffer.concat([bytes, codeOf(bytes, headerKey)]));
}

function codeOf(bytes: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac("sha256", key).update(bytes).digest();
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(bytes).digest());
}
