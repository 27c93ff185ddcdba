import type { Log } from "../core/mod.ts";
import { seqKey } from "./codec.ts";
import type { GroupCommit } from "./group-commit.ts";
import { describe } from "./storage-errors.ts";
import { bodyRange } from "./shard-rows.ts";
import type { ShardTables } from "./shard-tables.ts";
import type { Sublevel } from "./sublevel.ts";

/** Keys that one write deletes. */
const STEP = 1000;
export interface ShardSweeperOptions {
  readonly log: Log;
  /** Deleted bytes after which the disk is asked to give them back. */
  readonly compactBytes: number;
}

/**
 * Deletes the bodies of shards that are gone, in small writes behind everything else, and then compacts the ranges of keys where they were:
 * LevelDB by itself would keep deleted bodies until something else is written to the same place, which never happens with rising keys.
 */
export class ShardSweeper {
  readonly #tables: ShardTables;
  readonly #commit: GroupCommit;
  readonly #log: Log;
  readonly #compactBytes: number;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;
  #deletedBytes = 0;
  #deletedRange: { first: number; last: number } | undefined;

  constructor(tables: ShardTables, commit: GroupCommit, { log, compactBytes }: ShardSweeperOptions) {
    this.#tables = tables;
    this.#commit = commit;
    this.#log = log;
    this.#compactBytes = compactBytes;
  }

  /** Starts in the background, or lets the sweep under way go round again. */
  start(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#running ??= this.#run().catch((error: unknown) => {
      this.#log.warn("Removed shards still take room; it is tried again with the next removal", {
        error: describe(error),
      });
    }).finally(() => this.#running = undefined);
  }

  /** Waits until nothing is left to delete; with `compact` also gives back what is less than a table. */
  async settle(options: { readonly compact: boolean }): Promise<void> {
    this.start();
    await this.#running;
    if (options.compact) await this.#compact();
  }

  /** Ends soon; what is left is deleted after the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      for (;;) {
        const dead = await this.#tables.dead.entries({ limit: 100 });
        if (dead.length === 0) break;
        for (const [key, size] of dead) {
          if (this.#stopped) return;
          await this.#delete(parseInt(key, 16), Number(size));
        }
      }
      if (this.#deletedBytes >= this.#compactBytes) await this.#compact();
    }
  }

  async #delete(seq: number, sizeBytes: number): Promise<void> {
    for (const level of [this.#tables.bodies, this.#tables.trees]) await this.#deleteKeys(level, seq);
    if (this.#stopped) return;
    await this.#commit.write([this.#tables.dead.del(seqKey(seq))], { durable: false });
    this.#deletedBytes += sizeBytes;
    const { first, last } = this.#deletedRange ?? { first: seq, last: seq };
    this.#deletedRange = { first: Math.min(first, seq), last: Math.max(last, seq) };
  }

  async #deleteKeys(level: Sublevel, seq: number): Promise<void> {
    for (;;) {
      const keys = await level.keys({ ...bodyRange(seq), limit: STEP });
      if (keys.length === 0 || this.#stopped) return;
      await this.#commit.write(keys.map((key) => level.del(key)), { durable: false });
    }
  }

  async #compact(): Promise<void> {
    const range = this.#deletedRange;
    if (range === undefined) return;
    this.#deletedRange = undefined;
    this.#deletedBytes = 0;
    const { engine, bodies, trees } = this.#tables;
    for (const level of [bodies, trees]) {
      if (this.#stopped) return;
      await engine.compact({
        gt: level.fullKey(bodyRange(range.first).gt),
        lt: level.fullKey(bodyRange(range.last).lt),
      });
    }
  }
}
