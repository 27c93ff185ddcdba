import { type Log, type PeerChange, type PeerStore, toNodeError } from "../core/mod.ts";

export type RecordKind = "peer" | "listed";

export interface PeerWritesOptions {
  readonly store: PeerStore;
  readonly log: Log;
  /** A record as it is to be stored now; undefined for one that is no more. */
  readonly textOf: (kind: RecordKind, key: string) => string | undefined;
}

/** Changes of experience are written together; this much of it a crash may lose. */
const FLUSH_MS = 1000;

/** Writes records that changed, together. */
export class PeerWrites {
  readonly #options: PeerWritesOptions;
  readonly #dirty = new Map<string, RecordKind>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: PeerWritesOptions) {
    this.#options = options;
  }

  /** Has a record written with the next {@link flush}. */
  mark(kind: RecordKind, key: string): void {
    this.#dirty.set(`${kind}!${key}`, kind);
  }

  /** Has a record written within a second. */
  touch(kind: RecordKind, key: string): void {
    this.mark(kind, key);
    this.#timer ??= setTimeout(() => {
      this.flush().catch((error) =>
        this.#options.log.warn("Peers could not be stored", { error: toNodeError(error).message })
      );
    }, FLUSH_MS).unref();
  }

  /** Writes what changed, with further changes, all or none. */
  async flush(more: readonly PeerChange[] = []): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { store, textOf } = this.#options;
    const changes: PeerChange[] = [];
    for (const [path, kind] of this.#dirty) {
      const key = path.slice(kind.length + 1);
      changes.push({ kind, key, text: textOf(kind, key) });
    }
    this.#dirty.clear();
    if (changes.length + more.length > 0) {
      this.#writing = store.write([...changes, ...more], { durable: false });
    }
    await this.#writing;
  }
}
