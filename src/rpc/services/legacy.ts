import { Buffer } from "node:buffer";
import type { CallContext, TaskService } from "../../core/mod.ts";
import { Plugin } from "../../gen/resources/plugin_pb.ts";
import { Provider } from "../../gen/resources/provider_pb.ts";
import { type Route, unary } from "../route.ts";

const EMPTY = { id: "", plugin: "", function: "", contentType: "", limits: {}, priority: 0 } as const;

/** `resources.Provider` and `resources.Plugin` of the original node, for its clients and nodes. */
export function legacyRoutes(tasks: TaskService): Route[] {
  // The original ran each call, whatever its id: the id is not the task's, it is only given back.
  const run = async (request: { id: string; input: string }, ctx: CallContext) => {
    const result = await tasks.run({ ...EMPTY, input: Buffer.from(request.input) }, ctx);
    const { buffer, byteOffset, length } = result.output;
    return { id: request.id, output: Buffer.from(buffer, byteOffset, length).toString() };
  };
  return [
    unary(Provider.method.requestTaskExecution, run),
    unary(Plugin.method.requestJobExecution, run),
  ];
}
