import { z } from "@hono/zod-openapi";
import {
  isEnd,
  NodeError,
  type PeerWish,
  type TaskResult,
  type TaskRouter,
  type TaskStarter,
  wei,
} from "../core/mod.ts";
import { json, withCall } from "./context.ts";
import { EVENT_STREAM_HEADERS } from "./events.ts";
import type { ServeEvents } from "./events.ts";
import { binaryContent, failures, jsonBody, jsonContent } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import { addRoute, readJson, readOptionalJson } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { runStreaming, TASK_ID_HEADER } from "./run.ts";
import { FunctionName, PluginRef } from "./plugin-schemas.ts";
import { DEFAULT_PAGE_SIZE, fromText, PageSize, Target } from "./schema-fields.ts";
import * as schemas from "./task-schemas.ts";
import {
  Instructions,
  MaxPrice,
  MemoryBytes,
  OutputBytes,
  Priority,
  Region,
  RunSpec,
  TargetOnly,
  TaskSpec,
  TimeoutMs,
} from "./task-spec-schemas.ts";
import { HeldOutputs } from "./held-outputs.ts";
import { alreadySent, FOREIGN_CONTENT_HEADERS, writeWhole } from "./stream.ts";
import { eventJson, limitsOf, resultJson, specOf, taskJson } from "./task-json.ts";

const TAGS = ["Tasks"];
const TaskParams = z.object({ id: schemas.TaskId });
const TargetQuery = z.strictObject({ target: Target.optional() });

const WaitMs = fromText(TimeoutMs).optional().openapi({
  description: "How long the call may take as a whole, in milliseconds; after that it is canceled.",
});

const ListQuery = z.strictObject({
  state: z.preprocess(
    (value) => typeof value === "string" ? value.split(",") : value,
    z.array(schemas.TaskState).max(schemas.TaskState.options.length),
  ).optional().openapi({
    description: "Only tasks in these states: repeated, or with commas between.",
    examples: [["queued", "running"]],
  }),
  pageSize: fromText(PageSize).optional(),
  pageToken: z.string().max(512).optional().openapi({
    description: "The `nextPageToken` of the page before.",
    examples: [""],
  }),
  target: Target.optional(),
});

const RunParams = z.object({ plugin: PluginRef, function: FunctionName.min(1) });

const RunQuery = z.strictObject({
  id: schemas.TaskId.optional(),
  target: Target.optional(),
  any: z.preprocess((value) => value === "true" ? true : value === "false" ? false : value, z.boolean()).optional()
    .openapi({ description: "Whether to run it at the known peer that fits best.", examples: [false] }),
  maxPrice: MaxPrice.optional(),
  region: Region.optional(),
  timeoutMs: WaitMs,
  memoryBytes: fromText(MemoryBytes).optional(),
  outputBytes: fromText(OutputBytes).optional(),
  instructions: fromText(Instructions).optional(),
  priority: fromText(Priority).optional(),
});

interface Wish {
  readonly maxPrice?: string | undefined;
  readonly region?: string | undefined;
}

/** Where a task begins: at its target, or at any provider that fits. */
function serviceOf(
  tasks: TaskRouter,
  { target, any }: {
    readonly target?: string | undefined;
    readonly any?: Wish | undefined;
  },
): TaskStarter {
  if (any === undefined) return tasks.at(target ?? "");
  if (tasks.any === undefined) throw new NodeError("unimplemented", "This node knows no peers: name the task's target");
  return tasks.any(wishOf(any));
}

function wishOf({ maxPrice, region }: Wish): PeerWish {
  return {
    ...(maxPrice !== undefined && { maxPrice: wei(BigInt(maxPrice)) }),
    ...(region !== undefined && { region }),
  };
}

/** Where a task runs that is waited for: at several providers when it is to be verified. */
function runnerOf(tasks: TaskRouter, body: z.output<typeof RunSpec>): Pick<TaskStarter, "run"> {
  const { verify, any } = body;
  if (verify === undefined) return serviceOf(tasks, body);
  if (tasks.verified === undefined) throw new NodeError("unimplemented", "This node cannot verify tasks");
  const { replicas, targets } = verify;
  return tasks.verified({ replicas, ...(targets && { targets }), ...(any && { wish: wishOf(any) }) });
}

/** What a run may end with. */
const RUN_FAILURES = failures(
  "invalid_argument",
  "plugin_not_found",
  "function_not_found",
  "already_exists",
  "input_too_large",
  "output_too_large",
  "memory_exceeded",
  "budget_exceeded",
  "plugin_trapped",
  "plugin_failed",
  "plugin_unavailable",
  "deadline_exceeded",
  "canceled",
  "overloaded",
  "shutting_down",
  "target_unreachable",
  "no_peer_fits",
  "target_misbehaved",
  "target_failed",
);

/** Tasks: run at once, run as a stream, or queue and come back. */
export function addTaskRoutes(app: RestApp, options: RestAppOptions, serveEvents: ServeEvents): void {
  const { tasks, limits } = options;
  const held = new HeldOutputs();

  addRoute(app, {
    method: "post",
    path: "/v1/tasks",
    tags: TAGS,
    operationId: "submitTask",
    scope: "tasks",
    summary: "Queue a task",
    description:
      "Stores the task and answers at once; it survives a restart of the node. Sending it again with the same " +
      "id and input changes nothing and answers with the record as it is.",
    request: { body: jsonBody(TaskSpec) },
    responses: {
      202: {
        ...jsonContent(schemas.Task, "The task's record."),
        headers: {
          Location: { description: "Where to ask for it.", schema: { type: "string", examples: ["/v1/tasks/job-1"] } },
        },
      },
      ...failures(
        "invalid_argument",
        "plugin_not_found",
        "function_not_found",
        "already_exists",
        "input_too_large",
        "overloaded",
        "storage_full",
        "target_unreachable",
        "no_peer_fits",
      ),
    },
  }, async (c) => {
    const body = await readJson(c, TaskSpec, limits);
    const service = serviceOf(tasks, body);
    const task = await withCall(c, options, (ctx) => service.submit(specOf(body), ctx));
    const target = body.target ?? "";
    const query = target === "" ? "" : `?target=${encodeURIComponent(target)}`;
    return json(taskJson(task), 202, { Location: `/v1/tasks/${encodeURIComponent(task.id)}${query}` });
  });

  addRoute(app, {
    method: "get",
    path: "/v1/tasks",
    tags: TAGS,
    operationId: "listTasks",
    scope: ["read", "tasks"],
    summary: "List tasks",
    description:
      "Your tasks, newest first: those that this node ran, and those that it sent elsewhere, which have a `target`. A task that was " +
      "run without an id is kept by nobody.",
    request: { query: ListQuery },
    responses: {
      200: jsonContent(schemas.TaskPage, "A page of tasks."),
      ...failures("invalid_argument", "target_unreachable"),
    },
  }, async (c, { query }) => {
    const { state: states = [], pageSize = DEFAULT_PAGE_SIZE, pageToken = "", target = "" } = query;
    const page = await withCall(c, options, (ctx) => tasks.at(target).list({ states, pageSize, pageToken }, ctx));
    return json({ tasks: page.tasks.map(taskJson), nextPageToken: page.nextPageToken });
  });

  addRoute(app, {
    method: "post",
    path: "/v1/tasks/run",
    tags: TAGS,
    operationId: "runTask",
    scope: "tasks",
    summary: "Run a task and wait",
    description:
      "Answers with the output. Closing the connection cancels the task. With `verify` several providers run it, and the " +
      "output is what more than half of them agree on.",
    request: { query: z.strictObject({ timeoutMs: WaitMs }), body: jsonBody(RunSpec) },
    responses: { 200: jsonContent(schemas.TaskResult, "What it gave."), ...RUN_FAILURES },
  }, async (c, { query: { timeoutMs } }) => {
    const body = await readJson(c, RunSpec, limits);
    const service = runnerOf(tasks, body);
    return json(resultJson(await withCall(c, { ...options, timeoutMs }, (ctx) => service.run(specOf(body), ctx))));
  });

  addRoute(app, {
    method: "post",
    path: "/v1/run/{plugin}/{function}",
    tags: TAGS,
    operationId: "runStreaming",
    scope: "tasks",
    summary: "Run a function on raw bytes",
    description:
      "The body is the input, of any type and length; the answer's body is the output. Both are streamed where " +
      "the plugin can. When a run fails after output has begun, the connection is cut: an answer that ends well is whole.",
    request: { params: RunParams, query: RunQuery, body: { required: false, content: binaryContent("*/*", "hello") } },
    responses: {
      200: {
        description: "The output, with the media type that the plugin gave it.",
        content: binaryContent("*/*", "world"),
        headers: { [TASK_ID_HEADER]: { description: "The task's id.", schema: { type: "string" } } },
      },
      ...RUN_FAILURES,
    },
  }, (c, { params, query }) => {
    const { timeoutMs, memoryBytes, outputBytes, instructions, target = "", id = "", priority = 0 } = query;
    const spec = {
      id,
      plugin: params.plugin,
      function: params.function,
      input: new Uint8Array(0),
      contentType: c.env.incoming.headers["content-type"] ?? "",
      limits: limitsOf({ timeoutMs, memoryBytes, outputBytes, instructions }),
      priority,
    };
    const { any, maxPrice, region } = query;
    if (any !== true && (maxPrice !== undefined || region !== undefined)) {
      throw new NodeError("invalid_argument", "maxPrice and region choose among providers: add any=true", {
        data: { field: "any" },
      });
    }
    if (any === true && target !== "") {
      throw new NodeError("invalid_argument", "Give either target or any, not both", { data: { field: "any" } });
    }
    const service = serviceOf(tasks, any === true ? { any: { maxPrice, region } } : { target });
    return withCall(c, { ...options, timeoutMs }, (ctx) => runStreaming(c, service, { spec, ctx, options }));
  });

  addRoute(app, {
    method: "get",
    path: "/v1/tasks/{id}",
    tags: TAGS,
    operationId: "getTask",
    scope: ["read", "tasks"],
    summary: "See a task",
    request: { params: TaskParams, query: TargetQuery },
    responses: {
      200: jsonContent(schemas.Task, "Its record."),
      ...failures("invalid_argument", "not_found", "target_unreachable"),
    },
  }, async (c, { params: { id }, query: { target = "" } }) => {
    return json(taskJson(await withCall(c, options, (ctx) => tasks.at(target).get(id, ctx))));
  });

  addRoute(app, {
    method: "get",
    path: "/v1/tasks/{id}/output",
    tags: TAGS,
    operationId: "getTaskOutput",
    scope: "tasks",
    summary: "Fetch a task's output",
    request: { params: TaskParams, query: TargetQuery },
    responses: {
      200: {
        description: "The output of a succeeded task, with the media type that the plugin gave it.",
        content: binaryContent("*/*", "world"),
      },
      ...failures(
        "invalid_argument",
        "not_found",
        "failed_precondition",
        "expired",
        "overloaded",
        "target_unreachable",
      ),
    },
  }, async (c, { params: { id }, query: { target = "" } }) => {
    const { incoming, outgoing } = c.env;
    const read = () => withCall(c, options, (ctx) => tasks.at(target).output(id, ctx));
    const use = async (result: TaskResult) => {
      const headers = {
        "Content-Type": result.contentType || "application/octet-stream",
        "Content-Length": String(result.output.length),
        [TASK_ID_HEADER]: result.id,
        ...FOREIGN_CONTENT_HEADERS,
      };
      // Hono answers HEAD by itself, from the answer to GET.
      if (incoming.method === "HEAD") return new Response(null, { headers });
      outgoing.writeHead(200, headers);
      await writeWhole(outgoing, result.output, limits.idleTimeoutMs);
      return alreadySent();
    };
    return await held.hold(target, { read, use });
  });

  addRoute(app, {
    method: "get",
    path: "/v1/tasks/{id}/events",
    tags: TAGS,
    operationId: "watchTask",
    scope: "tasks",
    summary: "Watch a task",
    description:
      "Server-sent events from now on, the present state and what the plugin said last first: `state` (a task's record), `log` (level, message, " +
      "at), `progress` (fraction, message, at) and `chunk` (bytesBase64). The stream ends after the task's end, whose event " +
      "has the id `end`.",
    request: { params: TaskParams, query: TargetQuery },
    responses: {
      200: {
        description: "The events.",
        content: {
          "text/event-stream": {
            schema: z.string().openapi({
              description: "Server-sent events.",
              examples: [
                'id: 1\nevent: progress\ndata: {"fraction":0.5,"message":"","at":"2026-11-23T20:38:16.000Z"}\n\n',
              ],
            }),
          },
        },
      },
      204: { description: "The client has seen the end already (`Last-Event-ID: end`)." },
      ...failures("invalid_argument", "not_found", "overloaded", "target_unreachable"),
    },
  }, async (c, { params: { id }, query: { target = "" } }) => {
    const service = tasks.at(target);
    if (c.env.incoming.method === "HEAD") {
      await withCall(c, options, (ctx) => service.get(id, ctx));
      return new Response(null, { headers: EVENT_STREAM_HEADERS });
    }
    return await serveEvents(c, {
      open: (ctx) => service.watch(id, ctx),
      json: eventJson,
      isLast: (event) => event.type === "state" && isEnd(event.task.state),
    });
  });

  addRoute(app, {
    method: "post",
    path: "/v1/tasks/{id}/cancel",
    tags: TAGS,
    operationId: "cancelTask",
    scope: "tasks",
    summary: "Cancel a task",
    description: "Stops it whether it waits or runs. On a finished task it changes nothing.",
    request: {
      params: TaskParams,
      query: TargetQuery,
      body: { required: false, content: { "application/json": { schema: TargetOnly } } },
    },
    responses: {
      200: jsonContent(schemas.Task, "Its record."),
      ...failures("invalid_argument", "not_found", "target_unreachable"),
    },
  }, async (c, { params: { id }, query }) => {
    const body = await readOptionalJson(c, TargetOnly, limits);
    const target = body.target ?? query.target ?? "";
    return json(taskJson(await withCall(c, options, (ctx) => tasks.at(target).cancel(id, ctx))));
  });
}
