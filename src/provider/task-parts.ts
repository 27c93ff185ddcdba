import { newUlid, type RequesterId } from "../core/mod.ts";
import { LiveTasks } from "./live-tasks.ts";
import { DEFAULT_SETTINGS, type TaskProviderOptions, type TaskSettings } from "./options.ts";
import { Scheduler } from "./scheduler.ts";
import { shuttingDownError } from "./task-failures.ts";
import { TaskMetrics } from "./task-metrics.ts";
import { TaskRules } from "./task-rules.ts";

/** What the parts of one provider share. */
export class TaskParts {
  readonly store: TaskProviderOptions["store"];
  readonly host: TaskProviderOptions["host"];
  readonly ledger: TaskProviderOptions["ledger"];
  readonly clock: TaskProviderOptions["clock"];
  readonly log: TaskProviderOptions["log"];
  readonly receipts: TaskProviderOptions["receipts"];
  readonly settings: TaskSettings;
  readonly rules: TaskRules;
  readonly scheduler: Scheduler;
  readonly metrics: TaskMetrics;
  readonly tasks: LiveTasks;
  readonly newId: () => string;
  /** Whether nothing new is taken any more. */
  draining = false;
  #lastSeq = 0;

  constructor(options: TaskProviderOptions) {
    const { store, host, ledger, clock, log } = options;
    this.store = store;
    this.host = host;
    this.ledger = ledger;
    this.clock = clock;
    this.log = log;
    this.receipts = options.receipts;
    this.settings = { ...DEFAULT_SETTINGS, ...options };
    this.rules = new TaskRules(this.settings.maxLimits, this.settings.defaultLimits);
    this.scheduler = new Scheduler({ ...this.settings, clock });
    this.metrics = new TaskMetrics(options.metrics);
    this.tasks = new LiveTasks(store);
    this.newId = options.newId ?? (() => newUlid(clock.now()));
  }

  /** Throws `shutting_down` once the node drains. */
  checkOpen(): void {
    if (this.draining) throw shuttingDownError();
  }

  /** Throws `overloaded` when a requester's task with this much input cannot wait. */
  checkRoom(requester: RequesterId, sizeBytes: number): void {
    try {
      this.scheduler.checkRoom(requester, sizeBytes);
    } catch (error) {
      this.metrics.rejected();
      throw error;
    }
  }

  /** The next sequence number: it rises with time and never falls, even when the clock does. */
  nextSeq(nowMs: number): number {
    this.#lastSeq = Math.max(this.#lastSeq + 1, nowMs * 1024);
    return this.#lastSeq;
  }

  /** Takes note of a number that an earlier process gave out. */
  skipSeq(seq: number): void {
    this.#lastSeq = Math.max(this.#lastSeq, seq);
  }
}
