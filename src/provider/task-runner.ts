import {
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
      scheduler.release();
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
    scheduler.release();
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
    const record: TaskRecord = {
      ...live.record,
      state: error === undefined ? "succeeded" : endState(error),
      finishedAt,
      expiresAt: finishedAt + settings.retentionMs,
      ...(error !== undefined && { reason: error.code, message: error.message }),
      ...(outcome !== undefined && { usage: outcome.usage, outputContentType: outcome.contentType }),
      ...(outcome !== undefined && live.stored && { outputSha256: sha256Hex(outcome.output) }),
    };
    let ending: Ending = { record, ...(error && { error }), ...(outcome && { output: outcome.output }) };
    live.task = { ...live.task, record };
    try {
      if (live.stored) await this.#saveEnd(live, outcome?.output);
      ending = { ...ending, record: live.record };
    } catch (cause) {
      const failure = toNodeError(cause);
      log.error("The end of a task could not be stored; its result is lost", { id: record.id, error: failure.message });
      ending = { record: this.#saveLater(live, failure), error: failure };
    }
    await settle(live.reservation, { usage: ending.error === undefined ? outcome?.usage : undefined, log });
    metrics.ended(ending.record.state as TaskEnd, outcome?.usage.wallMicros);
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
    const resolved = host.resolve(live.record.plugin, live.record.function);
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
    const outcome = await this.#parts.host.execute({
      plugin: record.plugin,
      function: record.function,
      input,
      contentType: record.contentType,
      limits: record.limits,
      signal: live.controller.signal,
      onEvent: live.onPluginEvent,
      ...(live.stream !== undefined && { streamOutput: true }),
    });
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

  async #saveEnd(live: LiveTask, output: Uint8Array | undefined): Promise<void> {
    const { store, settings } = this.#parts;
    const max = settings.maxStoredOutputBytes;
    if (output === undefined) return await store.write([{ type: "end", task: live.task }], { durable: true });
    if (output.length > max) {
      const outputMissing =
        `its ${output.length} bytes are over the ${max} that this node keeps (tasks.maxStoredOutputBytes)`;
      live.task = { ...live.task, outputMissing };
      return await store.write([{ type: "end", task: live.task }], { durable: true });
    }
    live.task = { ...live.task, storedOutputBytes: output.length };
    await store.write([{ type: "end", task: live.task, output }], { durable: true });
  }

  /** Marks a task as failed in memory, and its record as to be stored when the store can. */
  #saveLater(live: LiveTask, error: NodeError): TaskRecord {
    const { usage: _, outputContentType: __, outputSha256: ___, ...rest } = live.record;
    const record: TaskRecord = { ...rest, state: "failed", reason: error.code, message: error.message };
    const { storedOutputBytes: ____, ...task } = live.task;
    live.task = { ...task, record };
    if (live.stored) this.#unsaved.set(live, { type: "end", task: live.task });
    return record;
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
