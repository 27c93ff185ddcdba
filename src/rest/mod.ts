/**
 * The REST face: what the node's owner and their programs speak. `createRestApp` builds a Hono application: a request passes
 * one middleware (its name in logs, who may call at all, measuring), then its route, whose zod schemas both check path,
 * query and body and generate the OpenAPI document that `/v1/openapi.json` and the page at `/v1/docs` show. Routes
 * turn JSON into the core's types, call the services that they were given, and turn the answer back; they decide
 * nothing else. Every failure is a NodeError and becomes problem+json in one place (`boundary.ts`) through one table
 * (`problem.ts`). Bodies and long answers go straight from and to Node's streams, bounded and timed (`body.ts`, `stream.ts`).
 * `POST /task`, the busiest route, passes Hono by when it is ordinary (`task-fast-path.ts`). `POST /task`, `POST` and `GET /file` and `GET /info` answer as Velas Sphere Node did, byte for byte (`legacy.ts`, `legacy-files.ts`). `createRestServer` listens.
 */
export { createRestApp } from "./app.ts";
export type { NodeExchange } from "./body.ts";
export type { RestEnv } from "./context.ts";
export { createMetrics } from "./metrics.ts";
export type { MetricsOptions, MetricsRegistry } from "./metrics.ts";
export { DEFAULT_REST_LIMITS } from "./options.ts";
export type {
  FileFace,
  HealthSource,
  ModuleFace,
  PluginAdmin,
  RestAppOptions,
  RestLimits,
  ShardKeeping,
} from "./options.ts";
export { PROBLEM_TYPE, PROBLEMS } from "./problem.ts";
export type { Problem, ProblemKind } from "./problem.ts";
export type { RestApp } from "./routes.ts";
export { createRestServer } from "./server.ts";
export type { RestAddress, RestServer, RestServerOptions } from "./server.ts";
export { createTaskFastPath } from "./task-fast-path.ts";
export type { RestFastPath } from "./task-fast-path.ts";
