import {
  type ErrorCode,
  isEnd,
  NodeError,
  type TaskEvent,
  type TaskRecord,
  type TaskService,
  type TaskSpec,
  toNodeError,
} from "../core/mod.ts";
import type { Outcome } from "./experience.ts";

/** Hears how each task at a provider went. */
export type OnOutcome = (target: string, outcome: Outcome & { readonly gone?: boolean }) => void;

/** What of a failure is the provider's doing, and how much it counts. Other codes are the task's or the requester's own. */
const WEIGHTS: Partial<Readonly<Record<ErrorCode, number>>> = {
  target_misbehaved: 10,
  data_corrupt: 10,
  target_unreachable: 1,
  target_failed: 1,
  interrupted: 1,
  plugin_unavailable: 1,
  internal: 1,
  permission_denied: 1,
  shutting_down: 0.5,
  deadline_exceeded: 0.5,
  plugin_not_found: 0.5,
  overloaded: 0.2,
};

/** What a failure tells of the provider; nothing when it is not its doing. */
export function failureOutcome(cause: unknown): Outcome & { readonly gone?: boolean } | undefined {
  const error = toNodeError(cause);
  const weight = WEIGHTS[error.code];
  if (weight === undefined) return undefined;
  return { weight, error: error.message, ...(error.code === "target_unreachable" && { gone: true }) };
}

const MAX_FUNCTIONS = 256;
const SHARE = 0.05;
const MAX_ENDS = 4096;

/** What is remembered of tasks, over all providers: how long those of each function take, and which have ended. */
export class TaskMemory {
  readonly #means = new Map<string, number>();
  readonly #ends = new Set<string>();

  /** Whether an end was not heard of before. */
  isNewEnd(task: string): boolean {
    if (this.#ends.has(task)) return false;
    if (this.#ends.size >= MAX_ENDS) this.#ends.delete(this.#ends.values().next().value!);
    this.#ends.add(task);
    return true;
  }

  /** How much longer than others a task took that ended in `ms`, as a natural logarithm; it counts from then on. */
  pace({ plugin, function: fn }: Pick<TaskSpec, "plugin" | "function">, ms: number): number {
    const key = `${plugin}/${fn}`;
    const log = Math.log(Math.max(0.1, ms));
    const mean = this.#means.get(key);
    if (mean === undefined) {
      if (this.#means.size >= MAX_FUNCTIONS) this.#means.delete(this.#means.keys().next().value!);
      this.#means.set(key, log);
      return 0;
    }
    this.#means.set(key, mean + SHARE * (log - mean));
    return log - mean;
  }
}

/** The same service, whose tasks are told of. Speed is this node's own measure: what a provider says of its time counts for nothing. */
export function observeTasks(
  tasks: TaskService,
  { target, memory, onOutcome, elapsedMs = () => performance.now() }: {
    readonly target: string;
    readonly memory: TaskMemory;
    readonly onOutcome: OnOutcome;
    /** A clock that never goes back. */
    readonly elapsedMs?: () => number;
  },
): TaskService {
  const failed = (cause: unknown): never => {
    const outcome = failureOutcome(cause);
    if (outcome !== undefined) onOutcome(target, outcome);
    throw cause;
  };
  const ended = (record: TaskRecord): TaskRecord => {
    const { id, state, reason, message = "" } = record;
    if (!isEnd(state) || !memory.isNewEnd(`${target}/${id}`)) return record;
    const outcome = state === "succeeded" ? { weight: 1 } : reason && failureOutcome(new NodeError(reason, message));
    if (outcome !== undefined) onOutcome(target, outcome);
    return record;
  };
  const passed = (source: AsyncIterable<TaskEvent>) =>
    tap(source, { onEvent: (event) => event.type === "state" && ended(event.task), onFailure: failed });
  return {
    run: (spec, ctx) => {
      const startedAt = elapsedMs();
      return tasks.run(spec, ctx).then((result) => {
        onOutcome(target, { weight: 1, pace: memory.pace(spec, elapsedMs() - startedAt) });
        return result;
      }, failed);
    },
    runStream: (spec, input, ctx) => passed(tasks.runStream(spec, input, ctx)),
    submit: (spec, ctx) => tasks.submit(spec, ctx).then(ended, failed),
    get: (id, ctx) => tasks.get(id, ctx).then(ended),
    output: (id, ctx) => tasks.output(id, ctx),
    list: (query, ctx) => tasks.list(query, ctx),
    watch: (id, ctx) => passed(tasks.watch(id, ctx)),
    cancel: (id, ctx) => tasks.cancel(id, ctx),
  };
}

/** Passes events on. Not a generator, whose `return()` would wait for a pending `next()`. */
function tap(
  source: AsyncIterable<TaskEvent>,
  { onEvent, onFailure }: {
    readonly onEvent: (event: TaskEvent) => void;
    readonly onFailure: (cause: unknown) => never;
  },
): AsyncIterableIterator<TaskEvent> {
  const events = source[Symbol.asyncIterator]();
  return {
    next: () =>
      events.next().then((result) => {
        if (result.done !== true) onEvent(result.value);
        return result;
      }, onFailure),
    return: async () => await events.return?.() ?? { done: true, value: undefined },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
