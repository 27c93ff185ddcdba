import {
  create,
  type DescMessage,
  type DescMethodStreaming,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type CallContext,
  NodeError,
  type TaskEvent,
  type TaskPage,
  type TaskQuery,
  type TaskRecord,
  type TaskResult,
  type TaskService as Tasks,
  type TaskSpec,
} from "../../core/mod.ts";
import {
  GetTaskRequestSchema,
  RunTaskRequestSchema,
  type RunTaskStreamRequestSchema,
  type TaskEvent as TaskEventMessage,
  TaskService,
} from "../../gen/velas/sphere/v1/task_pb.ts";
import {
  eventFromProto,
  isLastEvent,
  pageFromProto,
  queryToProto,
  recordFromProto,
  resultFromProto,
  specToProto,
} from "../task-convert.ts";
import { decodeRunResponse, encodeRunRequest } from "../run-codec.ts";
import { explain } from "./failures.ts";
import { beyondLegacy, runLegacy } from "./legacy-run.ts";
import { type Attempt, type CallRules, isUnknownService, type Peer } from "./peer.ts";
import { RepeatableInput } from "./repeatable-input.ts";
import type { SignedCalls } from "./signed-calls.ts";
import { decodeAnswer, type Metadata, pathOf } from "./transport.ts";
import { WatchedInput } from "./watched-input.ts";

const { method } = TaskService;
const RUN_PATH = pathOf(method.run);

/** A piece of a streamed input is sent in messages of at most this size. */
const CHUNK_BYTES = 256 << 10;

/** The task service of another node. Records that it gives name the node as their target. */
export class RemoteTasks implements Tasks {
  readonly #peer: Peer;
  readonly #calls: SignedCalls | undefined;
  #signs: boolean;

  /**
   * Without signed calls the peer must believe who asks. Calls are signed from the first on, or once the peer wants it: unsigned ones
   * are faster.
   */
  constructor(peer: Peer, calls?: SignedCalls, options: { readonly signs: boolean } = { signs: true }) {
    this.#peer = peer;
    this.#calls = calls;
    this.#signs = calls !== undefined && options.signs;
  }

  async run(spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
    const peer = this.#peer;
    if (peer.isLegacy) return await runLegacy(peer, spec, ctx);
    const request = encodeRunRequest(spec) ??
      toBinary(RunTaskRequestSchema, create(RunTaskRequestSchema, { task: specToProto(spec) }));
    // A task with an id runs once however often it is sent.
    const signed = this.#signs;
    const rules = { timeoutMs: peer.options.taskTimeoutMs, repeatable: spec.id !== "", signed };
    try {
      const response = await peer.call(ctx, rules, (attempt) => this.#send(RUN_PATH, request, attempt));
      return decodeRunResponse(response) ?? resultFromProto(decodeAnswer(method.run, response, peer.target));
    } catch (reason) {
      if (this.#mustSign(reason, signed)) return await this.run(spec, ctx);
      if (!isUnknownService(reason)) throw this.#explain(reason, "run tasks");
      peer.rememberLegacy();
      return await runLegacy(peer, spec, ctx);
    }
  }

  runStream(spec: TaskSpec, input: AsyncIterable<Uint8Array>, ctx: CallContext): AsyncIterable<TaskEvent> {
    return this.#events(method.runStream, requestsOf(spec, input), ctx, "run a task on a stream");
  }

  watch(id: string, ctx: CallContext): AsyncIterable<TaskEvent> {
    return this.#events(method.watch, oneOf({ id }), ctx, "watch tasks");
  }

  async submit(spec: TaskSpec, ctx: CallContext): Promise<TaskRecord> {
    const rules = this.#rules(spec.id !== "");
    const { task } = await this.#call(method.submit, { task: specToProto(spec) }, ctx, rules);
    return recordFromProto(task, this.#peer.target);
  }

  async get(id: string, ctx: CallContext): Promise<TaskRecord> {
    const { task } = await this.#call(method.get, { id }, ctx, this.#rules(true));
    return recordFromProto(task, this.#peer.target);
  }

  async output(id: string, ctx: CallContext): Promise<TaskResult> {
    const request = create(GetTaskRequestSchema, { id, includeOutput: true });
    const response = await this.#call(method.get, request, ctx, this.#rules(true));
    const task = recordFromProto(response.task, this.#peer.target);
    if (task.state !== "succeeded") {
      throw new NodeError("failed_precondition", `Task ${id} has no output: it is ${task.state}`, {
        data: { id, state: task.state },
      });
    }
    return {
      id: task.id,
      output: response.output,
      contentType: task.outputContentType ?? "application/octet-stream",
      usage: task.usage ?? { wallMicros: 0, inputBytes: 0, outputBytes: response.output.length, instructions: 0 },
      replayed: true,
      ...(task.nondeterministic && { nondeterministic: task.nondeterministic }),
      ...(task.receipt && { receipt: task.receipt }),
    };
  }

  async list(query: TaskQuery, ctx: CallContext): Promise<TaskPage> {
    return pageFromProto(await this.#call(method.list, queryToProto(query), ctx, this.#rules(true)), this.#peer.target);
  }

  async cancel(id: string, ctx: CallContext): Promise<TaskRecord> {
    const { task } = await this.#call(method.cancel, { id }, ctx, this.#rules(true));
    return recordFromProto(task, this.#peer.target);
  }

  #rules(repeatable: boolean): CallRules {
    return { timeoutMs: this.#peer.options.requestTimeoutMs, repeatable, signed: this.#signs };
  }

  async #call<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    ctx: CallContext,
    rules: CallRules,
  ): Promise<MessageShape<O>> {
    const peer = this.#peer;
    const path = pathOf(desc);
    const message = toBinary(desc.input, create(desc.input, request));
    const signed = this.#signs;
    try {
      const answer = await peer.call(ctx, rules, (attempt) => this.#send(path, message, attempt));
      return decodeAnswer(desc, answer, peer.target);
    } catch (reason) {
      if (this.#mustSign(reason, signed)) return await this.#call(desc, request, ctx, rules);
      throw this.#explain(reason, "queue or look up tasks");
    }
  }

  /** The events of a streaming call. Leaving the iteration cancels the call. */
  async *#events<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodStreaming<I, O>,
    requests: AsyncIterable<MessageInitShape<I>>,
    ctx: CallContext,
    what: string,
  ): AsyncGenerator<TaskEvent> {
    const input = new RepeatableInput(requests);
    try {
      while (true) {
        const signed = this.#signs;
        try {
          return yield* this.#eventsOnce(desc, input, ctx);
        } catch (reason) {
          if (reason instanceof SourceFailure) throw reason.reason;
          if (this.#mustSign(reason, signed) && input.repeatable) continue;
          throw this.#explain(reason, what);
        }
      }
    } finally {
      input.close();
    }
  }

  /** One attempt. Throws a {@link SourceFailure} for what went wrong with the input. */
  async *#eventsOnce<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodStreaming<I, O>,
    input: RepeatableInput<MessageInitShape<I>>,
    ctx: CallContext,
  ): AsyncGenerator<TaskEvent, void> {
    const peer = this.#peer;
    const stop = new AbortController();
    const onAbort = () => stop.abort(ctx.signal.reason);
    if (ctx.signal.aborted) onAbort();
    else ctx.signal.addEventListener("abort", onAbort, { once: true });
    const source = new WatchedInput(input, stop);
    try {
      const timeoutMs = ctx.deadlineAt === undefined ? undefined : peer.timeLeft(ctx, 0);
      const signature = await this.#signature(pathOf(desc), ctx.signal);
      const metadata = { ...peer.metadata(ctx, this.#signs), ...signature };
      const response = await peer.transport.stream(desc, stop.signal, timeoutMs, metadata, source);
      let ended = false;
      for await (const message of response.message) {
        input.accept();
        const event = eventFromProto((message as { event?: TaskEventMessage }).event, peer.target);
        if (event === undefined) continue;
        ended = isLastEvent(event);
        yield event;
      }
      if (!ended) {
        throw new NodeError("target_misbehaved", `${peer.target} ended the stream before the task had ended`, {
          data: { target: peer.target },
        });
      }
    } catch (reason) {
      throw source.failure === undefined ? reason : new SourceFailure(source.failure.reason);
    } finally {
      ctx.signal.removeEventListener("abort", onAbort);
      stop.abort();
    }
  }

  #send(path: string, message: Uint8Array, attempt: Attempt): Promise<Uint8Array> {
    return this.#signs
      ? this.#sendSigned(path, message, attempt)
      : this.#peer.transport.unaryBytes(path, message, attempt);
  }

  async #sendSigned(path: string, message: Uint8Array, attempt: Attempt): Promise<Uint8Array> {
    try {
      return await this.#calls!.unary({ ...attempt, path, message });
    } catch (error) {
      if (!isNameless(error)) throw error;
      return await this.#peer.transport.unaryBytes(path, message, attempt);
    }
  }

  /** What signs a stream. */
  async #signature(path: string, signal: AbortSignal): Promise<Metadata> {
    try {
      return this.#signs ? await this.#calls!.metadata({ path, signal }) : {};
    } catch (error) {
      if (isNameless(error)) return {};
      throw error;
    }
  }

  /** Whether a call failed since it was not signed and the peer wants to know who calls. Later ones are signed. */
  #mustSign(reason: unknown, signed: boolean): boolean {
    if (signed || this.#calls === undefined || isUnknownService(reason)) return false;
    const wanted = explain(reason, this.#peer.target).code === "unauthenticated";
    this.#signs ||= wanted;
    return wanted;
  }

  #explain(reason: unknown, what: string): NodeError {
    if (isUnknownService(reason)) return beyondLegacy(this.#peer, what);
    const error = explain(reason, this.#peer.target);
    this.#calls?.note(error);
    return error;
  }
}

/** Whether nothing can be signed for the peer: a node of the original's kind has no id. */
function isNameless(error: unknown): boolean {
  return error instanceof NodeError && error.code === "unimplemented";
}

/** The input of a stream failed. */
class SourceFailure {
  readonly reason: unknown;

  constructor(reason: unknown) {
    this.reason = reason;
  }
}

async function* requestsOf(
  spec: TaskSpec,
  input: AsyncIterable<Uint8Array>,
): AsyncGenerator<MessageInitShape<typeof RunTaskStreamRequestSchema>> {
  yield { message: { case: "task", value: specToProto(spec) } };
  for await (const bytes of input) {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const value = bytes.subarray(at, at + CHUNK_BYTES) as Uint8Array<ArrayBuffer>;
      yield { message: { case: "chunk", value } };
    }
  }
}

async function* oneOf<T>(value: T): AsyncGenerator<T> {
  yield value;
}
