import { toBinary } from "@bufbuild/protobuf";
import {
  type CallContext,
  isEnd,
  NodeError,
  type TaskEvent,
  type TaskResult,
  type TaskService as Tasks,
  type TaskSpec,
} from "../../core/mod.ts";
import { RunTaskResponseSchema, type RunTaskStreamRequest, TaskService } from "../../gen/velas/sphere/v1/task_pb.ts";
import {
  eventToProto,
  pageToProto,
  queryFromProto,
  recordToProto,
  resultToProto,
  specFromProto,
} from "../task-convert.ts";
import { bidiStream, type Route, serverStream, unary } from "../route.ts";
import { frameOf } from "../grpc-frame.ts";
import { decodeRunRequest, encodeRunResponse } from "../run-codec.ts";

const NO_BYTES = new Uint8Array(0);

/** `velas.sphere.v1.TaskService` on a task service of the domain. */
export function taskRoutes(tasks: Tasks): Route[] {
  const { method } = TaskService;
  return [
    unary(method.run, async ({ task }, ctx) => resultToProto(await tasks.run(specFromProto(task!), ctx)), {
      tryBytes(request, ctx) {
        const spec = decodeRunRequest(request);
        return spec === undefined ? undefined : tasks.run(spec, ctx).then(encodeResult);
      },
      mindsSpan: true,
    }),
    bidiStream(method.runStream, (requests, ctx) => runStream(tasks, requests, ctx), { endsOnDrain: false }),
    unary(method.submit, async ({ task }, ctx) => ({
      task: recordToProto(await tasks.submit(specFromProto(task!), ctx)),
    })),
    unary(method.get, async ({ id, includeOutput }, ctx) => {
      const record = await tasks.get(id, ctx);
      const wanted = includeOutput && record.state === "succeeded";
      const output = wanted ? (await tasks.output(id, ctx)).output : NO_BYTES;
      return { task: recordToProto(record), output: output as Uint8Array<ArrayBuffer> };
    }),
    unary(method.list, async (request, ctx) => pageToProto(await tasks.list(queryFromProto(request), ctx))),
    serverStream(method.watch, ({ id }, ctx) => responses(tasks.watch(id, ctx)), { endsOnDrain: true }),
    unary(method.cancel, async ({ id }, ctx) => ({ task: recordToProto(await tasks.cancel(id, ctx)) })),
  ];
}

/** A receipt is only in answers of tasks that are stored, which the hand-written code is not for. */
function encodeResult(result: TaskResult): Uint8Array {
  if (result.receipt === undefined && result.nondeterministic === undefined) return encodeRunResponse(result);
  return frameOf(toBinary(RunTaskResponseSchema, resultToProto(result)));
}

async function* responses(events: AsyncIterable<TaskEvent>) {
  for await (const event of events) {
    yield { event: eventToProto(event) };
    if (event.type === "state" && isEnd(event.task.state)) return;
  }
}

async function* runStream(tasks: Tasks, requests: AsyncIterable<RunTaskStreamRequest>, ctx: CallContext) {
  const source = requests[Symbol.asyncIterator]();
  try {
    const first = await source.next();
    yield* responses(tasks.runStream(specOf(first), chunks(source), ctx));
  } finally {
    // Whatever ended the task, the rest of the input is not wanted. Not awaited: it may be waiting for the caller.
    source.return?.().catch(() => {});
  }
}

function specOf(first: IteratorResult<RunTaskStreamRequest>): TaskSpec {
  if (first.done === true || first.value.message.case !== "task") {
    throw new NodeError("invalid_argument", "The first message of RunStream must be the task; send its input after it");
  }
  const spec = specFromProto(first.value.message.value);
  if (spec.input.length > 0) {
    throw new NodeError(
      "invalid_argument",
      `The task of RunStream carries ${spec.input.length} bytes of input: send them as chunks after it`,
      { data: { inputBytes: spec.input.length } },
    );
  }
  return spec;
}

async function* chunks(source: AsyncIterator<RunTaskStreamRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    const { message } = next.value;
    if (message.case !== "chunk") {
      throw new NodeError("invalid_argument", "Only the first message of RunStream may be the task");
    }
    yield message.value;
  }
}
