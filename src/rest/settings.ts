import { z } from "@hono/zod-openapi";
import { json } from "./context.ts";
import { failures, jsonContent } from "./openapi.ts";
import type { EffectiveSetting, RestAppOptions } from "./options.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";

const Setting = z.object({
  key: z.string().openapi({ description: "Group and name.", examples: ["tasks.maxQueued"] }),
  value: z.string().optional().openapi({
    description: "As people read it; absent when it is not set, and for secrets.",
    examples: ["16 MiB"],
  }),
  secret: z.boolean().openapi({ description: "Whether its value is never shown.", examples: [false] }),
  isSet: z.boolean().openapi({ description: "Whether it has a value.", examples: [true] }),
  source: z.string().openapi({ description: "Where the value comes from.", examples: ["default"] }),
  description: z.string().openapi({ description: "What it is for.", examples: ["Tasks that may wait."] }),
}).openapi("Setting");

const Settings = z.object({
  settings: z.array(Setting).openapi({ description: "All settings, in the order of the reference." }),
}).openapi("Settings");

const keys = (description: string) =>
  z.array(z.string().openapi({ description: "A setting.", examples: ["log.level"] })).openapi({ description });

const Reloaded = z.object({
  applied: keys("What changed and counts from now on."),
  needRestart: keys("What changed and counts after a restart."),
}).openapi("ConfigChanges");

/** Reads the configuration anew, as SIGHUP does. */
export function addReloadRoute(app: RestApp, reload: NonNullable<RestAppOptions["reload"]>): void {
  addRoute(app, {
    method: "post",
    path: "/v1/config/reload",
    tags: ["Operations"],
    operationId: "reloadConfig",
    scope: "admin",
    summary: "Read the configuration anew",
    description:
      "Takes over what can change while the node runs, and says what else changed. A configuration with a fault changes nothing.",
    responses: { 200: jsonContent(Reloaded, "What changed."), ...failures("config_invalid", "failed_precondition") },
  }, () => json({ ...reload() }, 200, { "Cache-Control": "no-store" }));
}

/** What the node runs with, to be read only: a setting is changed where its source is. */
export function addSettingsRoute(app: RestApp, settings: () => readonly EffectiveSetting[]): void {
  addRoute(app, {
    method: "get",
    path: "/v1/config",
    tags: ["Operations"],
    operationId: "getConfig",
    scope: "admin",
    summary: "The effective configuration",
    description:
      "Every setting with its value and where that comes from. Secrets are not shown, only whether they are set.",
    responses: { 200: jsonContent(Settings, "The configuration."), ...failures() },
  }, () =>
    json(
      {
        settings: settings().map(({ value, secret, ...rest }) => ({
          ...rest,
          ...(secret || value === undefined ? {} : { value }),
          secret,
          isSet: value !== undefined,
        })),
      },
      200,
      { "Cache-Control": "no-store" },
    ));
}
