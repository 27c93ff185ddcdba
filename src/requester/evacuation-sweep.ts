import { setTimeout as sleep } from "node:timers/promises";
import type { Log, NodeId } from "../core/mod.ts";
import { avoidedShards } from "./avoided-shards.ts";
import type { EvacuationQueue } from "./evacuation-queue.ts";
import type { FileStore } from "./file-ports.ts";
import type { ProviderScores } from "./provider-scores.ts";

export interface EvacuationSweepOptions {
  readonly store: Pick<FileStore, "all">;
  readonly scores: Pick<ProviderScores, "load" | "avoided" | "isAvoided">;
  /** Takes the files that are found. */
  readonly queue: Pick<EvacuationQueue, "add" | "settle">;
  /** How often it is looked for providers that became avoided, in milliseconds. */
  readonly everyMs: number;
  readonly closing: AbortSignal;
  readonly log: Log;
}

/** So many records are read at once. */
const PAGE = 100;
/** The rest after each of those, so that many files take little of a core. */
const REST_MS = 50;

/**
 * Finds the files of providers that became avoided, so that they do not wait for their next audits: reads all records once, page by page, each when
 * the files of those before have been moved. At the first look all providers that are avoided are new.
 */
export class EvacuationSweep {
  readonly #options: EvacuationSweepOptions;
  /** Providers that are avoided, whose files were all looked at since they are. */
  #swept: ReadonlySet<NodeId> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(options: EvacuationSweepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), this.#options.everyMs);
    this.#timer.unref();
    this.look();
  }

  /** Begins to find the files of providers that became avoided, unless it is finding some. */
  look(): void {
    this.#running ??= this.#run().finally(() => this.#running = undefined);
  }

  /** Waits until what it was looked for is found. */
  async settle(): Promise<void> {
    await this.#running;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.settle();
  }

  async #run(): Promise<void> {
    const { scores, closing, log } = this.#options;
    try {
      await scores.load();
      const avoided = scores.avoided();
      if (avoided.some((provider) => !this.#swept.has(provider))) await this.#sweep();
      this.#swept = new Set(avoided);
    } catch (error) {
      if (closing.aborted) return;
      log.warn("Files at providers that are avoided could not be looked for; it is tried again", { error });
    }
  }

  async #sweep(): Promise<void> {
    const { store, scores, queue, closing } = this.#options;
    let afterId = "";
    for (;;) {
      closing.throwIfAborted();
      const files = await store.all(afterId, PAGE);
      for (const file of files) {
        if (avoidedShards(file, scores).length > 0) queue.add(file.id);
      }
      if (files.length < PAGE) return;
      afterId = files.at(-1)!.id;
      await queue.settle();
      await sleep(REST_MS, undefined, { signal: closing, ref: false });
    }
  }
}
