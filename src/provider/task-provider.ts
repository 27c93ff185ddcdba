import {
  type CallContext,
  currentSpan,
  inSpan,
  isEnd,
  NodeError,
  type StoredTask,
  type TaskEvent,
  type TaskPage,
  type TaskQuery,
  type TaskRecord,
  type TaskResult,
  type TaskService,
  type TaskSpec,
  toNodeError,
} from "../core/mod.ts";
import { EventChannel } from "./event-channel.ts";
import { LiveTask } from "./live-task.ts";
import type { TaskProviderOptions } from "./options.ts";
import { QuickRuns } from "./quick-runs.ts";
import { StreamRuns } from "./stream-runs.ts";
import {
  canceledError,
  endError,
  goneError,
  noOutputError,
  notFoundError,
  shuttingDownError,
} from "./task-failures.ts";
import { TaskIntake } from "./task-intake.ts";
import { TaskParts } from "./task-parts.ts";
import { checkQuery } from "./task-rules.ts";
import { TaskRunner } from "./task-runner.ts";
import { type RecoverResult, TaskUpkeep } from "./task-upkeep.ts";
import { untilAborted } from "./until-aborted.ts";

/** How long plugins get to react when they are stopped at the end of a drain, in milliseconds. */
const STOP_MS = 5000;

/** A task service that runs tasks in this process, with its beginning and end. */
export interface TaskProvider extends TaskService {
  /** Takes up the tasks that the store holds from before. To be called once, when the plugin host is ready. */
  recover(): Promise<RecoverResult>;
  /**
   * Takes nothing new, lets running tasks end for `graceMs`, then stops them. Stored tasks that have not ended go back to the
   * queue in the store, and run after the next start; their callers, and those of other tasks, get `shutting_down`.
   */
  drain(options: { readonly graceMs: number }): Promise<void>;
  /** Drains without grace if that has not happened. The store stays open. */
  close(): Promise<void>;
  /** Drops what has waited or been kept for too long, and stores ends that could not be stored before. Runs by itself too. */
  sweep(): Promise<void>;
}

/** Makes the provider's side of tasks: queue, runs, results. */
export function createTaskProvider(options: TaskProviderOptions): TaskProvider {
  return new LocalTasks(new TaskParts(options));
}

class LocalTasks implements TaskProvider {
  readonly #parts: TaskParts;
  readonly #runner: TaskRunner;
  readonly #intake: TaskIntake;
  readonly #quick: QuickRuns;
  readonly #streams: StreamRuns;
  readonly #upkeep: TaskUpkeep;
  #drained: Promise<void> | undefined;

  constructor(parts: TaskParts) {
    const runner = new TaskRunner(parts);
    const intake = new TaskIntake(parts, runner);
    this.#parts = parts;
    this.#runner = runner;
    this.#intake = intake;
    this.#quick = new QuickRuns(parts);
    this.#streams = new StreamRuns({ parts, intake, runner, leave: (live, signal) => this.#leave(live, signal) });
    this.#upkeep = new TaskUpkeep({ parts, intake, runner, streams: this.#streams });
  }

  run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    if (spec.id === "") return this.#quick.run(spec, ctx);
    return inSpan(ctx.span ?? currentSpan(), () => this.#runStored(spec, ctx));
  }

  runStream(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent> {
    return spec.id === "" ? this.#streams.run(spec, input, ctx) : this.#streams.runStored(spec, input, ctx);
  }

  async submit(spec: TaskSpec, ctx: CallContext): Promise<TaskRecord> {
    const named = spec.id === "" ? { ...spec, id: this.#parts.newId() } : spec;
    const found = await this.#intake.join(named, ctx.requester, { submitted: true });
    if (!(found instanceof LiveTask)) return found.record;
    await found.accepted;
    if (!found.submitted) {
      // A synchronous run of it is under way. From here on it no longer depends on that one's caller.
      found.submitted = true;
      if (found.endingBegun) return (await found.ending).record;
      await this.#parts.store.write([{ type: "update", task: found.task }], { durable: true });
    }
    return found.record;
  }

  get(id: string, ctx: CallContext): Promise<TaskRecord> {
    return this.#find(id, ctx, (found) => found.record);
  }

  async output(id: string, ctx: CallContext): Promise<TaskResult> {
    const found = await this.#find(id, ctx, (found) => found);
    const { record } = found;
    if (found instanceof LiveTask && !isEnd(record.state)) {
      throw noOutputError(record, `it is still ${record.state}; wait for its end`);
    }
    if (found instanceof LiveTask || record.state !== "succeeded") {
      throw noOutputError(record, `it ended as ${record.state}: ${record.message ?? record.reason}`);
    }
    return await this.#storedResult(found);
  }

  async list(query: TaskQuery, ctx: CallContext): Promise<TaskPage> {
    checkQuery(query);
    const { states, pageSize, pageToken } = query;
    const range = { requester: ctx.requester, states, limit: pageSize, after: pageToken };
    const page = await this.#parts.store.list(range);
    // The store hears of the beginning of a run a little later.
    const tasks = page.tasks.map(({ record }) => unsigned(this.#parts.tasks.get(record)?.record ?? record));
    return { tasks, nextPageToken: page.next };
  }

  watch(id: string, ctx: CallContext): AsyncIterable<TaskEvent> {
    let watched: LiveTask | undefined;
    const channel = new EventChannel({
      bufferBytes: this.#parts.settings.streamBufferBytes,
      signal: ctx.signal,
      onClose: () => watched?.removeWatcher(channel),
    });
    this.#find(id, ctx, (found) => {
      if (!(found instanceof LiveTask)) return channel.push({ type: "state", task: found.record });
      if (channel.closed) return;
      watched = found;
      found.addWatcher(channel);
    }).catch((error) => channel.fail(toNodeError(error)));
    return channel;
  }

  async cancel(id: string, ctx: CallContext): Promise<TaskRecord> {
    const found = await this.#find(id, ctx, (found) => found);
    if (!(found instanceof LiveTask)) return found.record;
    this.#runner.stop(found, canceledError());
    const { record, error } = await untilAborted(found.ending, ctx.signal);
    if (error !== undefined && !isEnd(record.state)) throw error;
    return record;
  }

  recover(): Promise<RecoverResult> {
    return this.#upkeep.recover();
  }

  sweep(): Promise<void> {
    return this.#upkeep.sweep();
  }

  drain({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#drained ??= this.#drain(graceMs);
    return this.#drained;
  }

  async close(): Promise<void> {
    await this.drain({ graceMs: 0 });
    await this.#upkeep.close();
    await this.#runner.saveUnsaved();
  }

  async #runStored(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    if (ctx.signal.aborted) throw goneError(ctx.signal);
    const found = await this.#intake.join(spec, ctx.requester, { submitted: false });
    if (!(found instanceof LiveTask)) return await this.#storedResult(found);
    found.callers++;
    const { record, output, error } = await untilAborted(found.ending, ctx.signal)
      .finally(() => this.#leave(found, ctx.signal));
    if (error !== undefined) {
      // A task that has ended will not run again; one that could not be taken, or was handed back, may.
      throw isEnd(record.state)
        ? new NodeError(error.code, error.message, { data: error.data, retryable: false })
        : error;
    }
    return {
      id: record.id,
      output: output!,
      contentType: record.outputContentType!,
      usage: record.usage!,
      replayed: false,
      ...(record.nondeterministic && { nondeterministic: record.nondeterministic }),
      ...(record.receipt && { receipt: record.receipt }),
    };
  }

  /** A caller no longer waits. A task that nobody else waits for, and nobody was promised, is stopped. */
  #leave(live: LiveTask, signal: AbortSignal): void {
    live.callers--;
    const wanted = live.callers > 0 || live.submitted || live.endingBegun;
    if (!wanted) this.#runner.stop(live, goneError(signal));
  }

  #find<T>(id: string, ctx: CallContext, use: (found: LiveTask | StoredTask) => T): Promise<T> {
    return this.#parts.tasks.find({ requester: ctx.requester, id }, (found) => {
      if (found === undefined) throw notFoundError(id);
      return use(this.#intake.revive(found));
    });
  }

  async #storedResult(stored: StoredTask): Promise<TaskResult> {
    const { record } = stored;
    if (record.state !== "succeeded") throw endError(record);
    const output = await this.#parts.store.body(stored, "output");
    if (output === undefined) throw noOutputError(record, stored.outputMissing ?? "it was dropped");
    return {
      id: record.id,
      output,
      contentType: record.outputContentType!,
      usage: record.usage!,
      replayed: true,
      ...(record.nondeterministic && { nondeterministic: record.nondeterministic }),
      ...(record.receipt && { receipt: record.receipt }),
    };
  }

  async #drain(graceMs: number): Promise<void> {
    const { scheduler, tasks, log } = this.#parts;
    this.#parts.draining = true;
    scheduler.pause();
    const reason = shuttingDownError();
    this.#quick.stop(reason, "waiting");
    for (const live of tasks.all()) if (live.place >= 0) this.#runner.handBack(live, reason);
    const over = Promise.all([scheduler.idle(), ...tasks.all().map((live) => live.ending)]);
    if (await settlesWithin(over, graceMs)) return;
    this.#quick.stop(reason, "all");
    for (const live of tasks.all()) this.#runner.handBack(live, reason);
    if (await settlesWithin(over, STOP_MS)) return;
    log.warn("Plugins did not stop in time; their tasks are taken up at the next start", {
      running: scheduler.running,
    });
  }
}

/** A record as lists show it: receipts are longer than all the rest. */
function unsigned({ receipt: _, ...record }: TaskRecord): TaskRecord {
  return record;
}

/** Whether a promise resolves within some time. */
async function settlesWithin(promise: Promise<unknown>, timeMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => timer = setTimeout(resolve, timeMs, false));
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
