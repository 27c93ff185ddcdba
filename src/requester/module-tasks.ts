import {
  type CallContext,
  isModuleRef,
  type ModuleService,
  NodeError,
  type TaskEvent,
  type TaskPage,
  type TaskQuery,
  type TaskRecord,
  type TaskResult,
  type TaskService,
  type TaskSpec,
} from "../core/mod.ts";
import { iteratorOf, lateEvents } from "./tap-events.ts";

/** The modules that this node has and can bring to others. */
export interface ModuleSource {
  get(sha256: string): { readonly sizeBytes: number } | undefined;
  /** Throws `plugin_not_found` when it is gone. */
  read(sha256: string): Promise<Uint8Array>;
}

export interface ModuleTasksOptions {
  readonly target: string;
  readonly tasks: TaskService;
  /** The modules of the same node. */
  readonly modules: ModuleService;
  readonly source: ModuleSource;
}

/** Modules of which is remembered that the node has them. */
const MAX_KNOWN = 1024;

/**
 * The tasks of a node that brings modules: a task that names one of `source`, which the node lacks, has it uploaded first. When it had to make room
 * between upload and run, it is brought once more.
 */
export class ModuleTasks implements TaskService {
  readonly #options: ModuleTasksOptions;
  readonly #known = new Set<string>();
  /** Uploads under way: tasks that need the same module wait for one. */
  readonly #bringing = new Map<string, Promise<void>>();

  constructor(options: ModuleTasksOptions) {
    this.#options = options;
  }

  run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    return this.#with(spec, ctx, () => this.#options.tasks.run(spec, ctx));
  }

  submit(spec: TaskSpec, ctx: CallContext): Promise<TaskRecord> {
    return this.#with(spec, ctx, () => this.#options.tasks.submit(spec, ctx));
  }

  /** A stream of input cannot be read twice, so the node is asked each time. */
  runStream(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent> {
    const { tasks } = this.#options;
    if (!this.#isOurs(spec.plugin)) return tasks.runStream(spec, input, ctx);
    const sha256 = spec.plugin.toLowerCase();
    this.#known.delete(sha256);
    return lateEvents(
      this.#bring(sha256, ctx).then(() => iteratorOf(tasks.runStream(spec, input, ctx))),
    );
  }

  get(id: string, ctx: CallContext): Promise<TaskRecord> {
    return this.#options.tasks.get(id, ctx);
  }

  output(id: string, ctx: CallContext): Promise<TaskResult> {
    return this.#options.tasks.output(id, ctx);
  }

  list(query: TaskQuery, ctx: CallContext): Promise<TaskPage> {
    return this.#options.tasks.list(query, ctx);
  }

  watch(id: string, ctx: CallContext): AsyncIterable<TaskEvent> {
    return this.#options.tasks.watch(id, ctx);
  }

  cancel(id: string, ctx: CallContext): Promise<TaskRecord> {
    return this.#options.tasks.cancel(id, ctx);
  }

  #with<T>({ plugin }: TaskSpec, ctx: CallContext, work: () => Promise<T>): Promise<T> {
    return this.#isOurs(plugin) ? this.#withModule(plugin.toLowerCase(), ctx, work) : work();
  }

  async #withModule<T>(sha256: string, ctx: CallContext, work: () => Promise<T>): Promise<T> {
    await this.#bring(sha256, ctx);
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof NodeError) || error.code !== "plugin_not_found") throw error;
      this.#known.delete(sha256);
      await this.#bring(sha256, ctx);
      return await work();
    }
  }

  #isOurs(plugin: string): boolean {
    return isModuleRef(plugin) && this.#options.source.get(plugin.toLowerCase()) !== undefined;
  }

  async #bring(sha256: string, ctx: CallContext): Promise<void> {
    while (!this.#known.has(sha256)) {
      const under = this.#bringing.get(sha256);
      if (under === undefined) {
        const bringing = this.#upload(sha256, ctx).finally(() => this.#bringing.delete(sha256));
        this.#bringing.set(sha256, bringing);
        return await bringing;
      }
      // When another's attempt fails, such as by its own deadline, this one has its own.
      await settled(under, ctx.signal);
      ctx.signal.throwIfAborted();
    }
  }

  async #upload(sha256: string, ctx: CallContext): Promise<void> {
    const { modules, source, target } = this.#options;
    try {
      const { module, maxBytes } = await modules.has(sha256, ctx);
      if (module === undefined) {
        const sizeBytes = source.get(sha256)?.sizeBytes ?? 0;
        if (maxBytes === 0) throw refused(target);
        if (sizeBytes > maxBytes) throw tooLarge(target, { sizeBytes, maxBytes });
        const bytes = await source.read(sha256);
        await modules.upload(once(bytes), { sha256, sizeBytes: bytes.length }, ctx);
      }
    } catch (error) {
      // A node of an older version may have it installed.
      if (!(error instanceof NodeError) || error.code !== "unimplemented") throw unbegun(error);
    }
    if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.values().next().value!);
    this.#known.add(sha256);
  }
}

/** Says of a failure that no task was sent yet: a provider that has no room for the module says nothing of others. */
function unbegun(error: unknown): unknown {
  if (!(error instanceof NodeError)) return error;
  const { code, message, data, retryable, retryAfterMs } = error;
  return new NodeError(code, message, {
    cause: error.cause,
    data: { ...data, taskSent: false },
    retryable,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

function refused(target: string): NodeError {
  return new NodeError(
    "permission_denied",
    `${target} takes no modules of requesters (plugins.acceptModules): use a provider that does, or have the plugin installed there`,
    { data: { target } },
  );
}

function tooLarge(
  target: string,
  { sizeBytes, maxBytes }: { readonly sizeBytes: number; readonly maxBytes: number },
): NodeError {
  return new NodeError(
    "input_too_large",
    `The module has ${sizeBytes} bytes, and ${target} takes at most ${maxBytes} (plugins.maxModuleBytes)`,
    { data: { target, sizeBytes, maxBytes } },
  );
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** Waits for the end of a promise, however it ends, or for the signal. */
function settled(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener("abort", done);
      resolve();
    };
    signal.addEventListener("abort", done);
    promise.then(done, done);
    if (signal.aborted) done();
  });
}
