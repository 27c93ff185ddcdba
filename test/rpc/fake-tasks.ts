import {
  type CallContext,
  type ErrorCode,
  type NodeDescriber,
  NodeError,
  type TaskEvent,
  type TaskQuery,
  type TaskRecord,
  type TaskResult,
  type TaskService,
  type TaskSpec,
} from "../../src/core/mod.ts";

const PATIENCE_MS = 60_000;

/**
 * A task service whose functions do what tests need to provoke: `echo` gives the input back, `hang` waits for the abort, `throw` fails
 * with the code that the input names, `break` throws something foreign, `flood` streams as many chunks as the input says.
 */
export class FakeTasks implements TaskService {
  /** Every call's context, in order. */
  readonly contexts: CallContext[] = [];
  /** Specs as they arrived. */
  readonly specs: TaskSpec[] = [];
  /** The reasons of the aborts that reached a `hang`. */
  readonly aborts: unknown[] = [];
  #waiters: (() => void)[] = [];

  /** Resolves when the condition holds; looked at after each call and abort. Fails when a minute has not been enough. */
  async until(condition: () => boolean): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`It did not become so within a minute: ${condition}`)), PATIENCE_MS);
    });
    try {
      while (!condition()) await Promise.race([new Promise<void>((resolve) => this.#waiters.push(resolve)), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #changed(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  #saw(ctx: CallContext, spec?: TaskSpec): void {
    this.contexts.push(ctx);
    if (spec !== undefined) this.specs.push(spec);
    this.#changed();
  }

  #hang(ctx: CallContext): Promise<never> {
    return new Promise((_, reject) => {
      const onAbort = () => {
        this.aborts.push(ctx.signal.reason);
        this.#changed();
        reject(ctx.signal.reason);
      };
      if (ctx.signal.aborted) onAbort();
      else ctx.signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  async run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    this.#saw(ctx, spec);
    if (spec.function === "hang") return await this.#hang(ctx);
    if (spec.function === "break") throw new TypeError("secret of the implementation");
    if (spec.function === "throw") {
      throw new NodeError(text(spec.input) as ErrorCode, "It failed with “ü” and 100 %", {
        data: { limit: 5, name: "x" },
        retryAfterMs: 1500,
      });
    }
    const output = spec.function === "" && text(spec.input) === "hello" ? bytes("world") : spec.input;
    return { ...result(spec, output), id: spec.id === "" ? "drawn" : spec.id };
  }

  async *runStream(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent> {
    this.#saw(ctx, spec);
    yield { type: "state", task: record(spec.id, "running") };
    if (spec.function === "hang") await this.#hang(ctx);
    yield { type: "log", level: "info", message: "begun", at: 1 };
    let first: Uint8Array | undefined;
    for await (const chunk of input) {
      first ??= chunk;
      if (spec.function !== "flood") yield { type: "chunk", bytes: chunk };
    }
    if (spec.function === "flood") {
      const count = Number(text(first ?? new Uint8Array(0)));
      for (let i = 0; i < count; i++) {
        if (ctx.signal.aborted) {
          this.aborts.push(ctx.signal.reason);
          this.#changed();
          throw ctx.signal.reason;
        }
        this.floodedBytes += 65536;
        yield { type: "chunk", bytes: new Uint8Array(65536) };
      }
    }
    yield { type: "progress", fraction: 1, message: "done", at: 2 };
    yield { type: "state", task: record(spec.id, "succeeded") };
  }

  /** How much a `flood` has produced. */
  floodedBytes = 0;

  submit(spec: TaskSpec, ctx: CallContext): Promise<TaskRecord> {
    this.#saw(ctx, spec);
    return Promise.resolve(record(spec.id, "queued"));
  }

  get(id: string, ctx: CallContext): Promise<TaskRecord> {
    this.#saw(ctx);
    if (id === "missing") return Promise.reject(new NodeError("not_found", `No task ${id}`, { data: { id } }));
    return Promise.resolve(record(id, id === "queued" ? "queued" : "succeeded"));
  }

  output(id: string): Promise<TaskResult> {
    return Promise.resolve({ ...result(undefined, bytes(`output of ${id}`)), id });
  }

  list(query: TaskQuery, ctx: CallContext) {
    this.#saw(ctx);
    return Promise.resolve({
      tasks: query.states.map((state) => record(state, state)),
      nextPageToken: `${query.pageSize}`,
    });
  }

  async *watch(id: string, ctx: CallContext): AsyncIterable<TaskEvent> {
    this.#saw(ctx);
    yield { type: "state", task: record(id, "running") };
    if (id === "endless") await this.#hang(ctx);
    yield { type: "state", task: record(id, "succeeded") };
  }

  cancel(id: string, ctx: CallContext): Promise<TaskRecord> {
    this.#saw(ctx);
    return Promise.resolve(record(id, "canceled"));
  }
}

export const bytes = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);
export const text = (value: Uint8Array): string => new TextDecoder().decode(value);

function result(spec: TaskSpec | undefined, output: Uint8Array): TaskResult {
  return {
    id: spec?.id ?? "",
    output,
    contentType: "application/octet-stream",
    usage: { wallMicros: 300, inputBytes: spec?.input.length ?? 0, outputBytes: output.length, instructions: 0 },
    replayed: false,
  };
}

export function record(id: string, state: TaskRecord["state"]): TaskRecord {
  return {
    id,
    requester: "anonymous",
    plugin: "demo",
    resolvedPlugin: "demo@1.0.0",
    pluginSha256: "ab".repeat(32),
    function: "echo",
    contentType: "",
    limits: { timeoutMs: 1000, memoryBytes: 65536, outputBytes: 1024 },
    priority: -3,
    state,
    createdAt: 1_700_000_000_123,
    attempts: 1,
    inputSha256: "cd".repeat(32),
    ...(state === "canceled" ? { reason: "canceled", message: "stopped" } as const : {}),
    ...(state === "succeeded" ? { finishedAt: 1_700_000_001_000, outputSha256: "ef".repeat(32) } : {}),
  };
}

/** A node that signs with 65 zero bytes. */
export const fakeNode: NodeDescriber = {
  describe: () => ({
    nodeId: "0x52908400098527886E0F7030069857D2E4169EE7",
    name: "Test Node",
    version: "1.2.3",
    plugins: [{
      name: "demo",
      version: "1.0.0",
      sha256: "",
      runtime: "grpc",
      functions: [{ name: "greet", inputContentType: "text/plain", outputContentType: "text/plain", description: "" }],
      description: "d",
      isDefault: true,
      enabled: true,
      ready: true,
    }],
    issuedAt: 1_700_000_000_000,
    limits: { inputBytes: 1, outputBytes: 2, memoryBytes: 3, timeoutMs: 4 },
  }),
  sign: () => new Uint8Array(65),
};
