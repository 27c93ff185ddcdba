import type { Metrics, TaskEnd } from "../core/mod.ts";
import type { Scheduler } from "./scheduler.ts";

// Label objects are made once: the hot path allocates none.
const BY_STATE: Readonly<Record<TaskEnd, { readonly state: TaskEnd }>> = {
  succeeded: { state: "succeeded" },
  failed: { state: "failed" },
  canceled: { state: "canceled" },
  expired: { state: "expired" },
};

const SECONDS = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 600];

/** What a provider measures of its tasks. */
export class TaskMetrics {
  readonly #ended;
  readonly #seconds;
  readonly #rejected;
  readonly #running;
  readonly #queued;
  readonly #queuedBytes;
  readonly #storedBytes;

  constructor(metrics: Metrics) {
    this.#ended = metrics.counter("velas_tasks_total", "Tasks that ended, by their end state.", ["state"]);
    this.#rejected = metrics.counter(
      "velas_tasks_rejected_total",
      "Tasks refused since the queue, or the room for kept tasks, was full.",
    );
    this.#seconds = metrics.histogram("velas_task_seconds", "Time in the plugin of tasks that succeeded.", SECONDS);
    this.#running = metrics.gauge("velas_tasks_running", "Tasks that plugins run now.");
    this.#storedBytes = metrics.gauge("velas_tasks_stored_bytes", "What kept tasks take of the database, in bytes.");
    this.#queued = metrics.gauge("velas_tasks_queued", "Tasks that wait for their turn.");
    this.#queuedBytes = metrics.gauge("velas_tasks_queued_bytes", "Input of tasks that wait for their turn, in bytes.");
  }

  ended(state: TaskEnd, wallMicros = 0): void {
    this.#ended.add(1, BY_STATE[state]);
    if (state === "succeeded") this.#seconds.observe(wallMicros / 1e6);
  }

  rejected(): void {
    this.#rejected.add();
  }

  /** Shows the present state of the queue and of the store. */
  show(scheduler: Scheduler, storedBytes: number): void {
    this.#storedBytes.set(storedBytes);
    this.#running.set(scheduler.running);
    this.#queued.set(scheduler.queued);
    this.#queuedBytes.set(scheduler.queuedBytes);
  }
}
