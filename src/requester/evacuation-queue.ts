export interface EvacuationQueueOptions {
  /** Resolves when no lost shard is being rebuilt. */
  readonly quiet: () => Promise<void>;
  /** Moves the shards of a file that are to leave where they are. Never rejects. */
  readonly work: (id: string) => Promise<void>;
  readonly closing: AbortSignal;
}

/**
 * Files with shards at providers that are avoided. They are moved one file after the other, and none is begun while a lost shard is rebuilt. What
 * waits here is not kept over a restart, at which all files are looked through again.
 */
export class EvacuationQueue {
  readonly #options: EvacuationQueueOptions;
  readonly #waiting = new Set<string>();
  #running: Promise<void> | undefined;

  constructor(options: EvacuationQueueOptions) {
    this.#options = options;
  }

  add(id: string): void {
    this.#waiting.add(id);
    this.#running ??= this.#run();
  }

  /** Waits until none is left. */
  async settle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { quiet, work, closing } = this.#options;
    for (const id of this.#waiting) {
      await quiet();
      if (closing.aborted) break;
      this.#waiting.delete(id);
      await work(id);
    }
    this.#running = undefined;
  }
}
