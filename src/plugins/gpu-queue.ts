import { type GpuLine, type Metrics, NodeError, type RequesterId } from "../core/mod.ts";

/** A job that has the GPU. */
export interface GpuTurn {
  /** Lets the next job have it. */
  leave(): void;
}

export interface GpuQueueOptions {
  /** The most jobs that wait; more are refused. */
  readonly maxWaiting: number;
  readonly metrics: Metrics;
  /** Monotonic, in milliseconds. */
  readonly now?: () => number;
}

export interface GpuJob {
  readonly plugin: string;
  readonly requester: RequesterId;
  /** Aborting takes the job out of the line; its reason is what the wait ends with. */
  readonly signal: AbortSignal;
}

/** What one requester has had of the GPU, and has waiting. */
interface Share {
  /** Counted from where the others were when it came. */
  spentMs: number;
  readonly waiting: Set<Waiting>;
}

interface Waiting {
  readonly plugin: string;
  readonly begin: () => void;
}

/**
 * The line for a node's GPU, which works on one job at a time. Requesters share its time: the next job is the oldest one of whoever
 * had the least (start-time fair queueing, Goyal, Vin and Cheng 1996, with each job counted at its end, when its length is known).
 */
export class GpuQueue {
  readonly #options: GpuQueueOptions;
  readonly #now: () => number;
  /** Of those who have had or await the GPU since it was idle last. */
  readonly #shares = new Map<RequesterId, Share>();
  readonly #waitingOf = new Map<string, number>();
  #waiting = 0;
  #running: string | undefined;
  /** Where the requester stood whose job began last; who was away does not save up time. */
  #floorMs = 0;
  readonly #meters;

  constructor(options: GpuQueueOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    const { metrics } = options;
    this.#meters = {
      running: metrics.gauge("velas_gpu_running", "Calls that have the GPU: 0 or 1"),
      waiting: metrics.gauge("velas_gpu_waiting", "Calls that wait for the GPU"),
      held: metrics.counter("velas_gpu_held_seconds_total", "Time for which calls had the GPU"),
      refused: metrics.counter("velas_gpu_refused_total", "Calls that were refused since too many waited for the GPU"),
    };
  }

  /** The part of the line that is one plugin's. */
  lineOf(plugin: string): GpuLine {
    return { running: this.#running === plugin ? 1 : 0, waiting: this.#waitingOf.get(plugin) ?? 0 };
  }

  /** Waits for the GPU and takes it. Throws `overloaded` when too many wait, and the signal's reason when that aborts first. */
  async enter({ plugin, requester, signal }: GpuJob): Promise<GpuTurn> {
    signal.throwIfAborted();
    const share = this.#shareOf(requester);
    if (this.#running !== undefined) await this.#wait(plugin, { share, signal });
    this.#running = plugin;
    this.#floorMs = share.spentMs;
    this.#show();
    const startedAt = this.#now();
    let left = false;
    return {
      leave: () => {
        if (left) return;
        left = true;
        const heldMs = Math.max(0, this.#now() - startedAt);
        share.spentMs += heldMs;
        this.#meters.held.add(heldMs / 1000);
        this.#running = undefined;
        this.#next();
        this.#show();
      },
    };
  }

  #shareOf(requester: RequesterId): Share {
    let share = this.#shares.get(requester);
    if (share === undefined) {
      share = { spentMs: this.#floorMs, waiting: new Set() };
      this.#shares.set(requester, share);
    } else if (share.waiting.size === 0) {
      share.spentMs = Math.max(share.spentMs, this.#floorMs);
    }
    return share;
  }

  #wait(plugin: string, { share, signal }: { share: Share; signal: AbortSignal }): Promise<void> {
    const { maxWaiting } = this.#options;
    if (this.#waiting >= maxWaiting) {
      this.#meters.refused.add();
      throw new NodeError(
        "overloaded",
        `${this.#waiting} tasks wait for the GPU of this node already (plugins.maxGpuWaiting): try again later`,
        { data: { maxWaiting } },
      );
    }
    return new Promise((resolve, reject) => {
      const gone = (): void => {
        share.waiting.delete(waiting);
        this.#count(plugin, -1);
      };
      const onAbort = (): void => {
        gone();
        reject(signal.reason);
      };
      const waiting: Waiting = {
        plugin,
        begin: () => {
          signal.removeEventListener("abort", onAbort);
          gone();
          // Taken at once, so that nobody comes between.
          this.#running = plugin;
          resolve();
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      share.waiting.add(waiting);
      this.#count(plugin, 1);
    });
  }

  #next(): void {
    if (this.#waiting === 0) {
      // The GPU is idle: nobody has had more than another who waits.
      this.#shares.clear();
      this.#floorMs = 0;
      return;
    }
    let best: Share | undefined;
    for (const [requester, share] of this.#shares) {
      if (share.waiting.size > 0) {
        if (best === undefined || share.spentMs < best.spentMs) best = share;
      } else if (share.spentMs <= this.#floorMs) {
        this.#shares.delete(requester); // it would begin at the floor anyway
      }
    }
    const [oldest] = best!.waiting;
    oldest!.begin();
  }

  #count(plugin: string, change: 1 | -1): void {
    this.#waiting += change;
    const left = (this.#waitingOf.get(plugin) ?? 0) + change;
    if (left === 0) this.#waitingOf.delete(plugin);
    else this.#waitingOf.set(plugin, left);
    this.#show();
  }

  #show(): void {
    this.#meters.running.set(this.#running === undefined ? 0 : 1);
    this.#meters.waiting.set(this.#waiting);
  }
}
