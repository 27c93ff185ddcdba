import {
  type CallContext,
  type Clock,
  isEnd,
  NodeError,
  type StoredRequest,
  type TaskEvent,
  type TaskPage,
  taskPosition,
  type TaskQuery,
  type TaskRecord,
  type TaskResult,
  type TaskService,
  type TaskSpec,
  toNodeError,
} from "../core/mod.ts";
import type { RequestStore } from "./ports.ts";
import type { RequestBook } from "./request-book.ts";
import { takenError } from "./request-failures.ts";

export interface OwnTasksOptions {
  readonly local: TaskService;
  readonly store: RequestStore;
  readonly book: RequestBook;
  readonly clock: Clock;
  /** The service at a provider. */
  readonly at: (target: string) => TaskService;
  readonly asSelf: (ctx: CallContext) => CallContext;
}

/** This node's own tasks: those it runs itself, and those it sent elsewhere, as if they were in one place. */
export class OwnTasks implements TaskService {
  readonly #options: OwnTasksOptions;

  constructor(options: OwnTasksOptions) {
    this.#options = options;
  }

  run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    const { local, asSelf } = this.#options;
    if (spec.id === "") return local.run(spec, asSelf(ctx));
    return this.#checkFree(spec.id).then(() => local.run(spec, asSelf(ctx)));
  }

  runStream(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent> {
    const { local, asSelf } = this.#options;
    if (spec.id === "") return local.runStream(spec, input, asSelf(ctx));
    return late(this.#checkFree(spec.id).then(() => local.runStream(spec, input, asSelf(ctx))));
  }

  async submit(spec: TaskSpec, ctx: CallContext): Promise<TaskRecord> {
    if (spec.id !== "") await this.#checkFree(spec.id);
    return await this.#options.local.submit(spec, this.#options.asSelf(ctx));
  }

  /** A task that was sent elsewhere is asked for there; when nobody answers, its last known state is given, and says so. */
  async get(id: string, ctx: CallContext): Promise<TaskRecord> {
    const { local, book, asSelf } = this.#options;
    const request = await book.get(id);
    if (request === undefined) return await local.get(id, asSelf(ctx));
    if (isEnd(request.record.state)) return request.record;
    try {
      return await this.#options.at(request.record.target).get(id, ctx);
    } catch (cause) {
      const error = toNodeError(cause);
      if (ctx.signal.aborted) throw error;
      return await this.#lastKnown(request, error);
    }
  }

  async output(id: string, ctx: CallContext): Promise<TaskResult> {
    return await (await this.#where(id)).output(id, this.#options.asSelf(ctx));
  }

  /** Tasks from both places, newest first; those sent elsewhere with their last known state. */
  async list(query: TaskQuery, ctx: CallContext): Promise<TaskPage> {
    const { local, store, asSelf } = this.#options;
    const [here, sent] = await Promise.all([
      local.list(query, asSelf(ctx)),
      store.list({ states: query.states, limit: query.pageSize, after: query.pageToken }),
    ]);
    // A provider that is this very node lists its tasks as well; the request knows more.
    const shadowed = await store.getMany(here.tasks.map((task) => task.id));
    const tasks = [
      ...here.tasks.filter((_, index) => shadowed[index] === undefined),
      ...sent.requests.map(({ record: { receipt: _, ...record } }) => record),
    ].sort((a, b) => taskPosition(a) < taskPosition(b) ? 1 : -1);
    // Behind the end of a source's page there may be more of it, so nothing older may be shown yet.
    const horizon = here.nextPageToken > sent.next ? here.nextPageToken : sent.next;
    const known = tasks.filter((task) => taskPosition(task) >= horizon);
    const page = known.slice(0, query.pageSize);
    return { tasks: page, nextPageToken: page.length < known.length ? taskPosition(page.at(-1)!) : horizon };
  }

  watch(id: string, ctx: CallContext): AsyncIterable<TaskEvent> {
    return late(this.#where(id).then((service) => service.watch(id, this.#options.asSelf(ctx))));
  }

  async cancel(id: string, ctx: CallContext): Promise<TaskRecord> {
    return await (await this.#where(id)).cancel(id, this.#options.asSelf(ctx));
  }

  async #where(id: string): Promise<TaskService> {
    const request = await this.#options.book.get(id);
    return request === undefined ? this.#options.local : this.#options.at(request.record.target);
  }

  async #checkFree(id: string): Promise<void> {
    const request = await this.#options.book.get(id);
    if (request !== undefined) throw takenError(id, `one that was sent to ${request.record.target}`);
  }

  async #lastKnown(request: StoredRequest, error: NodeError): Promise<TaskRecord> {
    const { record, phase } = request;
    if (error.code === "not_found" && phase === "doubtful") {
      await this.#options.book.remove(request);
      throw error;
    }
    const message = error.code === "not_found"
      ? `The provider ${record.target} no longer knows this task; this is its last known state`
      : `The provider ${record.target} cannot be asked now (${error.message}); this is the last known state`;
    return { ...record, message };
  }
}

/** The events of a source that is still being found. */
function late(found: Promise<AsyncIterable<TaskEvent>>): AsyncIterableIterator<TaskEvent> {
  // An error shows at the first read.
  found.catch(() => {});
  let events: Promise<AsyncIterator<TaskEvent>> | undefined;
  return {
    next: async () => {
      events ??= found.then((stream) => stream[Symbol.asyncIterator]());
      return await (await events).next();
    },
    return: async () => {
      const stream = await found.catch(() => undefined);
      await (await (events ?? stream?.[Symbol.asyncIterator]()))?.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
