import { z } from "@hono/zod-openapi";
import type { PluginInfo } from "../core/mod.ts";
import { readBody } from "./body.ts";
import { json, withCall } from "./context.ts";
import { binaryContent, failures, jsonContent } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import { addRoute, mediaType, readJson, wrongMediaType } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { Plugin, PluginChange, PluginList, PluginRef, PluginSource } from "./plugin-schemas.ts";
import { Sha256 } from "./schema-fields.ts";

const TAGS = ["Plugins"];
const PluginParams = z.object({ ref: PluginRef });
const WASM = "application/wasm";

/** Plugins: list, install, switch on and off, remove, without a restart. */
export function addPluginRoutes(app: RestApp, options: RestAppOptions): void {
  const { plugins, limits } = options;

  addRoute(app, {
    method: "get",
    path: "/v1/plugins",
    tags: TAGS,
    operationId: "listPlugins",
    scope: ["read", "tasks", "plugins"],
    summary: "List plugins",
    responses: { 200: jsonContent(PluginList, "All plugins of the node."), ...failures() },
  }, () => json({ plugins: plugins.list() }));

  addRoute(app, {
    method: "post",
    path: "/v1/plugins",
    tags: TAGS,
    operationId: "installPlugin",
    scope: "plugins",
    summary: "Install a plugin",
    description:
      "Send a WASM module as `application/wasm`, or say in JSON where to download it and which digest it has. It " +
      "is checked and prepared before it replaces anything, and takes tasks at once.",
    request: {
      query: z.strictObject({
        sha256: Sha256.optional().openapi({ description: "The digest that the uploaded module must have." }),
      }),
      body: {
        required: true,
        content: { ...binaryContent(WASM, "@plugin.wasm"), "application/json": { schema: PluginSource } },
      },
    },
    responses: {
      201: {
        ...jsonContent(Plugin, "The plugin."),
        headers: { Location: { description: "Where to ask for it.", schema: { type: "string" } } },
      },
      ...failures("invalid_argument", "already_exists", "input_too_large", "module_invalid", "storage_full"),
    },
  }, async (c, { query: { sha256 } }) => {
    const type = mediaType(c);
    if (type === WASM) {
      const bytes = await readBody(c.env, limits);
      return installed(await plugins.installBytes(bytes, sha256 === undefined ? {} : { sha256 }));
    }
    if (type !== "application/json") throw wrongMediaType(type, `${WASM} or application/json`);
    const source = await readJson(c, PluginSource, limits);
    return installed(
      await withCall(c, options, ({ signal }) => plugins.installUrl(source.url, { sha256: source.sha256, signal })),
    );
  });

  addRoute(app, {
    method: "get",
    path: "/v1/plugins/{ref}",
    tags: TAGS,
    operationId: "getPlugin",
    scope: ["read", "tasks", "plugins"],
    summary: "See a plugin",
    request: { params: PluginParams },
    responses: {
      200: jsonContent(Plugin, "The plugin."),
      ...failures("invalid_argument", "plugin_not_found"),
    },
  }, (_, { params }) => json(plugins.get(params.ref)));

  addRoute(app, {
    method: "patch",
    path: "/v1/plugins/{ref}",
    tags: TAGS,
    operationId: "changePlugin",
    scope: "plugins",
    summary: "Enable or disable a plugin",
    description: "A disabled plugin keeps the tasks that run, and takes no new ones.",
    request: {
      params: PluginParams,
      body: { required: true, content: { "application/json": { schema: PluginChange } } },
    },
    responses: {
      200: jsonContent(Plugin, "The plugin as it is now."),
      ...failures("invalid_argument", "plugin_not_found"),
    },
  }, async (c, { params }) => {
    const { enabled } = await readJson(c, PluginChange, limits);
    return json(await plugins.setEnabled(params.ref, enabled));
  });

  addRoute(app, {
    method: "delete",
    path: "/v1/plugins/{ref}",
    tags: TAGS,
    operationId: "removePlugin",
    scope: "plugins",
    summary: "Remove a plugin",
    description: "Forgets the plugin and its module. Tasks that run it end first.",
    request: { params: PluginParams },
    responses: {
      204: { description: "It is gone." },
      ...failures("invalid_argument", "plugin_not_found", "failed_precondition"),
    },
  }, async (_, { params }) => {
    await plugins.remove(params.ref);
    return new Response(null, { status: 204 });
  });
}

function installed(plugin: PluginInfo): Response {
  const ref = encodeURIComponent(`${plugin.name}@${plugin.version}`);
  return json(plugin, 201, { Location: `/v1/plugins/${ref}` });
}
