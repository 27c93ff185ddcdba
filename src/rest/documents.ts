import { z } from "@hono/zod-openapi";
import { createHash } from "node:crypto";
import { json } from "./context.ts";
import type { RestContext } from "./context.ts";
import { renderDocs } from "./docs-page.ts";
import { failures, jsonContent, openApiDocument } from "./openapi.ts";
import type { RestAppOptions } from "./options.ts";
import { PAGE_HEADERS } from "./page.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { Landing } from "./node-schemas.ts";
import { uiFile } from "./ui.ts";

const TAGS = ["Operations"];

/** Where the answer to programs leads, and by which the web page knows what this node has. */
const LINKS = {
  docs: "/v1/docs",
  openapi: "/v1/openapi.json",
  node: "/v1/node",
  plugins: "/v1/plugins",
  modules: "/v1/modules",
  tasks: "/v1/tasks",
  files: "/v1/files",
  uploads: "/v1/uploads",
  shards: "/v1/shards",
  peers: "/v1/peers",
  payments: "/v1/payments",
  config: "/v1/config",
  stats: "/v1/stats",
  events: "/v1/events",
  health: "/healthz",
  readiness: "/readyz",
  metrics: "/metrics",
};

/** The links whose routes are there: parts that a node lacks have none. */
function linksOf(app: RestApp): Record<string, string> {
  // Every path matches what runs around each request, so only a second match is a route.
  return Object.fromEntries(Object.entries(LINKS).filter(([, path]) => app.router.match("GET", path)[0].length > 1));
}

/** What leads into the API: the web page, the OpenAPI document, and a page made from it. */
export function addDocumentRoutes(app: RestApp, options: RestAppOptions): void {
  const { node } = options;
  // Made when first asked for: by then every route is registered. A node may come to want tokens while it runs.
  const documents = new Map<boolean, ReturnType<typeof openApiDocument>>();
  const theDocument = (token = options.tokens?.required ?? false) => {
    const made = documents.get(token) ?? openApiDocument(app, { token });
    documents.set(token, made);
    return made;
  };
  let docs: { readonly origin: string; readonly document: object; readonly page: string } | undefined;

  addRoute(app, {
    method: "get",
    path: "/",
    tags: TAGS,
    operationId: "getLanding",
    scope: "any",
    summary: "Where to go from here",
    description: "The web page for browsers, JSON for everybody else.",
    responses: {
      200: {
        description: "What the node is, with links.",
        content: {
          "application/json": { schema: Landing },
          "text/html": { schema: z.string().openapi({ description: "A page.", examples: ["<!doctype html>"] }) },
        },
      },
      ...failures(),
    },
  }, (c) => {
    if (c.env.incoming.headers.accept?.includes("text/html")) {
      return uiFile(c, "index.html", { Vary: "Accept, Accept-Encoding" });
    }
    const { name, version, nodeId } = node.describe();
    return json({ name, version, nodeId, links: linksOf(app) }, 200, { Vary: "Accept" });
  });

  addRoute(app, {
    method: "get",
    path: "/v1/openapi.json",
    tags: TAGS,
    operationId: "getOpenApi",
    scope: "any",
    summary: "This API as OpenAPI 3.1",
    responses: {
      200: jsonContent(
        z.record(z.string(), z.unknown()).openapi({
          description: "An OpenAPI 3.1 document.",
          examples: [{ openapi: "3.1.0" }],
        }),
        "The document that this page is made from.",
      ),
      ...failures(),
    },
  }, () => json(theDocument(), 200, { "Cache-Control": "no-cache" }));

  addRoute(app, {
    method: "get",
    path: "/v1/docs",
    tags: TAGS,
    operationId: "getDocs",
    scope: "any",
    summary: "This page",
    responses: {
      200: {
        description: "The API's documentation, without scripts and without requests elsewhere.",
        content: {
          "text/html": { schema: z.string().openapi({ description: "A page.", examples: ["<!doctype html>"] }) },
        },
      },
      304: { description: "The page has not changed (`If-None-Match`)." },
      ...failures(),
    },
  }, (c) => {
    const origin = originOf(c);
    const document = theDocument();
    if (docs?.origin !== origin || docs.document !== document) {
      docs = { origin, document, page: renderDocs(document, { origin }) };
    }
    const tag = `"${createHash("sha256").update(docs.page).digest("base64url").slice(0, 22)}"`;
    if (c.env.incoming.headers["if-none-match"] === tag) {
      return new Response(null, { status: 304, headers: { ETag: tag } });
    }
    return new Response(docs.page, { headers: { ...PAGE_HEADERS, ETag: tag } });
  });
}

/** How the caller reaches the node, for examples to copy into a shell: only names that mean nothing to one. */
function originOf(c: RestContext): string {
  const { origin, host } = new URL(c.req.url);
  return /^[a-z0-9.:[\]-]+$/.test(host) ? origin : "http://127.0.0.1:3000";
}
