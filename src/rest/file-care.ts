import { z } from "@hono/zod-openapi";
import type { CallContext, FileEvent, FileHealth, FileRef } from "../core/mod.ts";
import { readBody } from "./body.ts";
import { json, withCall } from "./context.ts";
import type { RestContext } from "./context.ts";
import { EVENT_STREAM_HEADERS } from "./events.ts";
import { contentDisposition } from "./file-headers.ts";
import { fileEventJson, fileJson, healthJson } from "./file-json.ts";
import { FILE_TAGS, ID_PATH, locationOf } from "./file-paths.ts";
import type { FileRoutesOptions } from "./file-paths.ts";
import * as schemas from "./file-schemas.ts";
import { binaryContent, failures, jsonContent } from "./openapi.ts";
import { addRoute, readJson } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { FOREIGN_CONTENT_HEADERS } from "./stream.ts";

/** Media type of an exported manifest (docs/formats.md). */
export const MANIFEST_TYPE = "application/vnd.velas.manifest";

const IdParams = z.object({ id: schemas.FileId });

const EVENT_STREAM = {
  200: {
    description: "The events.",
    content: {
      "text/event-stream": {
        schema: z.string().openapi({
          description: "Server-sent events.",
          examples: [
            'id: 1\nevent: progress\ndata: {"fileId":"0f8a3c5d9b2e47618c0d4e7fa1b2c3d4","at":"2026-11-23T20:38:16.000Z",' +
            '"progress":{"bytes":1048320,"shards":6,"shardCount":6}}\n\n',
          ],
        }),
      },
    },
  },
};

/** What keeps files well, moves them between nodes, and tells what happens to them. */
export function addFileCareRoutes(app: RestApp, options: FileRoutesOptions): void {
  const { limits, files: { service }, serveEvents } = options;

  type Care = (ref: FileRef, ctx: CallContext) => Promise<FileHealth>;
  const care = (act: Care) => async (c: RestContext, { params: { id } }: { params: { id: string } }) =>
    json(healthJson(await withCall(c, options, (ctx) => act({ id }, ctx))));
  const healthAnswer = (description: string) => ({
    200: jsonContent(schemas.FileHealth, description),
    ...failures("invalid_argument", "not_found", "failed_precondition", "shards_missing", "canceled"),
  });

  addRoute(
    app,
    {
      method: "get",
      path: "/v1/files/{id}/health",
      tags: FILE_TAGS,
      operationId: "getFileHealth",
      scope: ["read", "files"],
      summary: "How safe is a file?",
      description: "From what is known; asks nobody.",
      request: { params: IdParams },
      responses: healthAnswer("Its shards and what may still be lost."),
    },
    care((ref, ctx) => service.health(ref, ctx)),
    `${ID_PATH}/health`,
  );

  addRoute(
    app,
    {
      method: "post",
      path: "/v1/files/{id}/audit",
      tags: FILE_TAGS,
      operationId: "auditFile",
      scope: "files",
      summary: "Audit a file now",
      description: "Challenges every provider to prove its shard, without downloading it.",
      request: { params: IdParams },
      responses: healthAnswer("What the audit found."),
    },
    care((ref, ctx) => service.audit(ref, ctx)),
    `${ID_PATH}/audit`,
  );

  addRoute(
    app,
    {
      method: "post",
      path: "/v1/files/{id}/repair",
      tags: FILE_TAGS,
      operationId: "repairFile",
      scope: "files",
      summary: "Repair a file now",
      description: "Rebuilds lost and suspect shards at other providers.",
      request: { params: IdParams },
      responses: healthAnswer("How it stands after the repair."),
    },
    care((ref, ctx) => service.repair(ref, ctx)),
    `${ID_PATH}/repair`,
  );

  const manifest = (bytes: Uint8Array, name: string) =>
    new Response(Uint8Array.from(bytes), {
      headers: {
        "Content-Type": MANIFEST_TYPE,
        "Content-Disposition": contentDisposition("attachment", `${name}.velas`),
        "Cache-Control": "no-store",
        ...FOREIGN_CONTENT_HEADERS,
      },
    });

  addRoute(app, {
    method: "post",
    path: "/v1/files/{id}/share",
    tags: FILE_TAGS,
    operationId: "shareFile",
    scope: "files",
    summary: "Share a file with another node",
    description:
      "Answers a manifest that only the recipient can open, with leave to read the shards; it imports it with `POST /v1/files/import`.",
    request: {
      params: IdParams,
      body: { required: true, content: { "application/json": { schema: schemas.ShareRequest } } },
    },
    responses: {
      200: { description: "The manifest for the recipient.", content: binaryContent(MANIFEST_TYPE, "…") },
      ...failures("invalid_argument", "not_found", "failed_precondition"),
    },
  }, async (c, { params: { id } }) => {
    const { recipient } = await readJson(c, schemas.ShareRequest, limits);
    return await withCall(c, options, async (ctx) => {
      const { name } = await service.stat({ id }, ctx);
      return manifest(await service.share({ id }, recipient.toLowerCase(), ctx), name);
    });
  }, `${ID_PATH}/share`);

  addRoute(
    app,
    {
      method: "delete",
      path: "/v1/files/{id}/share",
      tags: FILE_TAGS,
      operationId: "unshareFile",
      scope: "files",
      summary: "Take back all shares of a file",
      description:
        "Providers refuse what was shared before; new shares are not touched. What others have read is theirs.",
      request: { params: IdParams },
      responses: {
        200: jsonContent(schemas.Unshared, "Which providers know it."),
        ...failures("invalid_argument", "not_found", "permission_denied", "failed_precondition"),
      },
    },
    async (c, { params: { id } }) => json(await withCall(c, options, (ctx) => service.unshare({ id }, ctx))),
    `${ID_PATH}/share`,
  );

  addRoute(app, {
    method: "get",
    path: "/v1/files/{id}/manifest",
    tags: FILE_TAGS,
    operationId: "exportManifest",
    scope: "files",
    summary: "Export a file's manifest",
    description: "With this node's master key it is enough to read the file again, on a new node too.",
    request: { params: IdParams },
    responses: {
      200: { description: "The manifest.", content: binaryContent(MANIFEST_TYPE, "…") },
      ...failures("invalid_argument", "not_found", "failed_precondition"),
    },
  }, (c, { params: { id } }) =>
    withCall(c, options, async (ctx) => {
      const { name } = await service.stat({ id }, ctx);
      return manifest(await service.exportManifest({ id }, ctx), name);
    }), `${ID_PATH}/manifest`);

  addRoute(app, {
    method: "post",
    path: "/v1/files/import",
    tags: FILE_TAGS,
    operationId: "importManifest",
    scope: "files",
    summary: "Import a manifest",
    description: "One that this node exported, or that another shared with it.",
    request: { body: { required: true, content: binaryContent(MANIFEST_TYPE, "@cat.jpg.velas") } },
    responses: {
      201: jsonContent(schemas.File, "The file that it describes."),
      ...failures("invalid_argument", "permission_denied", "already_exists", "data_corrupt", "input_too_large"),
    },
  }, async (c) => {
    const bytes = await readBody(c.env, limits);
    const record = await withCall(c, options, (ctx) => service.importManifest(bytes, ctx));
    return json(fileJson(record), 201, { Location: locationOf(record) });
  });

  addRoute(app, {
    method: "get",
    path: "/v1/share-key",
    tags: FILE_TAGS,
    operationId: "getShareKey",
    scope: ["read", "files"],
    summary: "The key to which others share files",
    responses: { 200: jsonContent(schemas.ShareKey, "The key."), ...failures() },
  }, () => json({ shareKey: service.shareKey() }));

  addRoute(app, {
    method: "get",
    path: "/v1/files/{id}/events",
    tags: FILE_TAGS,
    operationId: "watchFile",
    scope: ["read", "files"],
    summary: "Watch a file",
    description:
      "Server-sent events from now on, its present `state` first: `progress`, `state`, `shard`, `audit`, `repair` and `removed`, each with `fileId`, `at` " +
      "and what it is about (`file`, `progress`, `shard`, `message`). The stream ends after `removed`, whose event has the id `end`.",
    request: { params: IdParams },
    responses: {
      ...EVENT_STREAM,
      204: { description: "The client has seen the end already (`Last-Event-ID: end`)." },
      ...failures("invalid_argument", "not_found", "overloaded"),
    },
  }, async (c, { params: { id } }) => {
    if (c.env.incoming.method === "HEAD") {
      await withCall(c, options, (ctx) => service.stat({ id }, ctx));
      return new Response(null, { headers: EVENT_STREAM_HEADERS });
    }
    if (c.env.incoming.headers["last-event-id"] === "end") return new Response(null, { status: 204 });
    return await serveEvents(c, { open: (ctx) => eventsOf(id, ctx), json: fileEventJson, isLast: isRemoval });
  }, `${ID_PATH}/events`);

  addRoute(app, {
    method: "get",
    path: "/v1/file-events",
    tags: FILE_TAGS,
    operationId: "watchFiles",
    scope: ["read", "files"],
    summary: "Watch all files",
    description: "Like the events of one file, of all of them, without an end.",
    responses: { ...EVENT_STREAM, ...failures("overloaded") },
  }, (c) => {
    if (c.env.incoming.method === "HEAD") return new Response(null, { headers: EVENT_STREAM_HEADERS });
    return serveEvents(c, {
      open: (ctx) => service.watch(undefined, ctx),
      json: fileEventJson,
      isLast: () => false,
      atOnce: true,
    });
  });

  /** The present state, then what happens. It listens before it asks, so that nothing falls between. */
  async function* eventsOf(id: string, ctx: CallContext): AsyncGenerator<FileEvent> {
    const events = service.watch(id, ctx)[Symbol.asyncIterator]();
    const first = events.next();
    first.catch(() => {});
    try {
      const record = await service.stat({ id }, ctx);
      yield { type: "state", fileId: id, at: options.clock.now(), record };
      for (let next = await first; next.done !== true; next = await events.next()) yield next.value;
    } finally {
      // Not awaited: it may be waiting for an event.
      events.return?.().catch(() => {});
    }
  }
}

function isRemoval({ type }: FileEvent): boolean {
  return type === "removed";
}
