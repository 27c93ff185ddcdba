import { isDeno, NodeError } from "../core/mod.ts";
import type { Log, Metrics } from "../core/mod.ts";
import { timeIsOver } from "./call-failure.ts";
import { CallTurns } from "./call-turns.ts";
import { CpuBudget } from "./cpu-budget.ts";
import { OutcomeWatch } from "./outcome-watch.ts";
import { PoolWorker } from "./pool-worker.ts";
import type { Job, PoolCall, PoolOutcome, RunningCall } from "./pool-worker.ts";
import { RequesterNumbers } from "./requester-numbers.ts";

export interface PoolOptions {
  /** The most worker threads; each runs one call at a time. One is started at once, the others when they are needed. */
  readonly workers: number;
  /** Instances that each worker keeps warm. */
  readonly warmInstances: number;
  /** Memory that the warm instances of a worker may hold together, in bytes. */
  readonly warmBytes: number;
  /** What calls may take of the machine together, in percent of one core; 0, the default, is no limit. */
  readonly cpuPercent?: number | undefined;
  readonly log: Log;
  readonly metrics: Metrics;
}

const SCAN_MS = 5;
/** A call that runs this long stalls its worker: what waits behind it goes elsewhere. */
const STALL_MS = 5;
/** How much work may lie in a worker's slots, so that it never waits for the next call, nor a call for long behind others. */
const AHEAD_MS = 1;
/** Calls that are expected to end so soon are watched for; see {@link OutcomeWatch}. */
const QUICK_MS = 0.05;
/** How long a canceled call may go on before its worker is given up for it. */
const CANCEL_GRACE_MS = 50;
/** On Deno the worker stops a call itself at its limit; the pool steps in this much later. */
const DEADLINE_GRACE_MS = isDeno ? 250 : 0;
const IDLE_SCANS = 20;
const START_ATTEMPTS = 3;
const RESTART_DELAY_MS = 200;

/**
 * Worker threads that run plugin calls. Calls go to the worker with the least to do; while all have enough they wait here, and
 * leave in the order of {@link CallTurns}. One timer looks after everything while there is work: it moves calls away from behind a slow
 * one, and gives up a worker whose call is over its time or canceled and does not end, putting a new one in its place.
 */
export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #workers: PoolWorker[] = [];
  readonly #turns: CallTurns<Job>;
  readonly #requesters = new RequesterNumbers();
  readonly #cpu: CpuBudget;
  readonly #watch = new OutcomeWatch({
    workers: () => this.#workers,
    onProgress: () => this.#dispatch(),
    now: () => performance.now(),
  });
  readonly #restarts;
  readonly #seconds;
  readonly #busy;
  readonly #queued;
  /** Threads given up that have not ended yet: on Deno they burn a core until the plugin's time is over. */
  #zombies = 0;
  #failedStarts = 0;
  /** How many workers there should be: none before the first call, since a thread takes 10 MB; grows to `options.workers` and stays there. */
  #wanted = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #idleScans = 0;
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#turns = new CallTurns({ workers: options.workers, now: () => performance.now() });
    this.#cpu = new CpuBudget({ percent: options.cpuPercent ?? 0, now: () => performance.now() });
    const { metrics } = options;
    this.#seconds = metrics.counter("velas_plugin_worker_seconds_total", "Time of workers that calls of plugins took");
    this.#restarts = metrics.counter("velas_plugin_worker_restarts_total", "Plugin workers replaced", ["reason"]);
    this.#busy = metrics.gauge("velas_plugin_workers_busy", "Plugin workers that have calls");
    this.#queued = metrics.gauge("velas_plugin_queue_length", "Plugin calls that wait for a worker");
  }

  /**
   * Runs a call. Rejects with what the plugin failed with, `deadline_exceeded` after `timeoutMs` of running, `canceled` when
   * the signal aborts (seen within milliseconds), or `shutting_down` when the pool is closed.
   */
  run(call: PoolCall): Promise<PoolOutcome> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(shuttingDown());
      if (call.signal.aborted) return reject(canceled());
      const requesterNumber = this.#requesters.numberOf(call.requester);
      const { module: { id: moduleId }, functionIndex } = call;
      const job: Job = {
        call,
        requesterNumber,
        turn: this.#turns.turnOf(requesterNumber, { moduleId, functionIndex }),
        settled: false,
        callNumber: 0,
        settle(outcome) {
          if (job.settled) return;
          job.settled = true;
          if (outcome instanceof NodeError) reject(outcome);
          else resolve(outcome);
        },
      };
      const isFree = this.#turns.size === 0 && this.#turns.lengthOf(job.turn) === "short" && !this.#cpu.isSpent;
      const worker = isFree ? this.#leastLoaded() : undefined;
      if (worker !== undefined && this.#hasTimeFor(worker, job)) {
        if (worker.load > 0) this.#grow();
        this.#give(worker, job);
      } else {
        this.#turns.push(job);
        this.#dispatch();
      }
      if (this.#turns.expectedMs(job.turn) <= QUICK_MS) this.#watch.start();
      this.#timer ??= setInterval(() => this.#scan(), SCAN_MS);
      this.#idleScans = 0;
    });
  }

  /** Lets the workers drop what they hold of a module. Calls of it must have ended. */
  forget(moduleId: number): void {
    for (const worker of this.#workers) worker.forget(moduleId);
  }

  /** Ends every call with `shutting_down` and every thread. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    const workers = this.#workers.splice(0);
    for (const job of this.#turns.removeAll()) job.settle(shuttingDown());
    for (const worker of workers) {
      const { running, waiting } = worker.abandonJobs();
      for (const job of [...running, ...waiting]) job.settle(shuttingDown());
    }
    await Promise.all(workers.map((worker) => worker.terminate()));
  }

  #leastLoaded(): PoolWorker | undefined {
    let least: PoolWorker | undefined;
    for (const worker of this.#workers) {
      if (!worker.hasRoom) continue;
      if (
        least === undefined || worker.expectedMs < least.expectedMs ||
        (worker.expectedMs === least.expectedMs && worker.load < least.load)
      ) least = worker;
    }
    return least;
  }

  #dispatch(): void {
    while (this.#turns.size > 0 && !this.#cpu.isSpent) {
      const worker = this.#leastLoaded();
      const job = this.#turns.peek();
      if (worker === undefined || worker.load > 0) this.#grow();
      if (worker === undefined || job === undefined) return;
      // What is next waits until a worker has finished more, rather than that others go before it.
      if (!this.#hasTimeFor(worker, job)) return;
      this.#turns.remove(job);
      if (!job.settled) {
        this.#give(this.#turns.lengthOf(job.turn) === "short" ? worker : this.#lastIdle() ?? worker, job);
      }
    }
  }

  /** Where calls go that are not short: those that are stay with the first workers, and with the instances that they have there. */
  #lastIdle(): PoolWorker | undefined {
    return this.#workers.findLast((worker) => worker.hasRoom && worker.load === 0);
  }

  #hasTimeFor(worker: PoolWorker, { turn }: Job): boolean {
    return worker.load === 0 || worker.expectedMs + this.#turns.expectedMs(turn) <= AHEAD_MS;
  }

  #give(worker: PoolWorker, job: Job): void {
    this.#turns.begin(job);
    worker.assign(job);
  }

  #putBack(jobs: readonly Job[]): void {
    for (const job of jobs) this.#turns.push(job);
  }

  /** Adds a worker if there may be more, and none is on its way. */
  #grow(): void {
    if (this.#wanted >= this.#options.workers || this.#workers.some(({ ready }) => !ready)) return;
    this.#wanted++;
    this.#fillUp();
  }

  /** Starts workers until there are as many as there should be, or as many threads as the machine should bear. */
  #fillUp(): void {
    const { workers, warmInstances, warmBytes } = this.#options;
    while (!this.#closed && this.#workers.length < this.#wanted && this.#workers.length + this.#zombies < workers * 2) {
      this.#workers.push(
        new PoolWorker({
          warmInstances,
          warmBytes,
          onProgress: () => {
            this.#failedStarts = 0;
            this.#dispatch();
          },
          onLeave: (job, ranMs) => {
            this.#turns.end(job, ranMs);
            if (ranMs === undefined) return;
            this.#cpu.charge(ranMs);
            this.#seconds.add(ranMs / 1000);
          },
          onDeath: (worker, error) => this.#buryDead(worker, error),
        }),
      );
    }
  }

  #scan(): void {
    const now = performance.now();
    for (const worker of [...this.#workers]) {
      if (worker.load === 0) continue;
      worker.harvest();
      for (const job of worker.withdraw(({ call }) => call.signal.aborted)) job.settle(canceled());
      const running = worker.observe(now);
      if (running !== undefined) this.#judge(worker, running, now - running.since);
    }
    for (const job of this.#turns.removeAll(({ call }) => call.signal.aborted)) job.settle(canceled());
    this.#dispatch();
    this.#observe();
  }

  /** Decides about a call that has been seen running for this long. */
  #judge(worker: PoolWorker, running: RunningCall, elapsedMs: number): void {
    const { job } = running;
    this.#turns.runsFor(running.job, elapsedMs);
    if (elapsedMs >= STALL_MS && !worker.stalled) {
      worker.stalled = true;
      this.#putBack(worker.withdraw());
    }
    const { timeoutMs, signal } = job.call;
    if (elapsedMs > timeoutMs + DEADLINE_GRACE_MS) {
      const { code, message } = timeIsOver(timeoutMs);
      this.#giveUp(worker, running, new NodeError(code, message));
    } else if (signal.aborted && !job.settled) {
      // The caller is answered at once; the plugin gets a moment to end by itself, which spares the worker.
      worker.cancel(running);
      job.settle(canceled());
      running.canceledAtMs = elapsedMs;
    } else if (running.canceledAtMs !== undefined && elapsedMs - running.canceledAtMs >= CANCEL_GRACE_MS) {
      this.#giveUp(worker, running, canceled());
    }
  }

  /** Gives a worker up for its running call and puts a new one in its place. */
  #giveUp(worker: PoolWorker, running: RunningCall, reason: NodeError): void {
    // First nothing may wait in it any more, then the call must be seen running still: so no other call can be hit.
    this.#putBack(worker.withdraw());
    if (!worker.isOnlyRunning(running)) return;
    worker.abandonJobs();
    running.job.settle(reason);
    this.#remove(worker);
    this.#restarts.add(1, { reason: reason.code });
    this.#zombies++;
    const { timeoutMs } = running.job.call;
    void this.#end(worker, timeoutMs - (performance.now() - running.since)).then(() => {
      this.#zombies--;
      this.#fillUp();
    });
    this.#fillUp();
  }

  /** Waits until a thread's end; on Deno that is when the plugin's time is over, and nothing tells it earlier. */
  async #end(worker: PoolWorker, restMs: number): Promise<void> {
    await worker.terminate();
    if (isDeno && restMs > 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, restMs + DEADLINE_GRACE_MS);
        timer.unref?.();
      });
    }
  }

  /** A thread ended by itself: out of memory, or a fault of ours. Its running call fails, the others go elsewhere. */
  #buryDead(worker: PoolWorker, error: Error): void {
    const { running, waiting } = worker.abandonJobs();
    const outOfMemory = (error as { code?: unknown }).code === "ERR_WORKER_OUT_OF_MEMORY";
    for (const job of running) {
      job.settle(
        outOfMemory
          ? new NodeError("memory_exceeded", "The plugin made its worker run out of memory outside its linear memory")
          : new NodeError("plugin_trapped", "The plugin's worker thread died", { cause: error }),
      );
    }
    this.#putBack(waiting);
    this.#remove(worker);
    this.#restarts.add(1, { reason: outOfMemory ? "memory_exceeded" : "died" });
    this.#options.log.error("A plugin worker died and is replaced", { error });
    if (worker.ready) return this.#fillUp();
    this.#failedStarts++;
    if (this.#failedStarts >= START_ATTEMPTS) {
      const cause = new NodeError("internal", "Plugin workers cannot be started; the node's log has the reason", {
        cause: error,
      });
      for (const job of this.#turns.removeAll()) job.settle(cause);
    }
    setTimeout(() => this.#fillUp(), RESTART_DELAY_MS * this.#failedStarts).unref?.();
  }

  #remove(worker: PoolWorker): void {
    const at = this.#workers.indexOf(worker);
    if (at >= 0) this.#workers.splice(at, 1);
  }

  #observe(): void {
    const busy = this.#workers.filter(({ load }) => load > 0).length;
    this.#busy.set(busy);
    this.#queued.set(this.#turns.size);
    if (busy > 0 || this.#turns.size > 0) this.#idleScans = 0;
    else if (++this.#idleScans >= IDLE_SCANS) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}

function canceled(): NodeError {
  return new NodeError("canceled", "The call was canceled");
}

function shuttingDown(): NodeError {
  return new NodeError(
    "shutting_down",
    "The node is shutting down and runs no more plugins; try another node, or later",
  );
}
