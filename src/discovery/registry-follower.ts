import { type Log, type PeerStore, toNodeError } from "../core/mod.ts";
import type { DiscoveryMetrics } from "./discovery-metrics.ts";
import type { PeerBook } from "./peer-book.ts";
import type { RegistryCheckpoint, RegistryReader } from "./ports.ts";

export interface RegistryFollowerOptions {
  readonly reader: RegistryReader;
  readonly book: PeerBook;
  readonly store: PeerStore;
  readonly metrics: DiscoveryMetrics;
  readonly log: Log;
  /** Between two looks at a registry that was read to its end. */
  readonly everyMs: number;
}

/** Which registry was read, and how far. */
interface StoredCheckpoint {
  readonly v: 1;
  readonly at?: RegistryCheckpoint;
  /** Whether listings that are stale go when the end is reached. */
  readonly anew: boolean;
}

const PAUSE_MS = 50;
const MAX_RETRY_MS = 300_000;

/**
 * Follows the registry from where an earlier process stopped. What was read and how far are written together, so that no event is lost or
 * taken twice. After a reorganisation below that point all is read anew; what is not found again is dropped.
 */
export class RegistryFollower {
  readonly #options: RegistryFollowerOptions;
  /** Names the registry that the checkpoint is of. */
  readonly #key: string;
  #at: RegistryCheckpoint | undefined;
  #anew = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  #failures = 0;
  #reading: Promise<void> = Promise.resolve();

  constructor(options: RegistryFollowerOptions & { readonly key: string }) {
    this.#options = options;
    this.#key = options.key;
  }

  /** Reads the checkpoint. One of another registry counts for nothing, and what was read from it is stale. */
  async load(): Promise<void> {
    const { store, book } = this.#options;
    const entries = await store.entries("checkpoint");
    const text = entries.find(([key]) => key === this.#key)?.[1];
    const stored = text === undefined ? undefined : read(text);
    this.#at = stored?.at;
    this.#anew = stored?.anew ?? true;
    if (stored !== undefined) return;
    book.markStale();
    await book.flush(entries.map(([key]) => ({ kind: "checkpoint", key, text: undefined })));
  }

  start(): void {
    this.#plan(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#reading;
  }

  /** Reads one page. Returns whether that was all for now. Throws `chain_failed`. */
  async step(): Promise<boolean> {
    const { reader, book, metrics, log } = this.#options;
    const page = await reader.read(this.#at);
    if (this.#closed) return true;
    if (page.reorganised) {
      log.warn("The chain was reorganised below what was read of the registry: it is read anew", {
        block: this.#at?.block,
      });
      book.markStale();
      this.#anew = true;
    }
    for (const event of page.events) metrics.event(book.registered(event));
    this.#at = page.checkpoint;
    if (page.caughtUp && this.#anew) {
      book.dropStale();
      this.#anew = false;
    }
    if (this.#at !== undefined) metrics.readTo(this.#at.block);
    const stored: StoredCheckpoint = { v: 1, ...(this.#at && { at: this.#at }), anew: this.#anew };
    await book.flush([{ kind: "checkpoint", key: this.#key, text: JSON.stringify(stored) }]);
    return page.caughtUp;
  }

  #plan(waitMs: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#reading = this.#turn(), waitMs);
    this.#timer.unref();
  }

  async #turn(): Promise<void> {
    const { everyMs, log } = this.#options;
    try {
      const caughtUp = await this.step();
      this.#failures = 0;
      this.#plan(caughtUp ? everyMs : PAUSE_MS);
    } catch (error) {
      if (this.#failures++ === 0) log.warn("The registry cannot be read now", { error: toNodeError(error).message });
      this.#plan(Math.min(MAX_RETRY_MS, everyMs * 2 ** Math.min(this.#failures, 20)));
    }
  }
}

function read(text: string): StoredCheckpoint | undefined {
  try {
    const stored = JSON.parse(text) as StoredCheckpoint;
    return stored.v === 1 ? stored : undefined;
  } catch {
    return undefined;
  }
}
