import { z } from "@hono/zod-openapi";
import { ACCESS_SCOPES } from "../core/mod.ts";
import { json, withCall } from "./context.ts";
import { failures, jsonContent } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { Health, Node, Readiness } from "./node-schemas.ts";
import { Target } from "./schema-fields.ts";
import { nodeJson } from "./task-json.ts";

/** The node itself: who it is, whether it is well, and what it counts. */
export function addOperationRoutes(app: RestApp, options: RestAppOptions): void {
  const { node, peers, health, metrics } = options;

  addRoute(app, {
    method: "get",
    path: "/v1/node",
    tags: ["Node"],
    operationId: "getNode",
    // Every peer may ask the node this; `target` wants more than to read.
    scope: ACCESS_SCOPES,
    summary: "Describe a node",
    description: "This node, or with `target` another one, whose answer is checked against its signature.",
    request: { query: z.strictObject({ target: Target.optional() }) },
    responses: {
      200: jsonContent(Node, "The node."),
      ...failures("invalid_argument", "target_unreachable", "target_misbehaved", "target_failed"),
    },
  }, async (c, { query: { target = "" } }) => {
    if (target === "") return json(nodeJson(node.describe()));
    return json(nodeJson(await withCall(c, options, ({ signal }) => peers.info(target, signal))));
  });

  addRoute(app, {
    method: "get",
    path: "/healthz",
    tags: ["Operations"],
    operationId: "checkHealth",
    scope: "open",
    summary: "Is the process well?",
    description: "For a supervisor, which restarts the node when this fails. It never needs a token.",
    responses: {
      200: jsonContent(Health, "It works."),
      503: jsonContent(Health, "It does not; restart it."),
    },
  }, () => {
    const live = health.live();
    return json({ status: live ? "ok" : "failing" }, live ? 200 : 503, { "Cache-Control": "no-store" });
  });

  addRoute(app, {
    method: "get",
    path: "/readyz",
    tags: ["Operations"],
    operationId: "checkReadiness",
    scope: "any",
    summary: "Does it take requests?",
    description:
      "For a load balancer. A node that drains, or whose disk is full or cannot be written, does not, and says why.",
    responses: {
      ...failures(),
      200: jsonContent(Readiness, "It does."),
      503: jsonContent(Readiness, "It does not now."),
    },
  }, () => {
    const { ready, reasons } = health.ready();
    return json({ ready, reasons }, ready ? 200 : 503, { "Cache-Control": "no-store" });
  });

  addRoute(app, {
    method: "get",
    path: "/metrics",
    tags: ["Operations"],
    operationId: "getMetrics",
    scope: "read",
    summary: "Metrics for Prometheus",
    responses: {
      200: {
        description: "All metrics in the Prometheus text format.",
        content: {
          "text/plain": {
            schema: z.string().openapi({
              description: "Prometheus text exposition format.",
              examples: ['velas_http_requests_total{method="POST",route="/task",status="200"} 12'],
            }),
          },
        },
      },
      ...failures(),
    },
  }, async () => {
    return new Response(await metrics.render(), {
      headers: { "Content-Type": metrics.contentType, "Cache-Control": "no-store" },
    });
  });
}
