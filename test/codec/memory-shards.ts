import { Buffer } from "node:buffer";
import {
  createHeader,
  decodeRange,
  encodeFile,
  fileLayout,
  LEAF_BYTES,
  openHeader,
  proveRange,
  shardCount,
} from "../../src/codec/mod.ts";
import type {
  DecodeOptions,
  EncodedFile,
  EncodeOptions,
  ErasurePolicy,
  NodePosition,
  OpenedHeader,
  ShardPiece,
  ShardReader,
  ShardWriter,
  Span,
} from "../../src/codec/mod.ts";

/** A provider in memory: keeps what is written and proves what it reads. Tests damage its fields. */
export class MemoryShard implements ShardWriter, ShardReader {
  bytes: Uint8Array = new Uint8Array(0);
  readonly nodes = new Map<string, Uint8Array>();
  reads = 0;
  readonly #parts: Uint8Array[] = [];

  write(bytes: Uint8Array): Promise<void> {
    this.#parts.push(bytes);
    return Promise.resolve();
  }

  keep(position: NodePosition, digest: Uint8Array): void {
    this.nodes.set(`${position.level}/${position.index}`, digest);
  }

  close(): void {
    this.bytes = Uint8Array.from(Buffer.concat(this.#parts));
  }

  async read(span: Span, _signal?: AbortSignal): Promise<ShardPiece> {
    this.reads++;
    const source = {
      nodes: (positions: readonly NodePosition[]) =>
        positions.map(({ level, index }) => this.nodes.get(`${level}/${index}`)!),
      leaves: ({ first, end }: { first: number; end: number }) =>
        this.bytes.subarray(first * LEAF_BYTES, end * LEAF_BYTES),
    };
    const range = { first: span.start / LEAF_BYTES, end: span.end / LEAF_BYTES };
    const proof = await proveRange(source, this.bytes.length / LEAF_BYTES, range);
    return { bytes: this.bytes.slice(span.start, span.end), proof };
  }
}

/** Bytes that are the same in every run: a xorshift stream. */
export function pseudoRandom(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    bytes[i] = state;
  }
  return bytes;
}

export const FILE_ID = Uint8Array.from({ length: 16 }, (_, i) => i);
export const FILE_KEY = Uint8Array.from({ length: 32 }, (_, i) => 0xa0 + i);
export const MASTER_KEY = Uint8Array.from({ length: 32 }, (_, i) => 0x40 + i);

/** An opened header of a file with fixed keys. */
export function testHeader(): OpenedHeader {
  const recipients = [{ type: "master", key: MASTER_KEY }] as const;
  let seed = 7;
  const random = (length: number) => pseudoRandom(length, seed++);
  return openHeader(createHeader({ fileId: FILE_ID, fileKey: FILE_KEY, recipients, random }), {
    type: "file",
    key: FILE_KEY,
  });
}

export async function* inChunks(bytes: Uint8Array, chunkBytes = 100_003): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    yield await Promise.resolve(bytes.subarray(at, at + chunkBytes));
  }
}

/** A file in memory, with what is needed to read it. */
export interface MemoryFile {
  readonly header: OpenedHeader;
  readonly policy: ErasurePolicy;
  readonly encoded: EncodedFile;
  readonly shards: MemoryShard[];
}

export async function putFile(
  source: Uint8Array | AsyncIterable<Uint8Array>,
  policy: ErasurePolicy,
  options: Partial<EncodeOptions> = {},
): Promise<MemoryFile> {
  const header = testHeader();
  const shards = Array.from({ length: shardCount(policy) }, () => new MemoryShard());
  const encoded = await encodeFile(source instanceof Uint8Array ? inChunks(source) : source, {
    header,
    policy,
    writers: shards,
    onNode: (shard, position, digest) => shards[shard]!.keep(position, digest),
    ...options,
  });
  for (const shard of shards) shard.close();
  return { header, policy, encoded, shards };
}

/** What reads a file from its shards. */
export function decodeOptions(file: MemoryFile, options: Partial<DecodeOptions> = {}): DecodeOptions {
  return {
    header: file.header,
    layout: fileLayout(file.encoded.sizeBytes, file.policy),
    roots: file.encoded.heads.map(({ root }) => root),
    readers: file.shards,
    ...options,
  };
}

export async function getFile(file: MemoryFile, options: Partial<DecodeOptions> = {}): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of decodeRange(decodeOptions(file, options))) parts.push(part);
  return Uint8Array.from(Buffer.concat(parts));
}

/** Whether two byte arrays are equal; deepEqual would take long over megabytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
