import { ANONYMOUS, type StoredTask, type TaskChange, toNodeError } from "../core/mod.ts";
import { interruptedError } from "./task-failures.ts";
import type { StreamRuns } from "./stream-runs.ts";
import type { TaskIntake } from "./task-intake.ts";
import type { TaskParts } from "./task-parts.ts";
import type { TaskRunner } from "./task-runner.ts";

const RECOVER_STEP = 200;
const DROP_STEP = 200;
/** The most ended tasks that one sweep drops, so that a sweep is short. */
const MAX_DROPPED = 10 * DROP_STEP;

/** What a start found of the process before it. */
export interface RecoverResult {
  /** Tasks that wait again, those included that ran when the process ended and may be tried again. */
  readonly queued: number;
  /** Tasks that ran when the process ended, as often as they may; they have failed as `interrupted`. */
  readonly interrupted: number;
}

export interface TaskUpkeepOptions {
  readonly parts: TaskParts;
  readonly intake: TaskIntake;
  readonly runner: TaskRunner;
  readonly streams: StreamRuns;
}

/** What nobody asks for and must be done: taking up what was left, and dropping what is over. */
export class TaskUpkeep {
  readonly #options: TaskUpkeepOptions;
  readonly #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> | undefined;

  constructor(options: TaskUpkeepOptions) {
    this.#options = options;
    const { settings, log } = options.parts;
    if (settings.sweepIntervalMs > 0) {
      this.#timer = setInterval(() => {
        this.sweep().catch((error) =>
          log.warn("Expired tasks were not dropped", { error: toNodeError(error).message })
        );
      }, settings.sweepIntervalMs);
      this.#timer.unref();
    }
  }

  /** Takes up the tasks that the store holds and that have not ended. */
  async recover(): Promise<RecoverResult> {
    const { parts, intake, runner } = this.#options;
    let queued = 0;
    let interrupted = 0;
    let last: StoredTask | undefined;
    for (;;) {
      const page = await parts.store.unfinished(last, RECOVER_STEP);
      if (page.length === 0) break;
      for (const stored of page) parts.skipSeq(stored.seq);
      const left = page.filter((stored) => parts.tasks.get(stored.record) === undefined);
      const [over, again] = split(left, ({ record }) => {
        return record.state === "running" && record.attempts >= parts.settings.maxAttempts;
      });
      const changes = again.filter(({ record }) => record.state === "running").map(asQueued);
      if (changes.length > 0) await parts.store.write(changes, { durable: false });
      for (const stored of again) intake.adopt(stored);
      await Promise.all(over.map((stored) =>
        runner.end(intake.lost(stored), {
          error: interruptedError(stored.record.attempts),
        })
      ));
      queued += again.length;
      interrupted += over.length;
      last = page.at(-1);
    }
    return { queued, interrupted };
  }

  /** One round of upkeep; a second call while one is under way gets the same. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweep().finally(() => this.#sweeping = undefined);
    return this.#sweeping;
  }

  /** Ends the rounds, and waits for the one under way. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping?.catch(() => {});
  }

  async #sweep(): Promise<void> {
    const { parts, runner, streams } = this.#options;
    const now = parts.clock.now();
    parts.scheduler.expire(now - parts.settings.queueTimeoutMs);
    streams.stopIdle(now);
    parts.metrics.show(parts.scheduler, parts.store.room(ANONYMOUS).bytes);
    await runner.saveUnsaved();
    for (let dropped = 0; dropped < MAX_DROPPED; dropped += DROP_STEP) {
      const expired = await parts.store.expired(now, DROP_STEP);
      if (expired.length === 0) return;
      const changes = expired.map((task): TaskChange => ({ type: "remove", task }));
      await parts.store.write(changes, { durable: false });
    }
  }
}

function asQueued(stored: StoredTask): TaskChange {
  return { type: "update", task: { ...stored, record: { ...stored.record, state: "queued" } } };
}

function split<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}
