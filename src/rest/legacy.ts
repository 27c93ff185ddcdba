import { Buffer, isUtf8 } from "node:buffer";
import { inSpan, NodeError, type Span } from "../core/mod.ts";
import { type NodeExchange, readBody } from "./body.ts";
import { withExchangeCall } from "./context.ts";
import { goString, readGoStrings } from "./go-json.ts";
import { decodeUtf8 } from "./json-text.ts";
import type { RestAppOptions } from "./options.ts";
import { failures, jsonBody, jsonContent } from "./openapi.ts";
import { addRoute } from "./routes.ts";
import type { RestApp, RouteScope } from "./routes.ts";
import { LegacyInfo, LegacyResult, LegacyTask } from "./legacy-schemas.ts";
import { bufferOf } from "./task-json.ts";

const FIELDS = ["target", "id", "input"] as const;
const JSON_HEADERS = { "Content-Type": "application/json" };
const NO_LIMITS = {};

/** Which tokens may call `POST /task`; its fast path asks, too. */
export const LEGACY_TASK_SCOPE = "tasks" satisfies RouteScope;

/** A request for {@link runLegacyTask}. */
export interface LegacyExchange extends NodeExchange {
  readonly requestId: string;
  /** What the task is part of, where that is not what the running code works for. */
  readonly span?: Span | undefined;
}

/** Runs the task that the body of `POST /task` asks for, and returns the body of the answer. */
export async function runLegacyTask(
  body: Uint8Array,
  exchange: LegacyExchange,
  options: RestAppOptions,
): Promise<string> {
  const { target, id, input } = readGoStrings(decodeUtf8(body, "The body"), FIELDS);
  const service = options.tasks.at(target);
  const spec = {
    id: "", // The original ran every call, whatever its id.
    plugin: "",
    function: "",
    input: Buffer.from(input, "utf8"),
    contentType: "text/plain",
    limits: NO_LIMITS,
    priority: 0,
  };
  const { output } = await withExchangeCall(exchange, options, (ctx) => {
    // Here the span goes with the call, which costs less; what is sent elsewhere may take several calls to others.
    return target === "" || ctx.span === undefined
      ? service.run(spec, ctx)
      : inSpan(ctx.span, () => service.run(spec, ctx));
  });
  if (!isUtf8(output)) {
    throw new NodeError(
      "failed_precondition",
      `The task gave ${output.length} bytes that are not UTF-8, which this route cannot show; use POST /v1/tasks/run`,
      { data: { outputBytes: output.length } },
    );
  }
  const shownId = id === "" ? "" : `"id":${goString(id)},`;
  return `{${shownId}"output":${goString(bufferOf(output).toString("utf8"))}}`;
}

/** The calls of Velas Sphere Node (Go, 2020), byte for byte. */
export function addLegacyRoutes(app: RestApp, options: RestAppOptions): void {
  addRoute(app, {
    method: "post",
    path: "/task",
    tags: ["Compatibility"],
    operationId: "legacyRunTask",
    scope: LEGACY_TASK_SCOPE,
    summary: "Run a task as Velas Sphere Node did",
    description:
      "Runs the first function of the target's default plugin. The body is JSON whatever its Content-Type. " +
      "The answer is text, so a task with another output fails here; `POST /v1/tasks/run` takes those too.",
    request: { body: jsonBody(LegacyTask) },
    responses: {
      200: jsonContent(LegacyResult, "The output."),
      ...failures("invalid_argument", "input_too_large", "plugin_failed", "target_unreachable", "overloaded"),
    },
  }, async (c) => {
    const body = await readBody(c.env, options.limits);
    return new Response(await runLegacyTask(body, { ...c.env, requestId: c.get("requestId") }, options), {
      headers: JSON_HEADERS,
    });
  });

  addRoute(app, {
    method: "get",
    path: "/info",
    tags: ["Compatibility"],
    operationId: "legacyInfo",
    scope: "any",
    summary: "Describe the node as Velas Sphere Node did",
    responses: { 200: jsonContent(LegacyInfo, "Name and version."), ...failures() },
  }, () => {
    const { name, version } = options.node.describe();
    return new Response(`{"name":${goString(name)},"version":${goString(version)}}`, { headers: JSON_HEADERS });
  });
}
