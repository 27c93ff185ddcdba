import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type Task, type TaskEvent, TaskService } from "../src/gen/velas/sphere/v1/task_pb.ts";
import { calling, SphereError, streaming } from "./sphere-error.ts";

export interface RunOptions {
  /** Your own name for the task: the same one again gives the same result and runs nothing. Drawn by the node when absent. */
  readonly id?: string;
  /** `name`, `name@version` or a SHA-256; the node's default plugin when absent. */
  readonly plugin?: string;
  readonly function?: string;
  readonly contentType?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface TaskOutput {
  readonly id: string;
  readonly output: Uint8Array;
  readonly contentType: string;
  /** The output as UTF-8. */
  text(): string;
}

type Input = string | Uint8Array;
type CallOptions = Pick<RunOptions, "signal">;

/** Tasks at a node. Every method throws a {@link SphereError}. */
export class Tasks {
  readonly #client: Client<typeof TaskService>;

  constructor(transport: Transport) {
    this.#client = createClient(TaskService, transport);
  }

  /** Runs a task and waits for its output. */
  async run(input: Input, options: RunOptions = {}): Promise<TaskOutput> {
    const { id, output, contentType } = await calling(() =>
      this.#client.run({ task: specOf(input, options) }, callOptions(options))
    );
    return {
      id,
      output,
      contentType,
      text: () => new TextDecoder().decode(output),
    };
  }

  /** Queues a task, which then runs whether or not anybody waits. */
  async submit(input: Input, options: RunOptions = {}): Promise<Task> {
    const { task } = await calling(() =>
      this.#client.submit(
        { task: specOf(input, options) },
        callOptions(options),
      )
    );
    return present(task);
  }

  async get(id: string, options: CallOptions = {}): Promise<Task> {
    return present(
      (await calling(() => this.#client.get({ id }, callOptions(options))))
        .task,
    );
  }

  /** The output of a task that has succeeded. */
  async output(id: string, options: CallOptions = {}): Promise<Uint8Array> {
    return (await calling(() => this.#client.get({ id, includeOutput: true }, callOptions(options)))).output;
  }

  /** States, logs and progress from now on; ends with the task. */
  async *watch(
    id: string,
    options: CallOptions = {},
  ): AsyncGenerator<TaskEvent> {
    for await (
      const { event } of streaming(
        this.#client.watch({ id }, callOptions(options)),
      )
    ) {
      if (event !== undefined) yield event;
    }
  }

  async cancel(id: string, options: CallOptions = {}): Promise<Task> {
    return present(
      (await calling(() => this.#client.cancel({ id }, callOptions(options))))
        .task,
    );
  }

  /** All of the caller's tasks, the newest first. */
  async *list(options: CallOptions = {}): AsyncGenerator<Task> {
    for (let pageToken = "";;) {
      const page = await calling(() => this.#client.list({ pageToken }, callOptions(options)));
      yield* page.tasks;
      pageToken = page.nextPageToken;
      if (pageToken === "") return;
    }
  }
}

function specOf(
  input: Input,
  { id = "", plugin = "", function: name = "", contentType = "", timeoutMs }: RunOptions,
) {
  return {
    id,
    plugin,
    function: name,
    contentType,
    input: typeof input === "string" ? new TextEncoder().encode(input) : input,
    ...(timeoutMs === undefined ? {} : { limits: { timeoutMs: BigInt(timeoutMs) } }),
  };
}

function callOptions(
  { signal, timeoutMs }: Pick<RunOptions, "signal" | "timeoutMs">,
) {
  return {
    ...(signal === undefined ? {} : { signal }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

function present(task: Task | undefined): Task {
  if (task === undefined) {
    throw new SphereError(
      "target_misbehaved",
      "The node answered without a task",
    );
  }
  return task;
}
