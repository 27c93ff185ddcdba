import { isEnd, NodeError } from "../core/mod.ts";
import type { CallContext, TaskRecord, TaskSpec, TaskStarter } from "../core/mod.ts";
import { bodyChunks } from "./body.ts";
import { reported } from "./boundary.ts";
import type { RestContext } from "./context.ts";
import type { RestAppOptions } from "./options.ts";
import { alreadySent, FOREIGN_CONTENT_HEADERS, writePiece } from "./stream.ts";

/** Names the task of an answer whose body is its output. */
export const TASK_ID_HEADER = "X-Velas-Task-Id";

const ANY_CONTENT = "application/octet-stream";

/**
 * Runs a task with the request's body as its input and its output as the answer's body, both as they come. A failure
 * before the first byte of output is thrown; after it only cutting the connection can tell the client that the output is
 * not whole.
 */
export async function runStreaming(
  c: RestContext,
  service: TaskStarter,
  { spec, ctx, options }: { spec: TaskSpec; ctx: CallContext; options: RestAppOptions },
): Promise<Response> {
  const { outgoing } = c.env;
  const { limits, log } = options;
  let inputFault: unknown;

  async function* input(): AsyncGenerator<Uint8Array> {
    try {
      yield* bodyChunks(c.env, limits);
    } catch (error) {
      inputFault = error;
      throw error;
    }
  }

  function begin(contentType: string | undefined): void {
    outgoing.writeHead(200, { "Content-Type": contentType || ANY_CONTENT, ...FOREIGN_CONTENT_HEADERS });
  }

  let task: TaskRecord | undefined;
  try {
    for await (const event of service.runStream(spec, input(), ctx)) {
      if (event.type === "state") {
        if (task === undefined) outgoing.setHeader(TASK_ID_HEADER, event.task.id);
        task = event.task;
        if (isEnd(task.state)) break;
      } else if (event.type === "chunk") {
        if (!outgoing.headersSent) begin(task?.outputContentType);
        await writePiece(outgoing, event.bytes, limits.idleTimeoutMs);
      }
    }
    if (task === undefined || !isEnd(task.state)) {
      throw new NodeError("internal", "The task's events ended before the task");
    }
    if (task.state !== "succeeded") throw inputFault ?? failureOf(task);
    if (!outgoing.headersSent) begin(task.outputContentType);
    outgoing.end();
  } catch (error) {
    if (!outgoing.headersSent) throw inputFault ?? error;
    reported(error, { requestId: ctx.requestId, method: "POST", path: c.req.path }, log);
    outgoing.destroy();
  }
  return alreadySent();
}

/** What a task that did not succeed ended with, as an error. */
function failureOf(task: TaskRecord): NodeError {
  const code = task.reason ?? "internal";
  return new NodeError(code, task.message ?? `The task ${task.state}`, { data: { taskId: task.id } });
}
