import { setImmediate as turn } from "node:timers/promises";
import { release } from "../core/mod.ts";
import { throwIfAborted } from "./cancel.ts";
import { cellCipher } from "./cell-cipher.ts";
import { deriveMaskKey } from "./file-keys.ts";
import { ShardGatherer } from "./gather-shards.ts";
import type { GatherOptions } from "./gather-shards.ts";
import type { OpenedHeader } from "./header.ts";
import {
  CELL_BYTES,
  CELL_PLAINTEXT_BYTES,
  planCells,
  planRange,
  sealedSpan,
  shardSpan,
  windowStripes,
} from "./layout.ts";
import type { FileLayout, RangePlan, Span } from "./layout.ts";
import { ErasureCoder } from "./reed-solomon.ts";
import { shardMask } from "./shard-mask.ts";
import type { ShardMask } from "./shard-mask.ts";

export interface DecodeOptions extends GatherOptions {
  readonly header: OpenedHeader;
  /** Which plaintext bytes; by default all. */
  readonly range?: Span;
  /** Stripes that one read takes at most, by default those of about 3 MiB; the first reads are smaller, so that the first bytes come soon. */
  readonly stripesPerRead?: number;
  readonly signal?: AbortSignal;
}

/**
 * Decodes a range of a file: shards → verified, unmasked, where needed rebuilt → cells → plaintext, in pieces of at most a cell. Reads from
 * the data shards that hold the range, and from any k where one of those is missing, fails or lies. Memory is bounded: one
 * window is opened while the next few are read, so that the way to the providers and back is waited for once and not for each. Ending the iteration early cancels what is under way.
 *
 * Throws `invalid_argument` for a range not within the file, `shards_missing` when fewer than k shards can be read, `data_corrupt` when
 * verified shards hold cells that do not open (a wrong header or size), and `canceled`.
 */
export async function* decodeRange(options: DecodeOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const { layout, header, signal } = options;
  const stripesPerRead = windowStripes(
    layout.policy,
    options.stripesPerRead ?? WINDOW_FACTOR * windowStripes(layout.policy),
  );
  const range = options.range ?? { start: 0, end: layout.sizeBytes };
  const windows = planWindows(layout, planRange(layout, range), stripesPerRead);
  const gatherer = new ShardGatherer(options);
  const opener = new WindowOpener(layout, header);
  const stop = new AbortController();
  const cancel = () => stop.abort(signal!.reason);
  throwIfAborted(signal, "The get");
  signal?.addEventListener("abort", cancel);
  try {
    const fetch = (window: RangePlan) => {
      const fetched = gatherer.gather(shardSpan(layout, window.stripes), window.dataShards, stop.signal);
      // It may fail while nobody waits for it yet; the await below meets the failure.
      fetched.catch(() => {});
      return fetched;
    };
    const ahead: { readonly window: RangePlan; readonly fetched: ReturnType<ShardGatherer["gather"]> }[] = [];
    const readAhead = (count: number) => {
      while (ahead.length < count) {
        const window = windows.next().value;
        if (window === undefined) return;
        ahead.push({ window, fetched: fetch(window) });
      }
    };
    // The first alone: what comes behind it must not slow the first bytes.
    readAhead(1);
    let isFirst = true;
    for (let head = ahead.shift(); head !== undefined; head = ahead.shift()) {
      const { window } = head;
      const blocks = await head.fetched;
      readAhead(WINDOWS_AHEAD);
      // What was asked for leaves when the loop turns, and opening keeps it for milliseconds, in which providers would have nothing to do.
      if (!isFirst) await turn();
      isFirst = false;
      for (const [offset, plaintext] of (await opener.open(window, blocks)).entries()) {
        throwIfAborted(signal, "The get");
        const piece = trim(plaintext, (window.cells.start + offset) * CELL_PLAINTEXT_BYTES, range);
        if (piece.length > 0) yield piece;
      }
    }
  } catch (error) {
    throwIfAborted(signal, "The get");
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
    stop.abort();
  }
}

/** Windows that are read while one is opened. */
const WINDOWS_AHEAD = 4;
/** How much larger they are than those of a put: each read is a signed call with a proof, and costs as much for a little as for three times that. */
const WINDOW_FACTOR = 3;

/** Cuts a plan into windows of 1, 2, 4… stripes up to the limit. */
function* planWindows(layout: FileLayout, plan: RangePlan, limit: number): Generator<RangePlan, undefined> {
  const { dataShards } = layout.policy;
  let stripes = 1;
  for (
    let stripe = plan.stripes.start;
    stripe < plan.stripes.end;
    stripe += stripes, stripes = Math.min(2 * stripes, limit)
  ) {
    yield planCells(layout, {
      start: Math.max(plan.cells.start, stripe * dataShards),
      end: Math.min(plan.cells.end, (stripe + stripes) * dataShards),
    });
  }
}

/** The part of a cell's plaintext, which begins at `at` of the file, that lies in the range. */
function trim(plaintext: Uint8Array, at: number, range: Span): Uint8Array {
  return plaintext.subarray(Math.max(0, range.start - at), Math.max(0, range.end - at));
}

/** Turns gathered blocks into plaintext. */
class WindowOpener {
  readonly #layout: FileLayout;
  readonly #header: OpenedHeader;
  readonly #coder: ErasureCoder;
  readonly #cipher;
  readonly #masks: (ShardMask | undefined)[] = [];
  /** Where lost blocks are rebuilt; used again for each window, for fresh memory costs more than the arithmetic. */
  readonly #spareLanes: Uint8Array[] = [];

  constructor(layout: FileLayout, header: OpenedHeader) {
    this.#layout = layout;
    this.#header = header;
    this.#coder = new ErasureCoder(layout.policy);
    this.#cipher = cellCipher({ payloadKey: header.keys.payloadKey, headerHash: header.hash });
  }

  /** The plaintexts of the window's cells. */
  async open(window: RangePlan, masked: readonly (Uint8Array | undefined)[]): Promise<Uint8Array[]> {
    const offset = window.stripes.start * CELL_BYTES;
    const missing = window.dataShards.filter((shard) => masked[shard] === undefined);
    const unmasked = await Promise.all(masked.map((bytes, shard) => {
      const wanted = missing.length > 0 || window.dataShards.includes(shard);
      return bytes === undefined || !wanted ? undefined : this.#mask(shard).apply(bytes, offset);
    }));
    // The readers' until now, and nobody's from here on.
    for (const bytes of masked) if (bytes !== undefined) release(bytes);
    const lanes = [...unmasked];
    if (missing.length > 0) {
      const { start, end } = shardSpan(this.#layout, window.stripes);
      const rebuilt = missing.map((shard) => this.#spareLane(shard, end - start));
      this.#coder.rebuild(lanes, missing, rebuilt);
      missing.forEach((shard, place) => lanes[shard] = rebuilt[place]);
    }

    const { cells } = this.#layout;
    const opened = await Promise.all(Array.from({ length: window.cells.end - window.cells.start }, (_, i) => {
      const index = window.cells.start + i;
      return this.#cipher.open(this.#sealedCell(index, lanes, offset), { index, last: index === cells - 1 });
    }));
    for (const lane of unmasked) if (lane !== undefined) release(lane);
    return opened;
  }

  /** Finds a sealed cell in lanes that begin at `offset` of the shards. */
  #sealedCell(cell: number, lanes: readonly (Uint8Array | undefined)[], offset: number): Uint8Array {
    const { policy, stripes, lastBlockBytes } = this.#layout;
    const stripe = Math.floor(cell / policy.dataShards);
    const { start, end } = sealedSpan(this.#layout, cell);
    const stripeAt = stripe * CELL_BYTES - offset;
    const blockBytes = stripe === stripes - 1 ? lastBlockBytes : CELL_BYTES;
    const origin = stripe * policy.dataShards * CELL_BYTES;
    const parts: Uint8Array[] = [];
    for (let at = start - origin; at < end - origin;) {
      const shard = Math.floor(at / blockBytes);
      const stop = Math.min(end - origin, (shard + 1) * blockBytes);
      const from = stripeAt - shard * blockBytes;
      parts.push(lanes[shard]!.subarray(from + at, from + stop));
      at = stop;
    }
    return parts.length === 1 ? parts[0]! : new Uint8Array(Buffer.concat(parts));
  }

  #spareLane(shard: number, length: number): Uint8Array {
    const spare = this.#spareLanes[shard];
    if (spare !== undefined && spare.length >= length) return spare.subarray(0, length);
    return this.#spareLanes[shard] = new Uint8Array(length);
  }

  #mask(shard: number): ShardMask {
    const { fileKey, fileId } = this.#header;
    return this.#masks[shard] ??= shardMask(deriveMaskKey(fileKey, fileId, shard));
  }
}
