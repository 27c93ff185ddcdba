import { Buffer } from "node:buffer";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type CallContext, newUlid, NodeError, type TaskResult, type TaskSpec } from "../../core/mod.ts";
import { Provider, TaskRequestSchema, TaskResponseSchema } from "../../gen/resources/provider_pb.ts";
import { explain } from "./failures.ts";
import type { Peer } from "./peer.ts";
import { pathOf } from "./transport.ts";

const PATH = pathOf(Provider.method.requestTaskExecution);
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What the original protocol can do, for messages. */
const ABILITY = "it speaks only the original protocol, which runs a text on the node's default plugin";

/**
 * Runs a task on a node that serves only `resources.Provider/RequestTaskExecution`. The call carries an id and a text: a plugin, a
 * function or bytes that are no UTF-8 are refused with `unimplemented` before anything is sent; limits on time and output
 * are held here; memory and priority stay the peer's own.
 */
export async function runLegacy(peer: Peer, spec: TaskSpec, ctx: CallContext): Promise<TaskResult> {
  const { clock, taskTimeoutMs } = peer.options;
  const input = textOf(peer, spec);
  const timeoutMs = Math.min(taskTimeoutMs, spec.limits.timeoutMs ?? Infinity);
  const id = spec.id === "" ? newUlid(clock.now()) : spec.id;
  const message = toBinary(TaskRequestSchema, create(TaskRequestSchema, { id, input }));
  const startedAt = performance.now();
  try {
    const bytes = await peer.call(
      ctx,
      { timeoutMs, repeatable: false },
      (attempt) =>
        peer.transport.unaryBytes(PATH, message, {
          ...attempt,
          timeoutMs: Math.min(attempt.timeoutMs, timeoutMs),
        }),
    );
    const wallMicros = Math.round((performance.now() - startedAt) * 1000);
    const output = Buffer.from(outputOf(peer, bytes));
    const limit = spec.limits.outputBytes ?? Infinity;
    if (output.length > limit) {
      throw new NodeError(
        "output_too_large",
        `The output has ${output.length} bytes, over the task's limit of ${limit}`,
        {
          data: { sizeBytes: output.length, limitBytes: limit },
        },
      );
    }
    const usage = { wallMicros, inputBytes: spec.input.length, outputBytes: output.length, instructions: 0 };
    return { id, output, contentType: "text/plain; charset=utf-8", usage, replayed: false };
  } catch (reason) {
    throw explain(reason, peer.target);
  }
}

/** The error of a call that the original protocol does not have. */
export function beyondLegacy(peer: Peer, what: string): NodeError {
  return new NodeError("unimplemented", `${peer.target} cannot ${what}: ${ABILITY}`, { data: { target: peer.target } });
}

function textOf(peer: Peer, spec: TaskSpec): string {
  if (spec.plugin !== "") throw beyondLegacy(peer, `run the plugin "${spec.plugin}"`);
  if (spec.function !== "") throw beyondLegacy(peer, `run the function "${spec.function}"`);
  try {
    return utf8.decode(spec.input);
  } catch {
    throw beyondLegacy(peer, `take this input of ${spec.input.length} bytes, which is no UTF-8`);
  }
}

function outputOf(peer: Peer, bytes: Uint8Array): string {
  try {
    return fromBinary(TaskResponseSchema, bytes).output;
  } catch (cause) {
    throw new NodeError("target_misbehaved", `The answer of ${peer.target} is no resources.TaskResponse`, {
      data: { target: peer.target },
      cause,
    });
  }
}
