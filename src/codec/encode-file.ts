import { NodeError } from "../core/mod.ts";
import { throwIfAborted } from "./cancel.ts";
import { cellCipher } from "./cell-cipher.ts";
import type { CellCipher } from "./cell-cipher.ts";
import { deriveMaskKey } from "./file-keys.ts";
import type { OpenedHeader } from "./header.ts";
import { blockBytes, CELL_BYTES, CELL_PLAINTEXT_BYTES, MAX_FILE_BYTES, TAG_BYTES, windowStripes } from "./layout.ts";
import { MerkleBuilder } from "./merkle-tree.ts";
import type { NodePosition, TreeHead } from "./merkle-tree.ts";
import { checkPolicy, shardCount } from "./policy.ts";
import type { ErasurePolicy } from "./policy.ts";
import { ErasureCoder } from "./reed-solomon.ts";
import { shardMask } from "./shard-mask.ts";

/** Where the bytes of one shard go. */
export interface ShardWriter {
  /** Takes the shard's next bytes, which are the writer's from then on; resolves when it can take more. */
  write(bytes: Uint8Array): Promise<void>;
}

export interface EncodeOptions {
  /** The opened header of the file. Its file key must never have sealed other bytes. */
  readonly header: OpenedHeader;
  readonly policy: ErasurePolicy;
  /** One for each shard, data shards first. */
  readonly writers: readonly ShardWriter[];
  /** How many writers must last to the end; by default all. */
  readonly minShards?: number;
  /** Told once of each writer that failed while enough others last; it gets no more bytes. */
  readonly onShardFailed?: (shard: number, error: unknown) => void;
  /** Gets the nodes of the shards' trees that a prover wants to keep. */
  readonly onNode?: (shard: number, position: NodePosition, digest: Uint8Array) => void;
  /** Stripes that one write takes; by default those of about 1 MiB of plaintext. */
  readonly stripesPerWrite?: number;
  readonly signal?: AbortSignal;
}

/** What is known of a file once it is encoded. */
export interface EncodedFile {
  /** Plaintext bytes. */
  readonly sizeBytes: number;
  /** The trees of all shards, also of those whose writers failed: what is repaired later must match them. */
  readonly heads: readonly TreeHead[];
  /** The shards whose writers failed, ascending. */
  readonly failedShards: readonly number[];
}

/**
 * Encodes a stream of any length: plaintext → cells → stripes → masked shards with their Merkle trees → writers. Memory is bounded:
 * one window of stripes is made while the one before it is written. Deterministic: the same bytes under the same header make the
 * same shards, so an interrupted put may start over with the same header when, and only when, its bytes are the same.
 *
 * Rejects with a writer's error when fewer than `minShards` writers last, with the source's error, with `invalid_argument` for options
 * that do not fit or a source above 8 TiB, and with `canceled`. It waits for source and writers: those are to end by the same signal.
 */
export async function encodeFile(source: AsyncIterable<Uint8Array>, options: EncodeOptions): Promise<EncodedFile> {
  const policy = checkPolicy(options.policy);
  const { header, signal, onNode } = options;
  const stripesPerWrite = windowStripes(policy, options.stripesPerWrite);
  const shards = Array.from({ length: shardCount(policy) }, (_, shard) => ({
    mask: shardMask(deriveMaskKey(header.fileKey, header.fileId, shard)),
    tree: new MerkleBuilder(onNode && ((position, digest) => onNode(shard, position, digest))),
  }));
  const output = new ShardOutput(shards.length, options);
  const stripes = new StripeEncoder({ header, policy, stripesPerWrite });
  let sizeBytes = 0;
  let shardBytes = 0;
  let writing: Promise<void> = Promise.resolve();
  for await (const window of cutWindows(source, stripesPerWrite * policy.dataShards * CELL_PLAINTEXT_BYTES)) {
    throwIfAborted(signal, "The put");
    sizeBytes += window.bytes.length;
    if (sizeBytes > MAX_FILE_BYTES) {
      throw new NodeError("invalid_argument", `The file is above ${MAX_FILE_BYTES} bytes; split it`);
    }
    const lanes = await stripes.encode(window);
    const masked = await Promise.all(lanes.map((lane, shard) => shards[shard]!.mask.apply(lane, shardBytes)));
    masked.forEach((bytes, shard) => shards[shard]!.tree.append(bytes));
    shardBytes += lanes[0]!.length;
    await writing;
    throwIfAborted(signal, "The put");
    writing = output.write(masked);
    // The next window is made meanwhile; a failure is met at the await above or below.
    writing.catch(() => {});
  }
  await writing;
  return { sizeBytes, heads: shards.map(({ tree }) => tree.finish()), failedShards: output.failedShards };
}

/** Hands blocks to the writers and keeps count of those that last. */
class ShardOutput {
  readonly #writers: readonly ShardWriter[];
  readonly #minShards: number;
  readonly #onShardFailed: EncodeOptions["onShardFailed"];
  readonly #failed = new Set<number>();

  constructor(count: number, { writers, minShards = count, onShardFailed }: EncodeOptions) {
    if (writers.length !== count || !Number.isInteger(minShards) || minShards < 1 || minShards > count) {
      throw new NodeError(
        "invalid_argument",
        `A file of ${count} shards got ${writers.length} writers, of which ${minShards} must last`,
      );
    }
    this.#writers = writers;
    this.#minShards = minShards;
    this.#onShardFailed = onShardFailed;
  }

  get failedShards(): readonly number[] {
    return [...this.#failed].sort((a, b) => a - b);
  }

  async write(masked: readonly Uint8Array[]): Promise<void> {
    await Promise.all(masked.map(async (bytes, shard) => {
      if (this.#failed.has(shard)) return;
      try {
        await this.#writers[shard]!.write(bytes);
      } catch (error) {
        this.#failed.add(shard);
        if (this.#writers.length - this.#failed.size < this.#minShards) throw error;
        this.#onShardFailed?.(shard, error);
      }
    }));
  }
}

/** Plaintext of whole stripes, or what is left at the end. */
interface Window {
  readonly bytes: Uint8Array;
  readonly last: boolean;
}

/**
 * Cuts a stream into windows of exactly `size` bytes but the last, which has 1 to `size`, or none in an empty stream. All share one buffer: a
 * window is gone when the next is asked for.
 */
async function* cutWindows(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Window> {
  const buffer = new Uint8Array(size);
  let filled = 0;
  for await (const chunk of source) {
    let at = 0;
    while (at < chunk.length) {
      // A full window goes out only when more bytes follow, since the last one must be known as such.
      if (filled === size) {
        yield { bytes: buffer, last: false };
        filled = 0;
      }
      const some = Math.min(size - filled, chunk.length - at);
      buffer.set(chunk.subarray(at, at + some), filled);
      filled += some;
      at += some;
    }
  }
  yield { bytes: buffer.subarray(0, filled), last: true };
}

/** Seals windows of plaintext and adds parity. Its lanes, one a shard, are used again for each window. */
class StripeEncoder {
  readonly #cipher: CellCipher;
  readonly #coder: ErasureCoder;
  readonly #lanes: readonly Uint8Array[];
  #cells = 0;

  constructor(
    options: { readonly header: OpenedHeader; readonly policy: ErasurePolicy; readonly stripesPerWrite: number },
  ) {
    const { header, policy, stripesPerWrite } = options;
    this.#cipher = cellCipher({ payloadKey: header.keys.payloadKey, headerHash: header.hash });
    this.#coder = new ErasureCoder(policy);
    this.#lanes = Array.from({ length: shardCount(policy) }, () => new Uint8Array(stripesPerWrite * CELL_BYTES));
  }

  /** The unmasked bytes of every shard for a window. They are valid until the next call. */
  async encode({ bytes, last }: Window): Promise<Uint8Array[]> {
    const { dataShards } = this.#coder.policy;
    const cells = Math.max(1, Math.ceil(bytes.length / CELL_PLAINTEXT_BYTES));
    const sealedBytes = bytes.length + cells * TAG_BYTES;
    const wholeStripes = Math.ceil(sealedBytes / (dataShards * CELL_BYTES)) - 1;
    const lastBlock = blockBytes(sealedBytes - wholeStripes * dataShards * CELL_BYTES, dataShards);
    const lastAt = wholeStripes * CELL_BYTES;
    const lanes = this.#lanes.map((lane) => lane.subarray(0, lastAt + lastBlock));
    // In whole stripes a block is a cell, so cells are sealed in place; those of a shorter last stripe are sealed one after the
    // other and then cut into blocks.
    const tail = new Uint8Array(lastBlock < CELL_BYTES ? dataShards * lastBlock : 0);
    if (last) { for (const lane of lanes) lane.fill(0, lastAt); }

    await Promise.all(Array.from({ length: cells }, (_, cell) => {
      const plaintext = bytes.subarray(cell * CELL_PLAINTEXT_BYTES, (cell + 1) * CELL_PLAINTEXT_BYTES);
      const stripe = Math.floor(cell / dataShards);
      const place = cell % dataShards;
      const inTail = tail.length > 0 && stripe === wholeStripes;
      const at = inTail ? place * CELL_BYTES : stripe * CELL_BYTES;
      const target = (inTail ? tail : lanes[place]!).subarray(at, at + plaintext.length + TAG_BYTES);
      return this.#cipher.seal(plaintext, { index: this.#cells + cell, last: last && cell === cells - 1 }, target);
    }));
    this.#cells += cells;
    for (let shard = 0; shard * lastBlock < tail.length; shard++) {
      lanes[shard]!.set(tail.subarray(shard * lastBlock, (shard + 1) * lastBlock), lastAt);
    }
    this.#coder.encode(lanes.slice(0, dataShards), lanes.slice(dataShards));
    return lanes;
  }
}
