import {
  inSpan,
  NodeError,
  type PluginOutcome,
  sha256Hex,
  type StoredTask,
  type TaskChange,
  type TaskEnd,
  type TaskRecord,
  toNodeError,
} from "../core/mod.ts";
import type { Ending, LiveTask } from "./live-task.ts";
import { settle } from "./settle.ts";
import { endState, expiredError } from "./task-failures.ts";
import type { TaskParts } from "./task-parts.ts";

/** What a run gave: an outcome or an error. */
type End = { readonly outcome: PluginOutcome; readonly error?: undefined } | {
  readonly error: NodeError;
  readonly outcome?: undefined;
};

/** Takes live tasks from their slot to their end, and keeps the store in step. */
export class TaskRunner {
  readonly #parts: TaskParts;
  /** Ends that the store could not take, such as on a full disk, by task. */
  readonly #unsaved = new Map<LiveTask, TaskChange>();

  constructor(parts: TaskParts) {
    this.#parts = parts;
  }

  /** Runs a task that has a slot, to its end. Never rejects. */
  async run(live: LiveTask): Promise<void> {
    const { scheduler } = this.#parts;
    try {
      await live.accepted;
    } catch {
      // Whoever added the task reports that.
      scheduler.release(live.requester);
      return;
    }
    let end: End;
    try {
      if (live.record.state !== "running") await this.#begin(live);
      end = { outcome: await this.#execute(live) };
    } catch (error) {
      const failure = live.stopping ?? toNodeError(error);
      end = { error: failure };
      if (failure.code === "internal") {
        this.#parts.log.error("A task failed for a reason within the node", {
          id: live.record.id,
          error: failure.cause,
        });
      }
    }
    // The slot is given back last, so that results that wait to be stored are no more than the slots.
    if (end.error !== undefined && live.handBack) await this.#handBack(live, end.error);
    else await this.end(live, end);
    scheduler.release(live.requester);
  }

  /**
   * Stops a task: one that waits ends at once, one that runs when its plugin has been stopped. The reason's code decides
   * the end state.
   */
  stop(live: LiveTask, reason: NodeError): void {
    if (live.stopping !== undefined || live.endingBegun) return;
    live.stopping = reason;
    if (this.#parts.scheduler.remove(live)) {
      if (live.handBack) void this.#handBack(live, reason);
      else void this.end(live, { error: reason });
    } else {
      live.controller.abort(reason);
    }
  }

  /** Stops a task, so that a stored one runs again after the next start of the node. */
  handBack(live: LiveTask, reason: NodeError): void {
    live.handBack = live.stored && live.stopping === undefined;
    this.stop(live, reason);
  }

  /** Ends a task that has left the queue since it waited too long. */
  expire(live: LiveTask): void {
    live.stopping ??= expiredError();
    void this.end(live, { error: live.stopping });
  }

  /** Writes and tells the end of a task that no plugin runs (any more). Never rejects. */
  async end(live: LiveTask, { error, outcome }: End): Promise<void> {
    const { clock, settings, metrics, log, tasks } = this.#parts;
    live.endingBegun = true;
    try {
      await live.accepted;
    } catch {
      // Whoever added the task reports that.
      return;
    }
    const finishedAt = clock.now();
    const ended: TaskRecord = {
      ...live.record,
      state: error === undefined ? "succeeded" : endState(error),
      finishedAt,
      expiresAt: finishedAt + settings.retentionMs,
      ...(error !== undefined && { reason: error.code, message: error.message }),
      ...(outcome !== undefined && { usage: outcome.usage, outputContentType: outcome.contentType }),
      ...(outcome?.nondeterministic !== undefined && { nondeterministic: outcome.nondeterministic }),
      ...(outcome !== undefined && live.stored && { outputSha256: sha256Hex(outcome.output) }),
    };
    const record = outcome === undefined || !live.stored ? ended : this.#withReceipt(ended, live);
    let task: StoredTask = { ...live.task, record };
    let ending: Ending = { record, ...(error && { error }), ...(outcome && { output: outcome.output }) };
    try {
      if (live.stored) {
        if (outcome !== undefined) await live.reservation.prepare?.(live.record, outcome.usage);
        task = await this.#saveEnd(task, outcome?.output);
      }
    } catch (cause) {
      const failure = toNodeError(cause);
      log.error("The end of a task could not be stored; its result is lost", { id: record.id, error: failure.message });
      task = this.#saveLater(live, { ...record, state: "failed", reason: failure.code, message: failure.message });
      ending = { record: task.record, error: failure };
    }
    await settle(live.reservation, { usage: ending.error === undefined ? outcome?.usage : undefined, log });
    metrics.ended(ending.record.state as TaskEnd, outcome?.usage.wallMicros);
    // Only now may anybody see the end: it is stored, and the money is settled.
    live.task = task;
    live.finish(ending);
    if (!this.#unsaved.has(live)) tasks.remove(live);
  }

  /** Tries again to store ends that could not be stored. Stops at the first failure. */
  async saveUnsaved(): Promise<void> {
    for (const [live, change] of this.#unsaved) {
      try {
        await this.#parts.store.write([change], { durable: true });
      } catch {
        return;
      }
      this.#unsaved.delete(live);
      this.#parts.tasks.remove(live);
    }
  }

  async #begin(live: LiveTask): Promise<void> {
    const { host, store, clock } = this.#parts;
    const resolved = host.resolve(live.record.plugin, live.record.function, live.record.requester);
    live.advance({
      state: "running",
      attempts: live.record.attempts + 1,
      startedAt: clock.now(),
      resolvedPlugin: resolved.plugin,
      pluginSha256: resolved.sha256,
      function: resolved.function,
    });
    // Counted before it begins, or a task that takes the node down with it would be tried for ever.
    if (live.stored) await store.write([{ type: "update", task: live.task }], { durable: false });
  }

  async #execute(live: LiveTask): Promise<PluginOutcome> {
    const { record } = live;
    const input = live.input ?? await this.#storedInput(live.task);
    // The plugin host may take the bytes over; nobody else holds on to them.
    live.input = undefined;
    if (live.stopping !== undefined) throw live.stopping;
    const outcome = await inSpan(live.span, () =>
      this.#parts.host.execute({
        plugin: record.plugin,
        function: record.function,
        input,
        contentType: record.contentType,
        limits: record.limits,
        requester: record.requester,
        signal: live.controller.signal,
        onEvent: live.onPluginEvent,
        ...(live.stream !== undefined && { streamOutput: true }),
      }));
    if (live.stream !== undefined && outcome.output.length > 0) {
      await live.stream.push({ type: "chunk", bytes: outcome.output });
    }
    return outcome;
  }

  async #storedInput(task: StoredTask): Promise<Uint8Array> {
    const input = await this.#parts.store.body(task, "input");
    if (input === undefined) {
      throw new NodeError("storage_failed", "The input of this task was lost with a damaged database: submit it again");
    }
    return input;
  }

  /** The record with its receipt. Without one the result is as good: a failure is logged. */
  #withReceipt(record: TaskRecord, live: LiveTask): TaskRecord {
    const { receipts, log } = this.#parts;
    if (receipts === undefined) return record;
    try {
      const terms = live.reservation.terms?.(record.usage!);
      return { ...record, receipt: receipts.sign(record, terms) };
    } catch (error) {
      log.error("A task has no receipt", { id: record.id, error: toNodeError(error).message });
      return record;
    }
  }

  /** Stores the end of a task, its output too unless that is too large, and returns the task as stored. */
  async #saveEnd(ended: StoredTask, output: Uint8Array | undefined): Promise<StoredTask> {
    const { store, settings: { maxStoredOutputBytes: max } } = this.#parts;
    let task = ended;
    const fits = output !== undefined && output.length <= max;
    if (fits) {
      task = { ...ended, storedOutputBytes: output.length };
    } else if (output !== undefined) {
      const why = `its ${output.length} bytes are over the ${max} that this node keeps (tasks.maxStoredOutputBytes)`;
      task = { ...ended, outputMissing: why };
    }
    await store.write([{ type: "end", task, ...(fits && { output }) }], { durable: true });
    return task;
  }

  /** Has a failure stored as soon as the store can, and returns the task as it will be stored. */
  #saveLater(live: LiveTask, record: TaskRecord): StoredTask {
    const { usage: _, outputContentType: __, outputSha256: ___, receipt: ____, nondeterministic: _____, ...rest } =
      record;
    const task = { ...live.task, record: rest };
    if (live.stored) this.#unsaved.set(live, { type: "end", task });
    return task;
  }

  async #handBack(live: LiveTask, error: NodeError): Promise<void> {
    const { store, log, tasks } = this.#parts;
    live.endingBegun = true;
    const { startedAt: _, ...rest } = live.record;
    // The node stopped it, not the task itself: this attempt does not count.
    const attempts = Math.max(0, live.record.attempts - (live.record.state === "running" ? 1 : 0));
    live.task = { ...live.task, record: { ...rest, state: "queued", attempts } };
    try {
      await live.accepted;
      await store.write([{ type: "update", task: live.task }], { durable: true });
    } catch (cause) {
      log.warn("A task could not be handed back to the queue", {
        id: live.record.id,
        error: toNodeError(cause).message,
      });
    }
    live.reservation.release();
    live.finish({ record: live.record, error });
    tasks.remove(live);
  }
}
