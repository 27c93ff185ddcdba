import { z } from "@hono/zod-openapi";
import { json } from "./context.ts";
import { keepHistory, SPANS } from "./history.ts";
import { createNodeEvents } from "./node-events.ts";
import { EVENT_STREAM_HEADERS } from "./events.ts";
import { failures, jsonContent } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import { READING_NAMES } from "./readings.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";

const TAGS = ["Operations"];

const Stats = z.object({
  stepMs: z.int().openapi({ description: "Between points, in milliseconds.", examples: [5000] }),
  at: z.array(z.number()).openapi({ description: "Times of the points, milliseconds since the epoch." }),
  values: z.record(z.string(), z.array(z.number().nullable())).openapi({
    description: `A number for each point; null where nothing was measured. Readings: ${READING_NAMES.join(", ")}.`,
    examples: [{ tasksRunning: [0, 3] }],
  }),
}).openapi("Stats", { description: "What the node remembers of its load." });

/** The node's load over time, as the web page plots it. Monitoring has `/metrics`. */
export function addStatsRoutes(app: RestApp, options: RestAppOptions): void {
  const history = keepHistory(options);
  const serveEvents = createNodeEvents(options);

  addRoute(app, {
    method: "get",
    path: "/v1/stats",
    tags: TAGS,
    operationId: "getStats",
    scope: "read",
    summary: "Load over time",
    description: "The last hour every 5 seconds, or the last day every 2 minutes, since the node started.",
    request: {
      query: z.strictObject({
        span: z.enum(Object.keys(SPANS) as (keyof typeof SPANS)[]).optional().openapi({
          description: "How far back; an hour when it is left out.",
          examples: ["1h"],
        }),
      }),
    },
    responses: { 200: jsonContent(Stats, "The readings."), ...failures("invalid_argument") },
  }, (_, { query: { span = "1h" } }) => json(history.read(span), 200, { "Cache-Control": "no-store" }));

  addRoute(app, {
    method: "get",
    path: "/v1/events",
    tags: TAGS,
    operationId: "watchNode",
    scope: "read",
    summary: "Watch the node",
    description: "Server-sent events: `sample` with the present readings, at once and every two seconds.",
    responses: {
      200: {
        description: "The events; they end when the node stops.",
        content: {
          "text/event-stream": {
            schema: z.string().openapi({
              description: "Server-sent events.",
              examples: ['event: sample\ndata: {"at":1764104896000,"values":{"tasksRunning":2}}\n\n'],
            }),
          },
        },
      },
      ...failures("overloaded"),
    },
  }, (c) => {
    if (c.env.incoming.method === "HEAD") return new Response(null, { headers: EVENT_STREAM_HEADERS });
    return serveEvents(c);
  });
}
