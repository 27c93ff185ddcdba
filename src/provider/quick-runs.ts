import {
  type CallContext,
  type NodeError,
  SlotList,
  type TaskLimits,
  type TaskResult,
  type TaskSpec,
  toNodeError,
  type Usage,
} from "../core/mod.ts";
import { QuickRun } from "./quick-run.ts";
import { deadlineError, endState, goneError } from "./task-failures.ts";
import { settle } from "./settle.ts";
import type { TaskParts } from "./task-parts.ts";
import { ANY_CONTENT } from "./task-rules.ts";

/** Synchronous tasks without an id of their requester's: reserve, run, settle, answer. Nothing is stored. */
export class QuickRuns {
  readonly #parts: TaskParts;
  readonly #runs = new SlotList<QuickRun>();

  constructor(parts: TaskParts) {
    this.#parts = parts;
  }

  async run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    const { host, clock, ledger, log, rules, scheduler, metrics } = this.#parts;
    const asked = rules.check(spec);
    this.#parts.checkOpen();
    if (ctx.signal.aborted) throw goneError(ctx.signal);
    const now = clock.now();
    const limits = ctx.deadlineAt === undefined ? asked : untilDeadline(asked, ctx.deadlineAt - now);
    const { plugin, function: fn, contentType, input } = spec;
    const quote = { requester: ctx.requester, plugin, function: fn, limits, inputBytes: input.length };
    const reservation = ledger.reserve(quote);
    const run = new QuickRun(spec, ctx, { seq: this.#parts.nextSeq(now), queuedAt: now });
    let usage: Usage | undefined;
    let letGo: (() => void) | undefined;
    const slot = this.#runs.add(run);
    try {
      if (!scheduler.tryTake(ctx.requester)) {
        letGo = host.keep(plugin);
        await this.#turn(run);
      }
      try {
        if (run.stopping !== undefined) throw run.stopping;
        const outcome = await host.execute({
          plugin,
          function: fn,
          input,
          contentType: contentType === "" ? ANY_CONTENT : contentType,
          limits,
          requester: ctx.requester,
          signal: run.signal,
          span: ctx.span,
        });
        usage = outcome.usage;
        metrics.ended("succeeded", usage.wallMicros);
        return {
          id: this.#parts.newId(),
          output: outcome.output,
          contentType: outcome.contentType,
          usage,
          replayed: false,
          ...(outcome.nondeterministic && { nondeterministic: outcome.nondeterministic }),
        };
      } finally {
        scheduler.release(ctx.requester);
      }
    } catch (error) {
      const failure = run.stopping ?? toNodeError(error);
      if (failure.code !== "overloaded") metrics.ended(endState(failure));
      throw failure;
    } finally {
      this.#runs.remove(slot);
      run.close();
      letGo?.();
      const settled = settle(reservation, { usage, log });
      if (settled !== undefined) await settled;
    }
  }

  /** Stops those that wait, or all. */
  stop(reason: NodeError, which: "waiting" | "all"): void {
    for (const run of [...this.#runs]) {
      if (which === "all" || run.place >= 0) run.stop(reason);
    }
  }

  /** Whether none is left. */
  get size(): number {
    return this.#runs.size;
  }

  #turn(run: QuickRun): Promise<void> {
    this.#parts.checkRoom(run.requester, run.sizeBytes);
    const turn = run.turn(() => this.#parts.scheduler.remove(run));
    this.#parts.scheduler.enqueue(run);
    return turn;
  }
}

/** Limits that end with the caller's deadline, since nobody wants the result later. */
function untilDeadline(limits: TaskLimits, leftMs: number): TaskLimits {
  if (leftMs <= 0) throw deadlineError();
  return leftMs < limits.timeoutMs ? { ...limits, timeoutMs: Math.ceil(leftMs) } : limits;
}
