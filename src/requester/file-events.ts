import type { FileEvent } from "../core/mod.ts";

/** Events that one watcher may have unread; beyond it the oldest progress goes first, then the oldest of all. */
const MAX_UNREAD = 1000;

interface Watcher {
  readonly fileId: string | undefined;
  readonly unread: FileEvent[];
  wake(): void;
}

/** Tells watchers what happens to files. A slow one misses progress, and costs no more than its bound. */
export class FileEvents {
  readonly #watchers = new Set<Watcher>();

  /** Whether anybody listens, so that what nobody wants need not be made. */
  get watched(): boolean {
    return this.#watchers.size > 0;
  }

  publish(event: FileEvent): void {
    for (const watcher of this.#watchers) {
      if (watcher.fileId !== undefined && watcher.fileId !== event.fileId) continue;
      if (watcher.unread.length >= MAX_UNREAD) {
        const progress = watcher.unread.findIndex(({ type }) => type === "progress");
        watcher.unread.splice(Math.max(progress, 0), 1);
      }
      watcher.unread.push(event);
      watcher.wake();
    }
  }

  /** Events of one file, or of all, from now on; throws the signal's reason when it aborts. */
  watch(fileId: string | undefined, signal: AbortSignal): AsyncIterable<FileEvent> {
    let wake = () => {};
    const watcher: Watcher = { fileId, unread: [], wake: () => wake() };
    const watchers = this.#watchers;
    // From the call on, and not from the first read.
    watchers.add(watcher);
    const onAbort = () => wake();
    signal.addEventListener("abort", onAbort);
    const stop = () => {
      watchers.delete(watcher);
      signal.removeEventListener("abort", onAbort);
    };
    if (signal.aborted) stop();
    return {
      async *[Symbol.asyncIterator]() {
        try {
          for (;;) {
            while (watcher.unread.length > 0) yield watcher.unread.shift()!;
            signal.throwIfAborted();
            await new Promise<void>((resolve) => wake = resolve);
          }
        } finally {
          stop();
        }
      },
    };
  }
}
