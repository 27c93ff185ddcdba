import { NodeError } from "../core/mod.ts";
import { LEAF_BYTES } from "./merkle-hash.ts";
import type { LeafRange } from "./merkle-tree.ts";
import { checkPolicy } from "./policy.ts";
import type { ErasurePolicy } from "./policy.ts";

/** Bytes of a sealed cell, and of the block that a whole stripe gives to each shard. */
export const CELL_BYTES = 65_536;
/** Bytes of a cell's authentication tag. */
export const TAG_BYTES = 16;
/** Plaintext bytes of a cell. */
export const CELL_PLAINTEXT_BYTES = CELL_BYTES - TAG_BYTES;
/** The largest file: 8 TiB. */
export const MAX_FILE_BYTES = 2 ** 43;

/** From `start` to before `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * How the bytes of a file lie in its shards. Plaintext is cut into cells of 65,520 bytes (the last may be shorter, and is empty only in an
 * empty file); each is sealed to 16 bytes more. Stripe s takes the next k · 65,536 sealed bytes and gives shard i the i-th part of them as a
 * block. In a whole stripe a block is a cell; the last stripe may be shorter: its blocks are its bytes divided by k, rounded up to leaves,
 * with zeros behind the bytes. All numbers follow from size and policy.
 */
export interface FileLayout {
  readonly sizeBytes: number;
  readonly policy: ErasurePolicy;
  readonly cells: number;
  /** Bytes of all sealed cells. */
  readonly sealedBytes: number;
  readonly stripes: number;
  /** Bytes that the last stripe gives to each shard. */
  readonly lastBlockBytes: number;
  readonly shardBytes: number;
  /** Leaves of each shard's tree. */
  readonly leafCount: number;
}

/** Throws `invalid_argument` for a size or policy out of range. */
export function fileLayout(sizeBytes: number, policy: ErasurePolicy): FileLayout {
  const { dataShards } = checkPolicy(policy);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > MAX_FILE_BYTES) {
    throw new NodeError(
      "invalid_argument",
      `A file cannot have ${sizeBytes} bytes; at most ${MAX_FILE_BYTES} are possible`,
    );
  }
  const cells = Math.max(1, Math.ceil(sizeBytes / CELL_PLAINTEXT_BYTES));
  const sealedBytes = sizeBytes + cells * TAG_BYTES;
  const stripeBytes = dataShards * CELL_BYTES;
  const stripes = Math.ceil(sealedBytes / stripeBytes);
  const lastBlockBytes = blockBytes(sealedBytes - (stripes - 1) * stripeBytes, dataShards);
  const shardBytes = (stripes - 1) * CELL_BYTES + lastBlockBytes;
  return {
    sizeBytes,
    policy,
    cells,
    sealedBytes,
    stripes,
    lastBlockBytes,
    shardBytes,
    leafCount: shardBytes / LEAF_BYTES,
  };
}

/** Plaintext cells that are worked on at a time: 1 MiB, enough to keep calls few and little enough to keep an event loop free. */
const WINDOW_CELLS = 16;

/** How many stripes to work on at a time: those wanted (1 to 64, else `invalid_argument`), or about 1 MiB. */
export function windowStripes(policy: ErasurePolicy, wanted?: number): number {
  if (wanted === undefined) return Math.max(1, Math.floor(WINDOW_CELLS / policy.dataShards));
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > 64) {
    throw new NodeError("invalid_argument", `Cannot work on ${wanted} stripes at a time; choose 1 to 64`);
  }
  return wanted;
}

/** Bytes of each block of a stripe that holds `stripeBytes` sealed bytes. */
export function blockBytes(stripeBytes: number, dataShards: number): number {
  return Math.ceil(stripeBytes / dataShards / LEAF_BYTES) * LEAF_BYTES;
}

/** Where a cell is within the sealed cells. */
export function sealedSpan(layout: FileLayout, cell: number): Span {
  return { start: cell * CELL_BYTES, end: Math.min((cell + 1) * CELL_BYTES, layout.sealedBytes) };
}

/** Where stripes from `start` to before `end` are within every shard. */
export function shardSpan(layout: FileLayout, stripes: Span): Span {
  return { start: stripes.start * CELL_BYTES, end: Math.min(stripes.end * CELL_BYTES, layout.shardBytes) };
}

/** The leaves that a span of a shard touches. */
export function leavesOfSpan(span: Span): LeafRange {
  return { first: Math.floor(span.start / LEAF_BYTES), end: Math.ceil(span.end / LEAF_BYTES) };
}

/** What must be fetched to read a range of a file. */
export interface RangePlan {
  /** Cells to open. */
  readonly cells: Span;
  /** Stripes that hold them. */
  readonly stripes: Span;
  /** The data shards that hold sealed bytes of those cells, ascending. */
  readonly dataShards: readonly number[];
}

/**
 * Plans the reading of the plaintext bytes from `range.start` to before `range.end`; an empty range has an empty plan. Throws
 * `invalid_argument` for a range that is not within the file.
 */
export function planRange(layout: FileLayout, range: Span): RangePlan {
  const { start, end } = range;
  if (
    !Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || start > end || end > layout.sizeBytes
  ) {
    throw new NodeError(
      "invalid_argument",
      `There are no bytes ${start} to ${end} in a file of ${layout.sizeBytes}: ask for 0 ≤ start ≤ end ≤ ${layout.sizeBytes}`,
    );
  }
  // The one cell of an empty file has no bytes, yet opening it is what proves that the file is empty.
  if (layout.sizeBytes === 0) return planCells(layout, { start: 0, end: 1 });
  if (start === end) return { cells: { start: 0, end: 0 }, stripes: { start: 0, end: 0 }, dataShards: [] };
  return planCells(layout, {
    start: Math.floor(start / CELL_PLAINTEXT_BYTES),
    end: Math.ceil(end / CELL_PLAINTEXT_BYTES),
  });
}

/** The plan for cells from `cells.start` to before `cells.end`. */
export function planCells(layout: FileLayout, cells: Span): RangePlan {
  const { dataShards } = layout.policy;
  const stripes = { start: Math.floor(cells.start / dataShards), end: Math.ceil(cells.end / dataShards) };
  const shards = new Set<number>();
  for (let stripe = stripes.start; stripe < stripes.end && shards.size < dataShards; stripe++) {
    const origin = stripe * dataShards * CELL_BYTES;
    const bytes = stripe === layout.stripes - 1 ? layout.lastBlockBytes : CELL_BYTES;
    const start = Math.max(cells.start * CELL_BYTES, origin) - origin;
    const end = Math.min(cells.end * CELL_BYTES, layout.sealedBytes, origin + dataShards * CELL_BYTES) - origin;
    for (let shard = Math.floor(start / bytes); shard * bytes < end; shard++) shards.add(shard);
  }
  return { cells, stripes, dataShards: [...shards].sort((a, b) => a - b) };
}
