import { z } from "@hono/zod-openapi";
import { moduleNotHere, sha256Hex } from "../core/mod.ts";
import type { CachedModule } from "../core/mod.ts";
import { readBody } from "./body.ts";
import { json, withCall } from "./context.ts";
import { binaryContent, failures, jsonContent } from "./openapi.ts";
import type { ModuleFace, RestAppOptions } from "./options.ts";
import { addRoute, mediaType, wrongMediaType } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { ModuleList, UploadedModule } from "./plugin-schemas.ts";
import { Sha256 } from "./schema-fields.ts";
import { moduleJson } from "./task-json.ts";

const TAGS = ["Plugins"];
const ModuleParams = z.object({ sha256: Sha256 });
const WASM = "application/wasm";

/** Modules that tasks bring along: upload, look up, remove. Nothing is installed by it. */
export function addModuleRoutes(app: RestApp, options: RestAppOptions & { readonly modules: ModuleFace }): void {
  const { modules: { service, kept }, limits } = options;

  addRoute(app, {
    method: "get",
    path: "/v1/modules",
    tags: TAGS,
    operationId: "listModules",
    scope: ["read", "tasks", "plugins"],
    summary: "List uploaded modules",
    description: "Yours and those of requesters. The first makes room for the next that is uploaded.",
    responses: { 200: jsonContent(ModuleList, "The least recently used first."), ...failures() },
  }, () => json({ modules: kept.list().map(moduleJson) }));

  addRoute(app, {
    method: "post",
    path: "/v1/modules",
    tags: TAGS,
    operationId: "uploadModule",
    scope: ["tasks", "plugins"],
    summary: "Upload a module for tasks that name it by its SHA-256",
    description:
      "It is kept as long as there is room, without being installed, and runs without any permission. Tasks " +
      "with a `target` take it along to a provider that lacks it and takes modules. The same module again changes nothing.",
    request: {
      query: z.strictObject({
        sha256: Sha256.optional().openapi({ description: "The digest that the module must have." }),
      }),
      body: { required: true, content: { ...binaryContent(WASM, "@plugin.wasm") } },
    },
    responses: {
      201: {
        ...jsonContent(UploadedModule, "The module."),
        headers: { Location: { description: "Where to ask for it.", schema: { type: "string" } } },
      },
      ...failures(
        "invalid_argument",
        "input_too_large",
        "module_invalid",
        "storage_full",
        "overloaded",
        "deadline_exceeded",
      ),
    },
  }, async (c, { query }) => {
    const type = mediaType(c);
    if (type !== WASM) throw wrongMediaType(type, WASM);
    const bytes = await readBody(c.env, limits);
    const order = { sha256: query.sha256 ?? sha256Hex(bytes), sizeBytes: bytes.length };
    const { sha256 } = await withCall(c, options, (ctx) => service.upload(once(bytes), order, ctx));
    return json(moduleJson(found(kept.get(sha256), sha256)), 201, { Location: `/v1/modules/${sha256}` });
  });

  addRoute(app, {
    method: "get",
    path: "/v1/modules/{sha256}",
    tags: TAGS,
    operationId: "getModule",
    scope: ["read", "tasks", "plugins"],
    summary: "See an uploaded module",
    request: { params: ModuleParams },
    responses: {
      200: jsonContent(UploadedModule, "The module."),
      ...failures("invalid_argument", "plugin_not_found"),
    },
  }, (_, { params: { sha256 } }) => json(moduleJson(found(kept.get(sha256), sha256))));

  addRoute(app, {
    method: "delete",
    path: "/v1/modules/{sha256}",
    tags: TAGS,
    operationId: "removeModule",
    scope: "plugins",
    summary: "Remove an uploaded module",
    description: "Whoever uploaded it may upload it again.",
    request: { params: ModuleParams },
    responses: {
      204: { description: "It is gone." },
      ...failures("invalid_argument", "plugin_not_found", "failed_precondition"),
    },
  }, async (_, { params: { sha256 } }) => {
    await kept.remove(sha256);
    return new Response(null, { status: 204 });
  });
}

function found(module: CachedModule | undefined, sha256: string): CachedModule {
  if (module !== undefined) return module;
  throw moduleNotHere(sha256);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}
