import type { Worker } from "node:worker_threads";
import { isDeno, NodeError, startWorker } from "../core/mod.ts";
import type { PluginCall, PluginEvent, RequesterId } from "../core/mod.ts";
import { AnswerSlot } from "./answer-slot.ts";
import { CallSlots, nextCallNumber, shared, SLOT_BYTES, SLOT_STATE, SLOTS, unshared } from "./call-slots.ts";
import type { Turn } from "./call-turns.ts";
import { takePiece } from "./piece-buffers.ts";
import type { AnswerRequest } from "./host-request.ts";
import type { FromWorker, ToWorker, WorkerModule } from "./worker-protocol.ts";

/** What the pool is asked to run. */
export interface PoolCall {
  readonly module: WorkerModule;
  readonly functionIndex: number;
  readonly input: Uint8Array;
  readonly memoryPages: number;
  readonly outputBytes: number;
  readonly timeoutMs: number;
  readonly instructions: number;
  readonly streamsOutput: boolean;
  readonly requester: RequesterId;
  readonly signal: AbortSignal;
  readonly onEvent: PluginCall["onEvent"];
  /** Answers what the plugin asks of the node. */
  readonly onAsk: AnswerRequest;
}

export interface PoolOutcome {
  readonly output: Uint8Array;
  /** Size of the whole output, streamed or not. */
  readonly outputBytes: number;
  readonly wallMicros: number;
  readonly instructions: number;
}

/** A call in the pool, from its arrival to its outcome. It may pass through several workers, but runs in one. */
export interface Job {
  readonly call: PoolCall;
  /** The number of the call's requester; see {@link RequesterNumbers}. */
  readonly requesterNumber: number;
  /** Answers the caller; only the first answer counts. */
  readonly settle: (outcome: PoolOutcome | NodeError) => void;
  /** Its place among the calls of all requesters. */
  readonly turn: Turn;
  settled: boolean;
  /** When the pool first saw it running. */
  seenAt?: number;
  /** The number under which its present worker knows it. */
  callNumber: number;
  /** A large input, once a worker was given it. */
  sharedInput?: SharedArrayBuffer;
}

export interface PoolWorkerOptions {
  readonly warmInstances: number;
  readonly warmBytes: number;
  /** Called when calls ended, or the worker became ready. */
  readonly onProgress: (worker: PoolWorker) => void;
  /** Called when a call has left its slot, with how long it ran; undefined when it was withdrawn. */
  readonly onLeave: (job: Job, ranMs: number | undefined) => void;
  /** Called once, when the thread has ended by itself. Its jobs are still here. */
  readonly onDeath: (worker: PoolWorker, error: Error) => void;
}

/** The running call of a worker, and when the pool first saw it running. */
export interface RunningCall {
  readonly slot: number;
  readonly job: Job;
  readonly since: number;
  /** How long it had run when its caller canceled it. */
  canceledAtMs?: number;
}

/** One worker thread, seen from the pool: what it runs, what waits in its slots, and its messages. */
export class PoolWorker {
  readonly #thread: Worker;
  readonly #slots = new CallSlots();
  readonly #jobs: (Job | undefined)[] = new Array<Job | undefined>(SLOTS).fill(undefined);
  readonly #knownModules = new Set<number>();
  readonly #options: PoolWorkerOptions;
  #callNumber = 0;
  #running: RunningCall | undefined;
  #exited = false;
  #ringsPool = true;
  /** How many of its slots are in use. */
  load = 0;
  /** How long they are expected to take, together. */
  expectedMs = 0;
  ready = false;
  /** A call runs for so long that nothing should wait behind it. */
  stalled = false;
  /** Given up: nothing it does counts any more. */
  retired = false;

  constructor(options: PoolWorkerOptions) {
    this.#options = options;
    const { warmInstances, warmBytes } = options;
    this.#thread = startWorker("src/plugins/worker.ts", {
      workerData: { slots: this.#slots.memory, warmInstances, warmBytes },
      env: {},
      // The Extism SDK loads node:wasi, though nothing here uses it.
      ...!isDeno && { execArgv: ["--disable-warning=ExperimentalWarning"] },
      resourceLimits: { maxOldGenerationSizeMb: 512 },
    });
    this.#thread.on("message", (message: FromWorker) => this.#receive(message));
    this.#thread.on("error", (error: Error) => this.#die(error));
    this.#thread.on("exit", (code) => {
      this.#exited = true;
      this.#die(new Error(`The worker thread ended with code ${code}`));
    });
  }

  /** Whether another call may be given to it. */
  get hasRoom(): boolean {
    return this.ready && !this.stalled && !this.retired && this.load < SLOTS;
  }

  get hasExited(): boolean {
    return this.#exited;
  }

  /** Whether the thread wakes the pool when calls have ended, or the pool looks by itself. */
  set ringsPool(rings: boolean) {
    if (rings === this.#ringsPool) return;
    this.#ringsPool = rings;
    if (rings) this.#slots.silence("pool");
    else this.#slots.rouse("pool");
  }

  /** Puts a job into a free slot. The caller has checked {@link hasRoom}. */
  assign(job: Job): void {
    const slot = this.#jobs.indexOf(undefined);
    const { call } = job;
    job.callNumber = this.#callNumber = nextCallNumber(this.#callNumber);
    this.#jobs[slot] = job;
    this.load++;
    this.expectedMs += job.turn.chargedMs;
    if (!this.#knownModules.has(call.module.id)) {
      this.#knownModules.add(call.module.id);
      this.#post({ type: "module", module: call.module });
    }
    const inputInSlot = call.input.length <= SLOT_BYTES;
    if (!inputInSlot) {
      // Posted before the slot is offered, so that a worker that sees the call has the input or will be woken by it.
      job.sharedInput ??= shared(call.input);
      this.#post({ type: "input", callNumber: job.callNumber, bytes: job.sharedInput });
    }
    this.#slots.offer(slot, job.callNumber, {
      moduleId: call.module.id,
      functionIndex: call.functionIndex,
      memoryPages: call.memoryPages,
      outputBytes: call.outputBytes,
      timeoutMs: call.timeoutMs,
      instructions: call.instructions,
      requesterNumber: job.requesterNumber,
      wantsEvents: call.onEvent !== undefined,
      streamsOutput: call.streamsOutput,
      inputLength: call.input.length,
      inputInSlot,
    }, call.input);
    if (this.#slots.ring("worker")) this.#post(0);
  }

  /** Settles the calls whose outcome lies in the slots. Returns whether there were any. */
  harvest(): boolean {
    let any = false;
    for (let slot = 0; slot < SLOTS; slot++) {
      const job = this.#jobs[slot];
      if (job === undefined || this.#slots.state(slot) !== SLOT_STATE.done) continue;
      const outcome = this.#slots.take(slot);
      this.#release(slot, outcome.wallMicros / 1000);
      job.settle(outcome);
      any = true;
    }
    return any;
  }

  /** Takes back the calls that wait, oldest first; `only` limits which. */
  withdraw(only: (job: Job) => boolean = () => true): Job[] {
    const withdrawn: Job[] = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      const job = this.#jobs[slot];
      if (job === undefined || !only(job)) continue;
      if (!this.#slots.move(slot, job.callNumber, SLOT_STATE.pending, SLOT_STATE.free)) continue;
      this.#release(slot, undefined);
      if (job.call.input.length > SLOT_BYTES) this.#post({ type: "withdrawn", callNumber: job.callNumber });
      withdrawn.push(job);
    }
    return withdrawn.sort((a, b) => a.callNumber - b.callNumber);
  }

  /** The call that runs now, with the time since when it was seen to. */
  observe(nowMs: number): RunningCall | undefined {
    const slot = this.#jobs.findIndex((job, i) => job !== undefined && this.#slots.state(i) === SLOT_STATE.running);
    const job = this.#jobs[slot];
    if (this.#running?.job === job) return this.#running;
    this.stalled = false;
    this.#running = job && { slot, job, since: nowMs };
    if (job !== undefined) job.seenAt = nowMs;
    return this.#running;
  }

  /** Whether this call still runs and everything that ended before it has arrived, so that the worker may be given up for it. */
  isOnlyRunning({ slot, job }: RunningCall): boolean {
    return this.#jobs.every((other, i) => {
      if (other === undefined) return true;
      return i === slot && other === job && this.#slots.state(i) === SLOT_STATE.running;
    });
  }

  /** Asks a running call to stop at its next host call. */
  cancel({ slot }: RunningCall): void {
    this.#slots.cancel(slot);
  }

  /** The worker need not keep instances of a module. */
  forget(moduleId: number): void {
    if (this.#knownModules.delete(moduleId)) this.#post({ type: "forget", moduleId });
  }

  /** Everything that it has not finished. */
  abandonJobs(): { running: Job[]; waiting: Job[] } {
    this.harvest();
    const waiting = this.withdraw();
    const running = this.#jobs.filter((job) => job !== undefined);
    for (const [slot, job] of this.#jobs.entries()) if (job !== undefined) this.#release(slot, ranMs(job));
    return { running, waiting };
  }

  /** Stops the thread. On Deno a thread that loops in a plugin ends only when the plugin's time is over. */
  async terminate(): Promise<void> {
    this.retired = true;
    await this.#thread.terminate();
  }

  #post(message: ToWorker): void {
    this.#thread.postMessage(message);
  }

  #release(slot: number, ranMs: number | undefined): void {
    const job = this.#jobs[slot]!;
    this.#jobs[slot] = undefined;
    this.load--;
    this.expectedMs = this.load === 0 ? 0 : this.expectedMs - job.turn.chargedMs;
    this.#options.onLeave(job, ranMs);
    if (this.#running?.slot === slot) {
      this.#running = undefined;
      this.stalled = false;
    }
  }

  #die(error: Error): void {
    if (this.retired) return;
    this.retired = true;
    this.#options.onDeath(this, error);
  }

  #receive(message: FromWorker): void {
    if (this.retired) return;
    if (message === 0) {
      // From here on the worker rings again; what it finished before is harvested now.
      this.#ringsPool = true;
      this.#slots.silence("pool");
      this.harvest();
      this.#options.onProgress(this);
      return;
    }
    if (message.type === "ready") {
      this.ready = true;
      this.#options.onProgress(this);
      return;
    }
    const slot = this.#jobs.findIndex((job) => job?.callNumber === message.callNumber);
    const job = this.#jobs[slot];
    if (job === undefined) return;
    if (message.type === "ask") return answer(job, message);
    if (message.type === "event") return void deliver(job, message.event);
    if (message.type === "chunk") {
      const { callNumber, length } = message;
      void deliver(job, { type: "chunk", bytes: takePiece(message.piece, length) }).then(() => {
        // By now the call may have ended, and its slot have another.
        if (this.#jobs[slot] === job && job.callNumber === callNumber) this.#slots.markRead(slot, length);
      });
      return;
    }
    // The worker sets the slot's state after it posted the outcome; it does nothing else with it, so it can be freed.
    this.#slots.free(slot);
    this.#release(slot, message.type === "output" ? message.wallMicros / 1000 : ranMs(job));
    job.settle(
      message.type === "output" ? outcomeOf(message) : new NodeError(message.code, message.message),
    );
    this.#options.onProgress(this);
  }
}

/** How long a call ran that did not say so itself, as far as the pool saw. */
function ranMs({ seenAt }: Job): number {
  return seenAt === undefined ? 0 : performance.now() - seenAt;
}

function answer(job: Job, message: Extract<FromWorker, { type: "ask" }>): void {
  void new AnswerSlot(message.answer).fill(job.call.onAsk(message.request));
}

function outcomeOf(message: Extract<FromWorker, { type: "output" }>): PoolOutcome {
  const { output, outputBytes, wallMicros, instructions } = message;
  return { output: unshared(output), outputBytes, wallMicros, instructions };
}

/** Hands an event to the caller; done when the caller is ready for more. */
async function deliver(job: Job, event: PluginEvent): Promise<void> {
  if (job.settled) return;
  try {
    // Log and progress are bounded, so the plugin need not wait for a slow receiver of them.
    await job.call.onEvent?.(event);
  } catch (cause) {
    job.settle(new NodeError("internal", "The receiver of a plugin's events failed", { cause }));
  }
}
