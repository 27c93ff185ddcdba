import {
  type CallContext,
  type ErrorCode,
  isGpuNeeded,
  NodeError,
  type PeerNeed,
  type PeerWish,
  type TaskEvent,
  type TaskRecord,
  type TaskResult,
  type TaskService,
  type TaskSpec,
  type TaskStarter,
} from "../core/mod.ts";
import { ReplayInput } from "./replay-input.ts";
import { behind, iteratorOf, lateEvents } from "./tap-events.ts";

/** A provider that fits a task. */
export interface ChosenTarget {
  /** `host:port`. */
  readonly target: string;
  /** Whether the task must say that no GPU is to work on it, or it may cost more than its wish allows. */
  readonly noGpu?: boolean;
}

/** Knows which providers fit a task, the best first. Throws `no_peer_fits`. */
export interface ProviderChooser {
  choose(need: PeerNeed, signal: AbortSignal): Promise<readonly ChosenTarget[]>;
}

export interface AnyTasksOptions {
  readonly wish: PeerWish;
  readonly chooser: ProviderChooser;
  readonly at: (target: string) => TaskService;
  /** Where a task with this id was sent before, if it was. */
  readonly sentTo: (id: string) => Promise<string | undefined>;
  readonly ids: ChosenIds;
}

/** How many providers are tried when one cannot begin a task. */
const MAX_TRIES = 3;
const MAX_IDS = 4096;

/** Where tasks went that have ids, so that the same id goes there again and runs once. */
export class ChosenIds {
  readonly #targets = new Map<string, string>();

  get(id: string): string | undefined {
    return this.#targets.get(id);
  }

  note(id: string, target: string): void {
    if (id === "") return;
    if (this.#targets.size >= MAX_IDS) this.#targets.delete(this.#targets.keys().next().value!);
    this.#targets.set(id, target);
  }

  forget(id: string): void {
    this.#targets.delete(id);
  }
}

/** Begins tasks at the provider that fits best; at the next one when that provider surely has not begun. */
export class AnyTasks implements TaskStarter {
  readonly #options: AnyTasksOptions;

  constructor(options: AnyTasksOptions) {
    this.#options = options;
  }

  run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    return this.#atBest(spec, ctx, (service, fitted) => service.run(fitted, ctx));
  }

  submit(spec: TaskSpec, ctx: CallContext): Promise<TaskRecord> {
    return this.#atBest(spec, ctx, (service, fitted) => service.submit(fitted, ctx));
  }

  /** What came of the input is kept until a provider has begun, so that the next one can have it too; a large input gets one try. */
  runStream(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent> {
    return lateEvents(this.#streamAtBest(spec, new ReplayInput(input), ctx));
  }

  async #streamAtBest(
    spec: TaskSpec,
    input: ReplayInput,
    ctx: CallContext,
  ): Promise<AsyncIterableIterator<TaskEvent>> {
    const { at } = this.#options;
    const begin = async (service: TaskService, fitted: TaskSpec) => {
      const events = iteratorOf(service.runStream(fitted, input.read(), ctx));
      return { events, first: await events.next() };
    };
    try {
      const targets = await this.#targets(spec, ctx, undefined);
      const { events, first } = await this.#firstOf(targets, {
        spec,
        ctx,
        work: (chosen) => begin(at(chosen.target), fittedTo(chosen, spec)),
        mayRepeat: () => input.replayable,
      });
      input.settle();
      return behind(first, events);
    } catch (error) {
      input.close();
      throw error;
    }
  }

  async #atBest<T>(
    spec: TaskSpec,
    ctx: CallContext,
    work: (service: TaskService, fitted: TaskSpec) => Promise<T>,
  ): Promise<T> {
    const targets = await this.#targets(spec, ctx, spec.input.length);
    return await this.#firstOf(targets, {
      spec,
      ctx,
      work: (chosen) => work(this.#options.at(chosen.target), fittedTo(chosen, spec)),
    });
  }

  /** What the first provider gives that does not refuse to begin. */
  async #firstOf<T>(
    targets: readonly ChosenTarget[],
    { spec, ctx, work, mayRepeat = () => true }: {
      readonly spec: TaskSpec;
      readonly ctx: CallContext;
      readonly work: (chosen: ChosenTarget) => Promise<T>;
      /** Whether another can be tried. */
      readonly mayRepeat?: () => boolean;
    },
  ): Promise<T> {
    const { ids } = this.#options;
    const tried = targets.slice(0, MAX_TRIES);
    for (const [place, chosen] of tried.entries()) {
      try {
        ids.note(spec.id, chosen.target);
        return await work(chosen);
      } catch (error) {
        const unbegun = isUnbegun(error);
        if (unbegun) ids.forget(spec.id);
        if (place === tried.length - 1 || ctx.signal.aborted || !unbegun || !mayRepeat()) throw error;
      }
    }
    throw new NodeError("internal", "No provider was tried");
  }

  async #targets(spec: TaskSpec, ctx: CallContext, inputBytes: number | undefined): Promise<readonly ChosenTarget[]> {
    const { wish, chooser, ids, sentTo } = this.#options;
    const { id, plugin, function: fn, limits } = spec;
    const before = id === "" ? undefined : ids.get(id) ?? await sentTo(id);
    if (before !== undefined) return [{ target: before }];
    return await chooser.choose({ ...wish, plugin, function: fn, limits, inputBytes }, ctx.signal);
  }
}

/** The task as it is sent to a provider that was chosen for it. */
export function fittedTo({ noGpu = false }: ChosenTarget, spec: TaskSpec): TaskSpec {
  return noGpu ? { ...spec, limits: { ...spec.limits, noGpu } } : spec;
}

/** Failures of a provider that has not begun, and that say nothing of others. */
const UNBEGUN: ReadonlySet<ErrorCode> = new Set([
  "overloaded",
  "payment_required",
  "plugin_not_found",
  "shutting_down",
  "permission_denied",
  "unauthenticated",
]);

/** Failures to take the task's module, which another provider may. */
const MODULE_REFUSED: ReadonlySet<ErrorCode> = new Set(["storage_full", "input_too_large"]);

/** Whether the provider surely has not begun the task, and another may. */
export function isUnbegun(error: unknown): boolean {
  if (!(error instanceof NodeError)) return false;
  if (UNBEGUN.has(error.code) || isGpuNeeded(error)) return true;
  // A full disk may also take the result of a task that has run.
  if (error.data["taskSent"] === false && MODULE_REFUSED.has(error.code)) return true;
  return error.code === "target_unreachable" && error.data["requestSent"] === false;
}
