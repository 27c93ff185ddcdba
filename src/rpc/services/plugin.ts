import { Buffer } from "node:buffer";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type CallContext,
  type Clock,
  type ErrorCode,
  type LogLevel,
  NodeError,
  type PluginEvent,
  type TaskLimits,
} from "../../core/mod.ts";
import { Plugin } from "../../gen/resources/plugin_pb.ts";
import {
  type ExecuteRequest,
  ExecuteRequestSchema,
  type ExecuteResponseSchema,
  type ExecuteStart,
  PluginService,
} from "../../gen/velas/sphere/v1/plugin_pb.ts";
import { eventToProto, limitsFromProto } from "../task-convert.ts";
import { type PluginImplementation, pluginInput, type PluginOutput } from "../plugin-api.ts";
import { bytesFieldHead } from "../grpc-frame.ts";
import { bidiStream, type BytesField, type Frame, type Route, unary } from "../route.ts";

/** What a plugin server serves. */
export interface PluginManifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  /** By name; the first is the one that the original's protocol runs, and that a task gets when it names none. */
  readonly functions: Readonly<Record<string, PluginImplementation>>;
  /** Executions at once; 0 or absent means as many as the node likes. */
  readonly maxConcurrency?: number;
  /** Whether it works on the GPU: a node then executes one function at a time of all plugins that do. */
  readonly gpu?: boolean;
}

export interface PluginRoutesOptions {
  readonly clock: Clock;
  /** The largest input that a function may gather whole, in bytes. */
  readonly maxInputBytes: number;
}

/** Log lines and progress reports that may wait for the node to read them; more are dropped and counted. */
const MAX_WAITING_EVENTS = 1024;

/** The largest output message: longer pieces are split, so that no message limit is met. */
const PIECE_BYTES = 1 << 20; // 1 MiB

/** ExecuteRequest { bytes chunk = 2; } */
const INPUT_CHUNK: BytesField = {
  number: 2,
  wrap: (value) =>
    create(ExecuteRequestSchema, { message: { case: "chunk", value: value as Uint8Array<ArrayBuffer> } }),
};

/** The frame of ExecuteResponse { bytes chunk = 1; }, which is most of an answer. */
function chunkFrame({ message }: Response): Frame | undefined {
  if (message?.case !== "chunk" || message.value === undefined) return undefined;
  return [bytesFieldHead(1, message.value.length), message.value];
}

/** `velas.sphere.v1.PluginService` and the original's `resources.Plugin` for functions in this process. */
export function pluginRoutes(manifest: PluginManifest, options: PluginRoutesOptions): Route[] {
  const executions = new Map<string, Execution>();
  const { method } = PluginService;

  async function* execute(requests: AsyncIterable<ExecuteRequest>, ctx: CallContext) {
    const source = requests[Symbol.asyncIterator]();
    const start = startOf(await source.next());
    const id = start.executionId;
    if (executions.has(id)) {
      throw new NodeError("already_exists", `The execution ${id} is running already: choose another execution_id`, {
        data: { executionId: id },
      });
    }
    const execution = new Execution(implementationOf(manifest, start.function), start, ctx, options.clock);
    if (id !== "") executions.set(id, execution);
    try {
      yield* execution.run(chunks(source), options.maxInputBytes);
      yield { message: { case: "result", value: { contentType: "", gpuMicros: execution.gpuMicros } } } as const;
    } finally {
      execution.close();
      executions.delete(id);
      source.return?.().catch(() => {});
    }
  }

  return [
    unary(method.describe, () =>
      Promise.resolve({
        name: manifest.name,
        version: manifest.version,
        description: manifest.description ?? "",
        maxConcurrency: manifest.maxConcurrency ?? 0,
        gpu: manifest.gpu ?? false,
        functions: Object.entries(manifest.functions).map(([name, fn]) => ({
          name,
          inputContentType: fn.inputContentType ?? "",
          outputContentType: fn.outputContentType ?? "",
          description: fn.description ?? "",
        })),
      })),
    bidiStream(method.execute, execute, { endsOnDrain: false, bytes: INPUT_CHUNK, direct: { frame: chunkFrame } }),
    unary(method.cancel, ({ executionId }) => {
      executions.get(executionId)?.cancel(new NodeError("canceled", "The node canceled the execution"));
      return Promise.resolve({});
    }),
    unary(Plugin.method.requestJobExecution, async ({ id, input }, ctx) => {
      const start = { function: "", contentType: "", limits: undefined };
      const execution = new Execution(implementationOf(manifest, ""), start, ctx, options.clock);
      const parts: Uint8Array[] = [];
      try {
        for await (const { message } of execution.run(once(Buffer.from(input)), options.maxInputBytes)) {
          if (message?.case === "chunk") parts.push(message.value);
        }
      } finally {
        execution.close();
      }
      return { id, output: Buffer.concat(parts).toString() };
    }),
  ];
}

function startOf(first: IteratorResult<ExecuteRequest>): ExecuteStart {
  if (first.done !== true && first.value.message.case === "start") return first.value.message.value;
  throw new NodeError("invalid_argument", "The first message of Execute must be start; send the input after it");
}

function implementationOf(manifest: PluginManifest, name: string): PluginImplementation {
  const names = Object.keys(manifest.functions);
  const wanted = name === "" ? names[0] : name;
  const found = wanted !== undefined && Object.hasOwn(manifest.functions, wanted)
    ? manifest.functions[wanted]
    : undefined;
  if (found !== undefined) return found;
  throw new NodeError(
    "function_not_found",
    `The plugin ${manifest.name} has no function ${name}; it has ${names.join(", ") || "none"}`,
    { data: { plugin: manifest.name, function: name } },
  );
}

async function* chunks(source: AsyncIterator<ExecuteRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    const { message } = next.value;
    if (message.case !== "chunk") {
      throw new NodeError("invalid_argument", "Only the first message of Execute may be start");
    }
    yield message.value;
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield await Promise.resolve(bytes);
}

type Response = MessageInitShape<typeof ExecuteResponseSchema>;

/** One run of a function: its limits, and its output merged with what it says in between. */
class Execution {
  readonly #implementation: PluginImplementation;
  readonly #contentType: string;
  readonly #limits: Partial<TaskLimits>;
  readonly #clock: Clock;
  readonly #controller = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #detach: () => void;
  #events: PluginEvent[] = [];
  #dropped = 0;
  /** How long the function says that it worked on the GPU. */
  gpuMicros = 0n;
  #wake = () => {};

  constructor(
    implementation: PluginImplementation,
    start: Pick<ExecuteStart, "contentType" | "limits">,
    ctx: CallContext,
    clock: Clock,
  ) {
    this.#implementation = implementation;
    this.#contentType = start.contentType;
    this.#limits = limitsFromProto(start.limits);
    this.#clock = clock;
    const leave = () => this.cancel(ctx.signal.reason);
    ctx.signal.addEventListener("abort", leave, { once: true });
    this.#detach = () => ctx.signal.removeEventListener("abort", leave);
    if (ctx.signal.aborted) leave();
    const { timeoutMs } = this.#limits;
    if (timeoutMs !== undefined) {
      this.#timer = setTimeout(() => {
        this.cancel(
          new NodeError("deadline_exceeded", `The function ran longer than its ${timeoutMs} ms`, {
            data: { timeoutMs },
          }),
        );
      }, Math.min(timeoutMs, 0x7fffffff));
    }
  }

  /** Aborts the function's signal; the execution fails with the error at once, whatever the function does. */
  cancel(error: unknown): void {
    this.#controller.abort(error);
    this.#wake();
  }

  /** Lets go of timer and listener. */
  close(): void {
    clearTimeout(this.#timer);
    this.#detach();
    if (!this.#controller.signal.aborted) this.#controller.abort(new NodeError("canceled", "The execution is over"));
  }

  /** Runs the function: its output in pieces, its log lines and progress as they come. Throws why it failed. */
  async *run(input: AsyncIterable<Uint8Array>, maxInputBytes: number): AsyncGenerator<Response> {
    const { signal } = this.#controller;
    const output = pieces(() =>
      this.#implementation.run(pluginInput(input, maxInputBytes), {
        contentType: this.#contentType,
        signal,
        limits: this.#limits,
        log: (level: LogLevel, message: string) => this.#say({ type: "log", level, message, at: this.#clock.now() }),
        progress: (fraction, message = "") => this.#say({ type: "progress", fraction, message, at: this.#clock.now() }),
        usedGpu: (micros) => void (this.gpuMicros += BigInt(Math.max(0, Math.round(micros)))),
      })
    );
    let outputBytes = 0;
    let arrived: IteratorResult<Uint8Array> | undefined;
    let failure: { readonly reason: unknown } | undefined;
    const ask = () => {
      arrived = undefined;
      output.next().then((result) => arrived = result, (reason) => failure = { reason }).finally(() => this.#wake());
    };
    try {
      ask();
      for (;;) {
        if (signal.aborted) throw signal.reason;
        yield* this.#takeEvents();
        if (failure !== undefined) throw asPluginFailure(failure.reason);
        if (arrived === undefined) {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
            // What came while the last answer was on its way has woken nobody.
            if (arrived !== undefined || failure !== undefined || signal.aborted || this.#events.length > 0) resolve();
          });
          continue;
        }
        if (arrived.done === true) return;
        const piece: Uint8Array = arrived.value;
        outputBytes += piece.length;
        const limit = this.#limits.outputBytes ?? Infinity;
        if (outputBytes > limit) {
          throw new NodeError("output_too_large", `The output is over the task's limit of ${limit} bytes`, {
            data: { limitBytes: limit },
          });
        }
        for (let offset = 0; offset < piece.length; offset += PIECE_BYTES) {
          const value = piece.subarray(offset, offset + PIECE_BYTES) as Uint8Array<ArrayBuffer>;
          yield { message: { case: "chunk", value } };
        }
        ask();
      }
    } finally {
      // Not awaited: a function that ignores its signal must not hold the call.
      output.return(undefined).catch(() => {});
    }
  }

  #say(event: PluginEvent): void {
    if (this.#events.length >= MAX_WAITING_EVENTS) {
      this.#dropped++;
      return;
    }
    this.#events.push(event);
    this.#wake();
  }

  *#takeEvents(): Generator<Response> {
    const events = this.#events;
    if (events.length === 0) return;
    this.#events = [];
    if (this.#dropped > 0) {
      const message = `${this.#dropped} log lines were dropped: the node did not read them fast enough`;
      events.push({ type: "log", level: "warn", message, at: this.#clock.now() });
      this.#dropped = 0;
    }
    for (const event of events) {
      const said = eventToProto(event).event;
      if (said.case === "log" || said.case === "progress") yield { message: said };
    }
  }
}

/** The output as pieces, whatever form it has. A function that throws at once fails like one that rejects. */
async function* pieces(run: () => PluginOutput): AsyncGenerator<Uint8Array, undefined> {
  const output = run();
  if (Symbol.asyncIterator in output) {
    yield* output;
  } else {
    const whole = await output;
    yield typeof whole === "string" ? Buffer.from(whole) : whole;
  }
  return undefined;
}

function asPluginFailure(reason: unknown): NodeError {
  if (reason instanceof NodeError) return reason;
  const code: ErrorCode = "plugin_failed";
  return new NodeError(code, reason instanceof Error ? reason.message : String(reason), { cause: reason });
}
