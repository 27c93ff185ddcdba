import { NodeError } from "../core/mod.ts";
import { leavesOfSpan } from "./layout.ts";
import type { FileLayout, Span } from "./layout.ts";
import { verifyRange } from "./merkle-tree.ts";

/** Bytes of a shard with what proves them. */
export interface ShardPiece {
  /** They are the asker's from then on. */
  readonly bytes: Uint8Array;
  /** The proof of their leaves (`proveRange`). */
  readonly proof: Uint8Array;
}

/** Where the bytes of one shard come from. */
export interface ShardReader {
  /** Reads whole leaves of the shard. The signal is aborted when the bytes are no longer wanted. */
  read(span: Span, signal: AbortSignal): Promise<ShardPiece>;
}

export interface GatherOptions {
  readonly layout: FileLayout;
  /** The roots of all shards. */
  readonly roots: readonly Uint8Array[];
  /** At each shard's index its reader, or nothing when it cannot be read. */
  readonly readers: readonly (ShardReader | undefined)[];
  /** Told once of each reader that failed or lied; it is not asked again. */
  readonly onShardFailed?: (shard: number, error: unknown) => void;
  /** Resolves when a read has taken long enough that one more shard should be asked; called anew each time. By default never. */
  readonly hedge?: () => Promise<void>;
}

/** Reads the same part of several shards at once, verified, from as few of them as will do. */
export class ShardGatherer {
  readonly #options: GatherOptions;
  readonly #failed = new Set<number>();
  /** Shards that were overtaken by another; they are asked last. */
  readonly #slow = new Set<number>();

  /** Throws `invalid_argument` when readers or roots are not one for each shard. */
  constructor(options: GatherOptions) {
    const { layout, roots, readers } = options;
    const count = layout.policy.dataShards + layout.policy.parityShards;
    if (roots.length !== count || readers.length !== count) {
      throw new NodeError(
        "invalid_argument",
        `A file of ${count} shards got ${readers.length} readers and ${roots.length} roots`,
      );
    }
    this.#options = options;
  }

  /**
   * The bytes of a span, at each shard's index, either of all `needed` shards, or, where one of those fails or none are named, of any k.
   * A shard that fails is replaced by a spare one. Rejects with `shards_missing` when fewer than k are left, and with the signal's reason.
   */
  gather(span: Span, needed: readonly number[] | undefined, signal: AbortSignal): Promise<(Uint8Array | undefined)[]> {
    const { layout, readers, onShardFailed, hedge } = this.#options;
    const { dataShards } = layout.policy;
    const order = this.#order(needed ?? []);
    const blocks: (Uint8Array | undefined)[] = readers.map(() => undefined);
    const direct = needed !== undefined && needed.every((shard) => order.includes(shard));
    const losers = new AbortController();
    return new Promise((resolve, reject) => {
      const active = new Set<number>();
      let done = 0;
      let lastError: unknown;
      let settled = false;

      const settle = (finish: () => void) => {
        settled = true;
        signal.removeEventListener("abort", cancel);
        for (const shard of active) this.#slow.add(shard);
        if (active.size > 0) losers.abort();
        finish();
      };
      const cancel = () => {
        active.clear();
        losers.abort();
        settle(() => reject(signal.reason));
      };
      const isComplete = () =>
        done >= dataShards || (needed !== undefined && needed.every((shard) => blocks[shard] !== undefined));

      /** Asks shards until `count` are there or under way. */
      const ask = (count: number) => {
        while (!settled && done + active.size < count && order.length > 0) {
          const shard = order.shift()!;
          if (this.#failed.has(shard)) continue;
          active.add(shard);
          this.#read(shard, span, losers.signal).then((bytes) => {
            if (settled) return;
            active.delete(shard);
            blocks[shard] = bytes;
            done++;
            if (isComplete()) settle(() => resolve(blocks));
          }, (error: unknown) => {
            if (settled) return;
            active.delete(shard);
            lastError = error;
            // Several spans may be gathered at once, and meet the same failure.
            if (!this.#failed.has(shard)) {
              this.#failed.add(shard);
              onShardFailed?.(shard, error);
            }
            ask(dataShards);
            failWhenTooFew();
          });
        }
      };
      const failWhenTooFew = () => {
        if (settled || done + active.size >= dataShards || order.length > 0 || isComplete()) return;
        // The needed shards alone may still complete it.
        if (needed?.every((shard) => blocks[shard] !== undefined || active.has(shard))) return;
        settle(() => reject(tooFew(done + active.size, dataShards, lastError)));
      };
      const watch = () => {
        hedge?.().then(() => {
          if (settled || order.length === 0) return;
          ask(Math.max(dataShards, done + active.size + 1));
          watch();
        }, () => {});
      };

      if (signal.aborted) return cancel();
      signal.addEventListener("abort", cancel);
      ask(direct ? needed.length : dataShards);
      failWhenTooFew();
      watch();
    });
  }

  /** Shards that may be asked: those needed, then the other data shards, then parity; the slow ones last. */
  #order(needed: readonly number[]): number[] {
    const rank = (shard: number) => (this.#slow.has(shard) ? 2 : 0) + (needed.includes(shard) ? 0 : 1);
    return this.#options.readers
      .flatMap((reader, shard) => reader === undefined || this.#failed.has(shard) ? [] : [shard])
      .sort((a, b) => rank(a) - rank(b) || a - b);
  }

  async #read(shard: number, span: Span, signal: AbortSignal): Promise<Uint8Array> {
    const { layout, roots, readers } = this.#options;
    const { bytes, proof } = await readers[shard]!.read(span, signal);
    const head = { root: roots[shard]!, leafCount: layout.leafCount };
    const whole = bytes.length === span.end - span.start;
    if (!whole || !verifyRange(head, { firstLeaf: leavesOfSpan(span).first, bytes, proof })) {
      throw new NodeError(
        "data_corrupt",
        `Shard ${shard} answered for bytes ${span.start} to ${span.end} with ${bytes.length} bytes that are not the file's`,
        { data: { shard, start: span.start, end: span.end } },
      );
    }
    return bytes;
  }
}

function tooFew(present: number, needed: number, cause: unknown): NodeError {
  return new NodeError(
    "shards_missing",
    `Only ${present} shards of the file can be read and it takes ${needed}: bring back or repair ${
      needed - present
    } more`,
    { data: { present, needed }, cause },
  );
}
