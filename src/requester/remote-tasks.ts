import { createHash } from "node:crypto";
import {
  type CallContext,
  checkTaskId,
  type Clock,
  isEnd,
  isGpuNeeded,
  type Log,
  newUlid,
  NodeError,
  type RequesterId,
  sha256Hex,
  type StoredRequest,
  taskDigest,
  type TaskEvent,
  type TaskPage,
  type TaskQuery,
  type TaskRecord,
  type TaskResult,
  type TaskService,
  type TaskSpec,
  toNodeError,
  type Usage,
} from "../core/mod.ts";
import type { Ledger, Reservation } from "./ports.ts";
import type { ReceiptCheck } from "./receipt-check.ts";
import { ReplayInput } from "./replay-input.ts";
import type { RequestBook } from "./request-book.ts";
import { isBegun, isDoubtful, misbehaved, takenError } from "./request-failures.ts";
import { recordOfDoubt, recordOfFailure, recordOfResult, type SentRecord, type SentRun } from "./run-record.ts";
import { behind, lateEvents, tapEvents } from "./tap-events.ts";

export interface RemoteTasksOptions {
  readonly target: string;
  /** The provider, over the wire. */
  readonly remote: TaskService;
  /** The node's own provider, whose ids must not be used twice. */
  readonly local: TaskService;
  readonly book: RequestBook;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly receipts: ReceiptCheck;
  /** This node, as the requester of all its tasks. */
  readonly self: RequesterId;
  /** The call as this node's own. */
  readonly asSelf: (ctx: CallContext) => CallContext;
}

/** Tasks at one provider: reserve the most it may cost, send, check the answer, commit or release. */
export class RemoteTasks implements TaskService {
  readonly #options: RemoteTasksOptions;
  /** Submissions under way, by id: a second one with the same id waits for the first. */
  readonly #submitting = new Map<string, Promise<TaskRecord>>();

  constructor(options: RemoteTasksOptions) {
    this.#options = options;
  }

  async run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    try {
      return await this.#runOrNeedGpu(spec, ctx);
    } catch (error) {
      // The provider has not begun it. Its books or its credit were not what this node thought; now they are known.
      if (!isUnpaid(error)) throw error;
      return await this.#runOrNeedGpu(spec, ctx);
    }
  }

  runStream(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent> {
    const begin = (reservation: Reservation) =>
      lacksGpu(reservation, spec)
        ? lateEvents(this.#streamOrNeedGpu(spec, new ReplayInput(input), { ctx, reservation }))
        : this.#runStream(spec, input, { ctx, reservation });
    const reserving = this.#reserve(spec, undefined);
    return reserving instanceof Promise ? lateEvents(reserving.then(begin)) : begin(reserving);
  }

  async submit(spec: TaskSpec, ctx: CallContext): Promise<TaskRecord> {
    const named = spec.id === "" ? { ...spec, id: newUlid(this.#options.clock.now()) } : spec;
    // One after the other: the second finds what the first recorded.
    await this.#submitting.get(named.id)?.catch(() => {});
    const submitting = this.#submit(named, ctx);
    this.#submitting.set(named.id, submitting);
    try {
      return await submitting;
    } finally {
      if (this.#submitting.get(named.id) === submitting) this.#submitting.delete(named.id);
    }
  }

  async get(id: string, ctx: CallContext): Promise<TaskRecord> {
    const { remote, book, target, asSelf } = this.#options;
    return await book.noteIfKnown(target, await remote.get(id, asSelf(ctx)));
  }

  async output(id: string, ctx: CallContext): Promise<TaskResult> {
    const { remote, book, target, asSelf, receipts } = this.#options;
    const result = await remote.output(id, asSelf(ctx));
    const request = await book.get(id);
    const inputSha256 = request?.record.target === target ? request.record.inputSha256 : undefined;
    return await receipts.check(result, { target, taskId: id, inputSha256, ...saidOf(result) });
  }

  async list(query: TaskQuery, ctx: CallContext): Promise<TaskPage> {
    const { remote, target, asSelf } = this.#options;
    const page = await remote.list(query, asSelf(ctx));
    return { ...page, tasks: page.tasks.map((task) => ({ ...task, target })) };
  }

  watch(id: string, ctx: CallContext): AsyncIterable<TaskEvent> {
    const { remote, book, target, asSelf } = this.#options;
    return tapEvents(remote.watch(id, asSelf(ctx)), {
      onEvent: async (event) => {
        if (event.type !== "state") return event;
        return { ...event, task: await book.noteIfKnown(target, event.task) };
      },
    });
  }

  async cancel(id: string, ctx: CallContext): Promise<TaskRecord> {
    const { remote, book, target, asSelf } = this.#options;
    return await book.noteIfKnown(target, await remote.cancel(id, asSelf(ctx)));
  }

  /** Sends a recorded submission, again if need be, and notes the answer. Throws what the provider or the way to it gave. */
  async send(request: StoredRequest, input: Uint8Array, ctx: CallContext): Promise<TaskRecord> {
    const { remote, book, target, asSelf } = this.#options;
    const { id, plugin, function: fn, contentType, priority } = request.record;
    const spec = { id, plugin, function: fn, contentType, priority, limits: request.askedLimits, input };
    const reserve = (limits = spec.limits) => book.reserve({ ...spec, limits, target, inputBytes: input.length });
    let reservation = await reserve();
    let record: TaskRecord;
    try {
      record = await remote.submit(asReserved(spec, reservation), asSelf(ctx));
    } catch (error) {
      if (!isGpuNeeded(error) || !lacksGpu(reservation, spec)) throw error;
      await book.release(id, error);
      reservation = await reserve();
      record = await remote.submit(asReserved(spec, reservation), asSelf(ctx));
    }
    let noGpu = reservation.noGpu === true;
    if (noGpu && record.limits.noGpu !== true) {
      // The provider has it from before this node forgot that: with a GPU.
      noGpu = false;
      await book.release(id);
      await reserve({ ...spec.limits, noGpu });
    }
    const askedLimits = noGpu ? { ...request.askedLimits, noGpu } : request.askedLimits;
    return await book.note({ ...request, askedLimits }, record);
  }

  /** Runs a task; with money for a GPU too, once its provider has said that the plugin works on one. */
  async #runOrNeedGpu(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    try {
      return await this.#run(spec, ctx);
    } catch (error) {
      if (!isGpuNeeded(error) || spec.limits.noGpu === true) throw error;
      return await this.#run(spec, ctx);
    }
  }

  /** As {@link #runOrNeedGpu}, for a stream whose reservation has nothing for a GPU. */
  async #streamOrNeedGpu(
    spec: TaskSpec,
    input: ReplayInput,
    { ctx, reservation }: { readonly ctx: CallContext; readonly reservation: Reservation },
  ): Promise<AsyncIterableIterator<TaskEvent>> {
    try {
      const events = this.#runStream(spec, input.read(), { ctx, reservation });
      const first = await events.next();
      input.settle();
      return behind(first, events);
    } catch (error) {
      if (!isGpuNeeded(error) || !input.replayable) {
        input.close();
        throw error;
      }
    }
    const events = this.#runStream(spec, input.read(), { ctx, reservation: await this.#reserve(spec, undefined) });
    input.settle();
    return events;
  }

  async #run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    const { remote, target, asSelf, receipts, clock } = this.#options;
    const reserving = this.#reserve(spec, spec.input.length);
    const reservation = reserving instanceof Promise ? await reserving : reserving;
    const beganAt = clock.now();
    let result: TaskResult;
    let outputSha256 = "";
    try {
      result = await remote.run(asReserved(spec, reservation), asSelf(ctx));
      checkResult(result, { spec, target });
      if (result.receipt !== undefined) {
        const said = { taskId: result.id, inputSha256: sha256Hex(spec.input), ...saidOf(result) };
        outputSha256 = said.outputSha256;
        result = await receipts.check(result, { target, ...said });
      }
    } catch (error) {
      reservation.release(error);
      await this.#keepFailure(spec, { beganAt, error: toNodeError(error), ctx });
      throw error;
    }
    await this.#commit(reservation, result.usage);
    await this.#keep(
      spec,
      { beganAt, ctx },
      (run) => recordOfResult(run, result, outputSha256 || sha256Hex(result.output)),
    );
    return result;
  }

  #keepFailure(spec: TaskSpec, { error, ...run }: BegunRun & { readonly error: NodeError }): Promise<void> {
    if (isBegun(error)) return this.#keep(spec, run, (sent) => recordOfFailure(sent, error));
    return isDoubtful(error) ? this.#keep(spec, run, recordOfDoubt) : Promise.resolve();
  }

  /** Keeps a task that was waited for in the history, if its provider keeps it too: when it has an id. */
  async #keep(spec: TaskSpec, { beganAt, ctx }: BegunRun, recordOf: (run: SentRun) => SentRecord): Promise<void> {
    if (spec.id === "") return;
    const { book, target, self, clock } = this.#options;
    // A target that is this very node has it in its own list.
    if (await this.#isOwn(spec.id, ctx)) return;
    const inputSha256 = sha256Hex(spec.input);
    const record = recordOf({ spec, self, target, inputSha256, beganAt, endedAt: clock.now() });
    await book.keep(record, { spec, digest: taskDigest(spec, inputSha256) });
  }

  #runStream(
    spec: TaskSpec,
    input: AsyncIterable<Uint8Array>,
    { ctx, reservation }: { readonly ctx: CallContext; readonly reservation: Reservation },
  ): AsyncIterableIterator<TaskEvent> {
    const { remote, target, asSelf, receipts, book, clock, self } = this.#options;
    const beganAt = clock.now();
    let ended: TaskRecord | undefined;
    let used: Usage | undefined;
    // Only what is stored has a receipt to hold it against.
    const output = spec.id === "" ? undefined : createHash("sha256");
    return tapEvents(remote.runStream(asReserved(spec, reservation), input, asSelf(ctx)), {
      onEvent: async (event) => {
        if (event.type === "chunk") output?.update(event.bytes);
        if (event.type !== "state") return event;
        const came = output !== undefined && ended === undefined && event.task.state === "succeeded"
          ? { ...event.task, outputSha256: output.digest("hex") }
          : event.task;
        const task = await receipts.checked(came, { target, id: spec.id || event.task.id });
        if (isEnd(task.state)) ended = task;
        if (task.state === "succeeded") used = task.usage;
        return { ...event, task: { ...task, target } };
      },
      onClose: async (error) => {
        if (used !== undefined) await this.#commit(reservation, used);
        else if (isGpuNeeded(error)) reservation.release(error);
        else reservation.release(ended === undefined ? unheard(target) : undefined);
        if (ended === undefined || spec.id === "" || ended.id !== spec.id || await this.#isOwn(spec.id, ctx)) return;
        await book.keep({ ...ended, requester: self, target, createdAt: beganAt }, {
          spec,
          digest: taskDigest(spec, ended.inputSha256),
        });
      },
    });
  }

  async #submit(spec: TaskSpec, ctx: CallContext): Promise<TaskRecord> {
    const { book, target } = this.#options;
    checkTaskId(spec.id);
    const inputSha256 = sha256Hex(spec.input);
    const digest = taskDigest(spec, inputSha256);
    const known = await book.get(spec.id);
    if (known === undefined) await this.#checkFree(spec.id, ctx);
    else if (known.record.target !== target) throw takenError(spec.id, `one that was sent to ${known.record.target}`);
    else if (known.digest !== digest) throw takenError(spec.id, "one with another plugin, function, input or limits");
    else if (isEnd(known.record.state)) return known.record;
    const request = known === undefined
      ? await book.open(spec, { target, digest, inputSha256 })
      : askedAgain(known, spec);
    try {
      return await this.send(request, spec.input, ctx);
    } catch (cause) {
      const error = toNodeError(cause);
      // What the provider has is its own; only a submission that it cannot have is forgotten.
      if (known?.phase === "sent") throw error;
      if (!isDoubtful(error)) {
        await book.remove(request);
        throw error;
      }
      await book.doubt(request);
      const { code, message, data, retryable, retryAfterMs } = error;
      throw new NodeError(
        code,
        `${message}. The task may have been accepted: ask for ${spec.id}, or submit it again under this id`,
        { cause, data: { ...data, id: spec.id }, retryable, ...(retryAfterMs !== undefined && { retryAfterMs }) },
      );
    }
  }

  async #checkFree(id: string, ctx: CallContext): Promise<void> {
    if (await this.#isOwn(id, ctx)) throw takenError(id, "one that this node runs itself");
  }

  /** Whether this node itself runs or ran a task with this id. */
  async #isOwn(id: string, ctx: CallContext): Promise<boolean> {
    const { local, asSelf } = this.#options;
    try {
      await local.get(id, asSelf(ctx));
      return true;
    } catch (error) {
      if (error instanceof NodeError && error.code === "not_found") return false;
      throw error;
    }
  }

  #reserve(spec: TaskSpec, inputBytes: number | undefined): Reservation | Promise<Reservation> {
    const { ledger, target } = this.#options;
    const { plugin, function: fn, limits } = spec;
    return ledger.reserve({ target, plugin, function: fn, limits, inputBytes });
  }

  /** Pays. A failure to do so is a fault of this node: it is logged, and the result counts. */
  async #commit(reservation: Reservation, usage: Usage): Promise<void> {
    try {
      await reservation.commit(usage);
    } catch (error) {
      this.#options.log.error("A task could not be paid", { error: toNodeError(error).message });
    }
  }
}

/** A run that its caller waits for. */
interface BegunRun {
  /** Milliseconds since the epoch. */
  readonly beganAt: number;
  readonly ctx: CallContext;
}

/** A request in the words of its spec: the provider has put its defaults in their place, and knows a task by what was asked. */
function askedAgain(request: StoredRequest, { plugin, function: fn, contentType, priority }: TaskSpec): StoredRequest {
  return { ...request, record: { ...request.record, plugin, function: fn, contentType, priority } };
}

/** Whether the provider wants to be paid first. */
function isUnpaid(error: unknown): boolean {
  return error instanceof NodeError && error.code === "payment_required" && error.retryable;
}

/** Whether the task must tell its provider that there is no money for a GPU, which its caller did not ask for. */
function lacksGpu(reservation: Reservation, { limits }: TaskSpec): boolean {
  return reservation.noGpu === true && limits.noGpu !== true;
}

/** The task as it is sent with this money set aside for it. */
function asReserved(spec: TaskSpec, reservation: Reservation): TaskSpec {
  return lacksGpu(reservation, spec) ? { ...spec, limits: { ...spec.limits, noGpu: true } } : spec;
}

/** Nobody knows how the task ended. */
function unheard(target: string): NodeError {
  return new NodeError("interrupted", `The stream of a task at ${target} was left before the task had ended`);
}

/** What an answer says of itself. */
function saidOf({ output, usage, nondeterministic }: TaskResult) {
  return { outputSha256: sha256Hex(output), usage, nondeterministic };
}

function checkResult(result: TaskResult, { spec, target }: { readonly spec: TaskSpec; readonly target: string }): void {
  if (spec.id !== "" && result.id !== spec.id) {
    throw misbehaved(target, `it answered with task ${JSON.stringify(result.id.slice(0, 200))} for ${spec.id}`);
  }
  const max = spec.limits.outputBytes ?? 0;
  if (max > 0 && result.output.length > max) {
    throw misbehaved(target, `it answered ${result.output.length} bytes where at most ${max} were asked for`);
  }
}
