import type { CallContext, NodeError, RequesterId, TaskSpec } from "../core/mod.ts";
import { expiredError, goneError } from "./task-failures.ts";
import type { Job } from "./task-queue.ts";

/**
 * A synchronous task that is not stored: its caller waits, and nobody else knows its id. Light, since it is the hot path; it
 * follows its caller's signal and can be stopped by the node.
 */
export class QuickRun implements Job {
  readonly requester: RequesterId;
  readonly priority: number;
  readonly seq: number;
  readonly sizeBytes: number;
  readonly queuedAt: number;
  place = -1;
  /** Why the node stops it. */
  stopping: NodeError | undefined;

  readonly #controller = new AbortController();
  readonly #callerSignal: AbortSignal;
  #turn: PromiseWithResolvers<void> | undefined;
  #leaveQueue: (() => void) | undefined;

  constructor(spec: TaskSpec, ctx: CallContext, options: { seq: number; queuedAt: number }) {
    this.requester = ctx.requester;
    this.priority = spec.priority;
    this.sizeBytes = spec.input.length;
    this.seq = options.seq;
    this.queuedAt = options.queuedAt;
    this.#callerSignal = ctx.signal;
    ctx.signal.addEventListener("abort", this);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for `start`. Rejects when the run is stopped before; `leaveQueue` is called then. */
  turn(leaveQueue: () => void): Promise<void> {
    this.#leaveQueue = leaveQueue;
    this.#turn = Promise.withResolvers<void>();
    return this.#turn.promise;
  }

  start(): void {
    this.#leaveQueue = undefined;
    this.#turn!.resolve();
  }

  expire(): void {
    this.stop(expiredError());
  }

  stop(reason: NodeError): void {
    if (this.stopping !== undefined) return;
    this.stopping = reason;
    this.#leaveQueue?.();
    this.#turn?.reject(reason);
    this.#controller.abort(reason);
  }

  /** Lets go of the caller's signal, whose life may be longer. */
  close(): void {
    this.#callerSignal.removeEventListener("abort", this);
  }

  handleEvent(): void {
    this.stop(goneError(this.#callerSignal));
  }
}
