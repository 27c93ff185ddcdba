import { type Log, type StoredFile, toNodeError } from "../core/mod.ts";

export interface DuePoolOptions {
  /** The files for which something is due by now, the most overdue first. */
  readonly due: (limit: number) => Promise<StoredFile[]>;
  /** Does it, and moves the time when the file is due next. */
  readonly work: (file: StoredFile) => Promise<void>;
  /** Moves the time of a file whose work failed. */
  readonly failed: (file: StoredFile) => Promise<void>;
  /** Files that are let alone for now. */
  readonly busy: ReadonlySet<string>;
  /** How many files are worked on at once. */
  readonly parallel: number;
  /** How often it is looked for files that became due. */
  readonly everyMs: number;
  /** What is done, for the log. */
  readonly what: string;
  readonly closing: AbortSignal;
  readonly log: Log;
}

/** The most files that are passed over to find one that can be worked on. */
const PASSED_OVER = 1000;

/** Works on files in the order in which they are due, several at once, so that a slow one holds up no other. */
export class DuePool {
  readonly #options: DuePoolOptions;
  readonly #active = new Map<string, Promise<void>>();
  /** Files whose work failed since it was last looked: should their time not have moved, they wait for the next look. */
  readonly #failed = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #filling: Promise<void> | undefined;
  #again = false;

  constructor(options: DuePoolOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), this.#options.everyMs);
    this.#timer.unref();
    this.wake();
  }

  /** Looks now. */
  wake(): void {
    this.#failed.clear();
    this.#look();
  }

  /** Waits until nothing is due and nothing under way. */
  async settle(): Promise<void> {
    while (this.#filling !== undefined || this.#active.size > 0) {
      await this.#filling;
      await Promise.all(this.#active.values());
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.settle();
  }

  #look(): void {
    this.#again = true;
    this.#filling ??= this.#fill().finally(() => {
      this.#filling = undefined;
      // It may have been asked for while the last look was ending.
      if (this.#again && !this.#options.closing.aborted) this.#look();
    });
  }

  async #fill(): Promise<void> {
    const { due, busy, parallel, what, closing, log } = this.#options;
    try {
      while (this.#again && !closing.aborted) {
        this.#again = false;
        if (this.#active.size >= parallel) return;
        const passedOver = this.#active.size + busy.size + this.#failed.size;
        for (const file of await due(parallel + Math.min(passedOver, PASSED_OVER))) {
          if (closing.aborted || this.#active.size >= parallel) return;
          if (busy.has(file.id) || this.#active.has(file.id) || this.#failed.has(file.id)) continue;
          this.#active.set(file.id, this.#run(file));
        }
      }
    } catch (error) {
      if (!closing.aborted) log.error("Files could not be looked after", { what, error });
    }
  }

  async #run(file: StoredFile): Promise<void> {
    const { work, failed, what, closing, log } = this.#options;
    try {
      await work(file);
    } catch (error) {
      if (!closing.aborted) {
        this.#failed.add(file.id);
        log.warn("A file could not be looked after; it is tried again", {
          what,
          fileId: file.id,
          error: toNodeError(error).message,
        });
        await failed(file).catch(() => {});
      }
    } finally {
      this.#active.delete(file.id);
    }
    if (!closing.aborted) this.#look();
  }
}
