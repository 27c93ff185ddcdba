import {
  type CallContext,
  gpuNeeded,
  isEnd,
  type RequesterId,
  sha256Hex,
  type StoredTask,
  taskDigest,
  type TaskLimits,
  type TaskRecord,
  type TaskSpec,
  toNodeError,
} from "../core/mod.ts";
import { type InputSource, LiveTask } from "./live-task.ts";
import type { Reservation } from "./ports.ts";
import { fullError, takenError } from "./task-failures.ts";
import type { TaskParts } from "./task-parts.ts";
import { ANY_CONTENT } from "./task-rules.ts";
import type { TaskRunner } from "./task-runner.ts";

/** Brings tasks to life: new ones, ones that are known already, and ones that an earlier process left. */
export class TaskIntake {
  readonly #parts: TaskParts;
  readonly #runner: TaskRunner;

  constructor(parts: TaskParts, runner: TaskRunner) {
    this.#parts = parts;
    this.#runner = runner;
  }

  /**
   * The task that a spec with an id names: one that lives, or one that has ended; when there is none, it is added and
   * stored. Throws `already_exists` when the id belongs to something else. A `submitted` one outlives its callers.
   */
  join(
    spec: TaskSpec,
    requester: RequesterId,
    options: { readonly submitted: boolean },
  ): Promise<LiveTask | StoredTask> {
    const limits = this.#parts.rules.check(spec);
    const inputSha256 = sha256Hex(spec.input);
    const digest = taskDigest(spec, inputSha256);
    return this.#parts.tasks.find({ requester, id: spec.id }, (found) => {
      if (found === undefined) {
        const task = this.#newTask(spec, { requester, limits, inputSha256, digest });
        return this.#add(task, spec.input, options.submitted);
      }
      const stored = found instanceof LiveTask ? found.task : found;
      if (stored.digest !== digest) throw takenError(spec.id);
      return this.revive(found);
    });
  }

  /** A task with a stream of input, which is not stored. `stream` is set by the caller before it can start. */
  stream(
    spec: TaskSpec,
    ctx: CallContext,
    input: AsyncIterable<Uint8Array>,
    prepare: (live: LiveTask) => void,
  ): LiveTask {
    const { requester } = ctx;
    const limits = this.#parts.rules.check(spec);
    const named = { ...spec, id: this.#parts.newId() };
    const task = this.#newTask(named, { requester, limits, inputSha256: "", digest: "" });
    this.#parts.checkOpen();
    if (limits.noGpu === true) {
      const { plugin, gpu } = this.#parts.host.resolve(spec.plugin, spec.function, requester);
      if (gpu === true) throw gpuNeeded(plugin);
    }
    const reservation = this.#reserve(task, undefined);
    const hasSlot = this.#takeSlotOrRoom(requester, { reservation, sizeBytes: 0 });
    const live = this.#liven(task, { input, stored: false, reservation });
    this.#parts.tasks.add(live);
    prepare(live);
    if (hasSlot) live.start();
    else this.#parts.scheduler.enqueue(live);
    return live;
  }

  /** What was found, alive when it has not ended. A process that failed to write its end may have left it so. */
  revive(found: LiveTask | StoredTask): LiveTask | StoredTask {
    if (found instanceof LiveTask || isEnd(found.record.state)) return found;
    this.#parts.checkOpen();
    return this.adopt(found);
  }

  /** Puts a stored task that has not ended back in the queue. */
  adopt(stored: StoredTask): LiveTask {
    const task: StoredTask = { ...stored, record: { ...stored.record, state: "queued" } };
    let reservation: Reservation;
    try {
      reservation = this.#reserve(task, task.inputBytes);
    } catch (error) {
      const live = this.lost(task);
      void this.#runner.end(live, { error: toNodeError(error) });
      return live;
    }
    const live = this.#liven(task, { input: undefined, stored: true, reservation });
    live.submitted = true;
    this.#parts.tasks.add(live);
    this.#parts.scheduler.enqueue(live);
    return live;
  }

  /** A stored task that will not run again, alive so that it can be ended. */
  lost(stored: StoredTask): LiveTask {
    const live = this.#liven(stored, { input: undefined, stored: true, reservation: NO_RESERVATION });
    this.#parts.tasks.add(live);
    return live;
  }

  #add(task: StoredTask, input: Uint8Array, submitted: boolean): LiveTask {
    const { host, scheduler, store, tasks, clock } = this.#parts;
    this.#parts.checkOpen();
    this.#checkStored(task.record.requester, input.length);
    const { record } = task;
    const { plugin, sha256, function: fn, gpu } = host.resolve(record.plugin, record.function, record.requester);
    if (record.limits.noGpu === true && gpu === true) throw gpuNeeded(plugin);
    const reservation = this.#reserve(task, input.length);
    const hasSlot = this.#takeSlotOrRoom(task.record.requester, { reservation, sizeBytes: input.length });
    const resolved = { resolvedPlugin: plugin, pluginSha256: sha256, function: fn };
    // With a free slot the first attempt is counted in the same write that adds the task.
    const begun = hasSlot ? { state: "running", attempts: 1, startedAt: clock.now() } as const : {};
    const stored = { ...task, record: { ...task.record, ...resolved, ...begun } };
    // One that waits reads its input back from the store: the queue holds no inputs in memory.
    const live = this.#liven(stored, { input: hasSlot ? input : undefined, stored: true, reservation });
    live.submitted = submitted;
    live.accepted = store.write([{ type: "add", task: stored, input }], { durable: submitted });
    live.accepted.catch((error) => {
      // When the task has a slot, the runner gives it back.
      scheduler.remove(live);
      tasks.remove(live);
      reservation.release();
      live.finish({ record: live.record, error: toNodeError(error) });
    });
    tasks.add(live);
    if (hasSlot) live.start();
    else scheduler.enqueue(live);
    return live;
  }

  /** Throws `storage_full` when no more of a requester's tasks are to be kept. */
  #checkStored(requester: RequesterId, inputBytes: number): void {
    const { store, settings: { maxStoredBytes, maxStoredBytesPerRequester, retentionMs } } = this.#parts;
    const { bytes, ofRequester } = store.room(requester);
    const full = ofRequester + inputBytes > maxStoredBytesPerRequester
      ? {
        takenBytes: ofRequester,
        maxBytes: maxStoredBytesPerRequester,
        whose: "those of this requester",
        setting: "tasks.maxStoredBytesPerRequester",
      }
      : bytes + inputBytes > maxStoredBytes
      ? { takenBytes: bytes, maxBytes: maxStoredBytes, whose: "those that are kept", setting: "tasks.maxStoredBytes" }
      : undefined;
    if (full === undefined) return;
    this.#parts.metrics.rejected();
    throw fullError({ ...full, retentionMs });
  }

  /** Takes a slot, true, or makes sure that there is room to wait for one, false. Throws `overloaded`. */
  #takeSlotOrRoom(
    requester: RequesterId,
    { reservation, sizeBytes }: { readonly reservation: Reservation; readonly sizeBytes: number },
  ): boolean {
    if (this.#parts.scheduler.tryTake(requester)) return true;
    try {
      this.#parts.checkRoom(requester, sizeBytes);
    } catch (error) {
      reservation.release();
      throw error;
    }
    return false;
  }

  #newTask(spec: TaskSpec, known: {
    readonly requester: RequesterId;
    readonly limits: TaskLimits;
    readonly inputSha256: string;
    readonly digest: string;
  }): StoredTask {
    const now = this.#parts.clock.now();
    const record: TaskRecord = {
      id: spec.id,
      requester: known.requester,
      plugin: spec.plugin,
      resolvedPlugin: "",
      pluginSha256: "",
      function: spec.function,
      contentType: spec.contentType === "" ? ANY_CONTENT : spec.contentType,
      limits: known.limits,
      priority: spec.priority,
      state: "queued",
      createdAt: now,
      attempts: 0,
      inputSha256: known.inputSha256,
    };
    return { record, digest: known.digest, seq: this.#parts.nextSeq(now), inputBytes: spec.input.length };
  }

  #liven(task: StoredTask, options: { input: InputSource; stored: boolean; reservation: Reservation }): LiveTask {
    return new LiveTask({
      ...options,
      task,
      queuedAt: this.#parts.clock.now(),
      letGo: this.#parts.host.keep(task.record.plugin),
      onStart: (live) => void this.#runner.run(live),
      onExpire: (live) => this.#runner.expire(live),
    });
  }

  #reserve({ record }: StoredTask, inputBytes: number | undefined): Reservation {
    const { requester, plugin, function: fn, limits } = record;
    return this.#parts.ledger.reserve({ requester, plugin, function: fn, limits, inputBytes });
  }
}

const NO_RESERVATION: Reservation = { settle() {}, release() {} };
