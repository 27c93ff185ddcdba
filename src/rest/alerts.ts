import { z } from "@hono/zod-openapi";
import { type Alert, ALERT_NAMES } from "../core/mod.ts";
import { json } from "./context.ts";
import { failures, jsonContent } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";

const AlertJson = z.object({
  name: z.enum(ALERT_NAMES).openapi({ description: "Which one.", examples: ["low_disk"] }),
  message: z.string().openapi({
    description: "What is wrong and what to do.",
    examples: ["The chain cannot be used …"],
  }),
  since: z.string().openapi({ description: "When it was raised.", examples: ["2026-11-23T20:38:16.000Z"] }),
}).openapi("Alert", { description: "Something that needs the operator." });

const AlertList = z.object({ alerts: z.array(AlertJson).openapi({ description: "Each name at most once." }) }).openapi(
  "AlertList",
  {
    description: "Alerts, oldest first.",
  },
);

/** An alert as JSON. */
export function alertJson({ name, message, since }: Alert): z.infer<typeof AlertJson> {
  return { name, message, since: new Date(since).toISOString() };
}

/** What the operator should know now. */
export function addAlertRoutes(app: RestApp, { alerts = () => [] }: RestAppOptions): void {
  addRoute(app, {
    method: "get",
    path: "/v1/alerts",
    tags: ["Operations"],
    operationId: "listAlerts",
    scope: ["read", "admin"],
    summary: "What needs the operator",
    description: "Alerts that are raised now. Metrics have them as `velas_alert`, `/v1/events` in each sample.",
    responses: { 200: jsonContent(AlertList, "The alerts; none when all is well."), ...failures() },
  }, () => json({ alerts: alerts().map(alertJson) }, 200, { "Cache-Control": "no-store" }));
}
