/** For so long outcomes are looked for without one, in milliseconds: about what waking this thread costs on a virtual machine. */
const WATCH_MS = 0.05;
/** After a watch that saw nothing there is none for so long, and twice as long after each further one, up to the most. */
const LEAST_PAUSE_MS = 0.1;
const MOST_PAUSE_MS = 8;

/** A worker whose outcomes are watched. */
export interface Watched {
  /** Calls that it has. */
  readonly load: number;
  /** Whether it is to wake this thread when calls have ended. */
  ringsPool: boolean;
  /** Settles what has ended. Returns whether anything had. */
  harvest(): boolean;
}

export interface OutcomeWatchOptions {
  readonly workers: () => readonly Watched[];
  /** Called when calls have ended. */
  readonly onProgress: () => void;
  readonly now: () => number;
}

/**
 * Looks for outcomes of very small calls in every turn of the event loop, so that workers need not wake this thread for them: a message between
 * threads and a sleep cost as much as a dozen such calls. It ends when there is nothing to wait for, or when nothing has ended for a moment, and
 * workers wake this thread again. Where that happens often, as on a machine that others use, it is tried less often.
 */
export class OutcomeWatch {
  readonly #options: OutcomeWatchOptions;
  readonly #turn = () => this.#look();
  #watching = false;
  #progressAt = 0;
  #pauseMs = 0;
  #notBefore = -Infinity;

  constructor(options: OutcomeWatchOptions) {
    this.#options = options;
  }

  /** Begins to look, unless it does already or it did not help lately. */
  start(): void {
    if (this.#watching) return;
    const now = this.#options.now();
    if (now < this.#notBefore) return;
    this.#watching = true;
    this.#progressAt = now;
    setImmediate(this.#turn);
  }

  #look(): void {
    const { workers, onProgress, now } = this.#options;
    if (this.#harvest()) {
      onProgress();
      this.#progressAt = now();
      this.#pauseMs = 0;
    }
    let isIdle = true;
    for (const worker of workers()) {
      worker.ringsPool = false;
      if (worker.load > 0) isIdle = false;
    }
    const isLate = !isIdle && now() - this.#progressAt > WATCH_MS;
    if (!isIdle && !isLate) return void setImmediate(this.#turn);
    this.#watching = false;
    if (isLate) {
      this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, LEAST_PAUSE_MS), MOST_PAUSE_MS);
      this.#notBefore = now() + this.#pauseMs;
    }
    for (const worker of workers()) worker.ringsPool = true;
    // What ended before that line rang for nobody.
    if (this.#harvest()) onProgress();
  }

  #harvest(): boolean {
    let any = false;
    for (const worker of this.#options.workers()) if (worker.load > 0 && worker.harvest()) any = true;
    return any;
  }
}
