import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import { NodeError, type ShardKey, type ShardRecord } from "../core/mod.ts";
import { requesterKey, seqKey } from "./codec.ts";

/** The format of the rows below; `test/vectors/shard-store.json` pins it and docs/storage.md tells it. */
const FORMAT = 1;

/** Bytes of a stored block. It is the stripe's block of the file codec, so that aligned reads touch no more than they need. */
export const SHARD_BLOCK_BYTES = 1 << 16; // 64 KiB

/** Bytes of a digest of the tree. */
export const NODE_BYTES = 32;
/** Digests that one row of a tree holds. */
export const NODES_PER_ROW = 1024;

const CHECK_BYTES = 4;

/** A shard's row. */
export interface ShardRow {
  readonly record: ShardRecord;
  /** Names its body; each upload has its own. */
  readonly seq: number;
  /** Set when a block was found to be damaged: the shard is in quarantine until it is removed or put anew. */
  readonly damaged?: true;
}

/** The row of an upload that is open or suspended. */
export interface UploadRow extends ShardKey {
  readonly seq: number;
  /** When it was last begun or gone on with. */
  readonly startedAt: number;
}

/** A row of JSON with the format's number first. */
export function encodeRow(row: ShardRow | UploadRow): string {
  return JSON.stringify({ v: FORMAT, ...row });
}

/** Reads a shard's row. Throws `storage_failed` when it is damaged or of another format. */
export function decodeShardRow(text: string): ShardRow {
  const row = decode(text) as ShardRow;
  const { record, seq } = row;
  const numbers = [seq, record?.sizeBytes, record?.expiresAt, record?.graceMs];
  if (!numbers.every(Number.isSafeInteger)) throw damagedRow();
  if (typeof record.owner !== "string" || typeof record.id !== "string") throw damagedRow();
  return row;
}

/** Reads an upload's row. Throws as {@link decodeShardRow} does. */
export function decodeUploadRow(text: string): UploadRow {
  const row = decode(text) as UploadRow;
  if (typeof row.owner !== "string" || typeof row.id !== "string" || !Number.isSafeInteger(row.seq)) throw damagedRow();
  return row;
}

/** The key of a shard or upload. */
export function shardRowKey({ owner, id }: ShardKey): string {
  return `${requesterKey(owner)}/${id}`;
}

/** The key in the index of what ends when. */
export function expiryKey(record: ShardRecord): string {
  return `${seqKey(record.expiresAt + record.graceMs)}/${shardRowKey(record)}`;
}

/** The key of a block. It rises with time, so that LevelDB writes it once. */
export function blockKey(seq: number, block: number): string {
  return `${seqKey(seq)}/${hex(block, 8)}`;
}

/** The block's number in a {@link blockKey}. */
export function blockOf(key: string): number {
  return parseInt(key.slice(key.indexOf("/") + 1), 16);
}

/** The key of a row of tree nodes. */
export function treeKey(seq: number, level: number, row: number): string {
  return `${seqKey(seq)}/${hex(level, 2)}/${hex(row, 8)}`;
}

/** The body's number in a key of a block, of tree nodes or of the dead. */
export function seqOf(key: string): number {
  return parseInt(key, 16); // up to the slash
}

/** All keys of a body or tree lie between these two. */
export function bodyRange(seq: number): { readonly gt: string; readonly lt: string } {
  return { gt: `${seqKey(seq)}/`, lt: `${seqKey(seq)}0` };
}

/** How many blocks a shard has. */
export function blockCount(sizeBytes: number): number {
  return Math.ceil(sizeBytes / SHARD_BLOCK_BYTES);
}

/** A block as stored: its bytes behind their CRC-32 (ISO-HDLC, big-endian). */
export function sealBlock(bytes: Uint8Array): Uint8Array {
  const sealed = Buffer.allocUnsafeSlow(CHECK_BYTES + bytes.length);
  sealed.writeUInt32BE(crc32(bytes));
  sealed.set(bytes, CHECK_BYTES);
  return sealed;
}

/** The bytes of a stored block; undefined when they are not what was stored. */
export function openBlock(sealed: Uint8Array | undefined, sizeBytes: number): Uint8Array | undefined {
  if (sealed === undefined || sealed.length !== CHECK_BYTES + sizeBytes) return undefined;
  const bytes = sealed.subarray(CHECK_BYTES);
  const check = ((sealed[0]! << 24) | (sealed[1]! << 16) | (sealed[2]! << 8) | sealed[3]!) >>> 0;
  return crc32(bytes) === check ? bytes : undefined;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

function decode(text: string): unknown {
  let row: { v?: unknown };
  try {
    row = JSON.parse(text);
  } catch (cause) {
    throw damagedRow(cause);
  }
  if (row?.v !== FORMAT) {
    throw new NodeError(
      "storage_failed",
      `A stored shard has the format ${
        JSON.stringify(row?.v)
      }, and this program reads ${FORMAT}: use the version that wrote it`,
    );
  }
  delete row.v;
  return row;
}

function damagedRow(cause?: unknown): NodeError {
  return new NodeError("storage_failed", 'A stored shard\'s row is damaged: run "velas-sphere doctor"', { cause });
}
