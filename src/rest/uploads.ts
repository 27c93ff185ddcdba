import { z } from "@hono/zod-openapi";
import {
  type FileRecord,
  type Log,
  NodeError,
  policyOf,
  toNodeError,
  type UploadOrder,
  type UploadRecord,
  type UploadSpool,
} from "../core/mod.ts";
import { bodyChunks } from "./body.ts";
import { json, withCall } from "./context.ts";
import type { RestContext } from "./context.ts";
import { uploadContentType } from "./file-headers.ts";
import { fileJson } from "./file-json.ts";
import { nameOfQuery } from "./file-name.ts";
import { FILE_TAGS, locationOf } from "./file-paths.ts";
import type { FileRoutesOptions } from "./file-paths.ts";
import * as fileSchemas from "./file-schemas.ts";
import { tooLarge } from "./files.ts";
import { binaryContent, failures, jsonContent } from "./openapi.ts";
import { addRoute, mediaType, wrongMediaType } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { timeText } from "./task-json.ts";
import * as schemas from "./upload-schemas.ts";

export interface UploadRoutesOptions extends FileRoutesOptions {
  readonly spool: UploadSpool;
}

const PARTIAL = "application/partial-upload";
const Params = z.object({ id: schemas.UploadId });

/** A put of a complete upload, which nobody's connection ends. */
interface Storing {
  readonly controller: AbortController;
  readonly done: Promise<FileRecord>;
}

/** Uploads that go on where they were: draft-ietf-httpbis-resumable-upload, begun with an empty request. */
export function addUploadRoutes(app: RestApp, options: UploadRoutesOptions): void {
  const { spool, limits, log, requester, files: { service, maxFileBytes } } = options;
  const storing = new Map<string, Storing>();
  /** The version that a put which failed left, to go on with. */
  const begun = new Map<string, string>();

  const stateOf = ({ id, fileId }: UploadRecord) =>
    fileId !== undefined ? "stored" : storing.has(id) ? "storing" : "receiving";

  const uploadJson = (upload: UploadRecord): z.input<typeof schemas.Upload> => {
    const { id, order, offset, active, createdAt, expiresAt, fileId } = upload;
    const { name, contentType, sizeBytes, source } = order;
    return {
      id,
      name,
      contentType,
      offset,
      active,
      state: stateOf(upload),
      createdAt: timeText(createdAt),
      expiresAt: timeText(expiresAt),
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
      ...(source === undefined ? {} : { source }),
      ...(fileId === undefined ? {} : { fileId }),
    };
  };

  const headersOf = (upload: UploadRecord): Record<string, string> => {
    const { offset, order, expiresAt } = upload;
    const seconds = Math.max(0, Math.floor((expiresAt - options.clock.now()) / 1000));
    return {
      "Upload-Offset": String(offset),
      "Upload-Complete": stateOf(upload) === "receiving" ? "?0" : "?1",
      ...(order.sizeBytes === undefined ? {} : { "Upload-Length": String(order.sizeBytes) }),
      "Upload-Limit": `max-size=${Math.min(maxFileBytes, spool.maxBytes)}, max-age=${seconds}`,
      "Cache-Control": "no-store",
    };
  };

  function store(upload: UploadRecord, requestId: string): Promise<FileRecord> {
    const { id, order, offset } = upload;
    const running = storing.get(id);
    if (running !== undefined) return running.done;
    const controller = new AbortController();
    const ctx = { requester, requestId, signal: controller.signal };
    const put = async () => {
      const { source: _, ...plain } = order;
      const resume = begun.get(id);
      const again = { ...plain, sizeBytes: offset };
      try {
        const record = await service.put(
          spool.read(id),
          resume === undefined ? again : { ...again, resume },
          ctx,
        );
        begun.delete(id);
        await spool.finish(id, record.id);
        return record;
      } catch (error) {
        const { data, code } = toNodeError(error);
        if (typeof data["id"] === "string" && code !== "invalid_argument" && resume === undefined) {
          begun.set(id, data["id"]);
        } else begun.delete(id);
        throw error;
      } finally {
        storing.delete(id);
      }
    };
    const done = put();
    storing.set(id, { controller, done });
    done.catch((error: unknown) => noteFailure(log, id, toNodeError(error)));
    return done;
  }

  addRoute(app, {
    method: "post",
    path: "/v1/uploads",
    tags: FILE_TAGS,
    operationId: "beginUpload",
    scope: "files",
    summary: "Begin an upload that can go on",
    description:
      "Without content: the bytes follow with PATCH, in one request or in many. `Upload-Length` says how many there will be, where that is " +
      "known; `Content-Type` is the file's. What was begun and not gone on with is forgotten after `files.incomingTtlMs`.",
    request: { query: schemas.BeginQuery },
    responses: {
      201: {
        ...jsonContent(schemas.Upload, "The upload; send bytes to its `Location`."),
        headers: { Location: { description: "The upload.", schema: { type: "string" } } },
      },
      ...failures("invalid_argument", "input_too_large", "overloaded", "storage_full", "storage_failed"),
    },
  }, async (c, { query }) => {
    const { headers } = c.env.incoming;
    const name = nameOfQuery(c);
    if (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0) {
      throw new NodeError("invalid_argument", "POST /v1/uploads takes no content; PATCH the upload that it begins");
    }
    const sizeBytes = integerHeader(c, "upload-length");
    const most = Math.min(maxFileBytes, spool.maxBytes);
    if ((sizeBytes ?? 0) > maxFileBytes) throw tooLarge(maxFileBytes);
    if ((sizeBytes ?? 0) > most) {
      throw new NodeError(
        "input_too_large",
        `An upload that can go on may have ${most} bytes here (files.incomingBytes); put the file in one request (PUT /v1/files)`,
        { data: { limitBytes: most } },
      );
    }
    const { policy, providers, allowFewer, source } = query;
    const order: UploadOrder = {
      name,
      contentType: uploadContentType(headers["content-type"], name),
      ...(policy === undefined ? {} : { policy: policyOf(policy) }),
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
      ...(providers === undefined ? {} : { targets: providers }),
      ...(allowFewer === undefined ? {} : { allowFewer }),
      ...(source === undefined ? {} : { source }),
    };
    const upload = await spool.create(order);
    return json(uploadJson(upload), 201, { ...headersOf(upload), Location: `/v1/uploads/${upload.id}` });
  });

  addRoute(app, {
    method: "get",
    path: "/v1/uploads",
    tags: FILE_TAGS,
    operationId: "listUploads",
    scope: "files",
    summary: "List uploads that can go on",
    description: "The oldest first; those that became files stay for a while, so that a lost answer can be had again.",
    responses: { 200: jsonContent(schemas.UploadList, "The uploads."), ...failures() },
  }, () => json({ uploads: spool.list().map(uploadJson) }));

  addRoute(app, {
    method: "get",
    path: "/v1/uploads/{id}",
    tags: FILE_TAGS,
    operationId: "getUpload",
    scope: "files",
    summary: "See how far an upload is",
    description:
      "HEAD, with which a client goes on, ends a request that still sends (its connection may hang); GET disturbs nothing.",
    request: { params: Params },
    responses: {
      200: {
        ...jsonContent(schemas.Upload, "The upload."),
        headers: { "Upload-Offset": { description: "Where to go on.", schema: { type: "integer" } } },
      },
      ...failures("not_found"),
    },
  }, async (c, { params: { id } }) => {
    const upload = c.env.incoming.method === "HEAD" ? await spool.settle(id) : spool.get(id);
    return json(uploadJson(upload), 200, headersOf(upload));
  });

  addRoute(app, {
    method: "patch",
    path: "/v1/uploads/{id}",
    tags: FILE_TAGS,
    operationId: "sendUpload",
    scope: "files",
    summary: "Send bytes of an upload",
    description:
      `Content of the type \`${PARTIAL}\`, with \`Upload-Offset\` and \`Upload-Complete: ?1\` in the last request or \`?0\` before it. What came ` +
      "before a connection broke is kept. After the last byte the file is put; should that fail, an empty PATCH at the end tries again, " +
      "and should the client go away, it is finished all the same.",
    request: { params: Params, body: { required: true, content: binaryContent(PARTIAL, "hello") } },
    responses: {
      200: jsonContent(fileSchemas.File, "It is complete: the file's record."),
      204: { description: "The bytes are here; more are to come." },
      ...failures(
        "invalid_argument",
        "not_found",
        "failed_precondition",
        "input_too_large",
        "canceled",
        "storage_full",
        "shards_missing",
        "shutting_down",
        "target_unreachable",
      ),
    },
  }, async (c, { params: { id } }) => {
    if (mediaType(c) !== PARTIAL) throw wrongMediaType(mediaType(c), PARTIAL);
    const offset = integerHeader(c, "upload-offset");
    if (offset === undefined) throw badHeader("upload-offset", undefined, "the byte at which this content begins");
    const complete = completeHeader(c);
    const running = storing.get(id);
    let upload = spool.get(id);
    if (running === undefined && upload.fileId === undefined) {
      const maxBodyBytes = Math.max(0, Math.min(maxFileBytes, spool.maxBytes) - offset);
      upload = await spool.append(id, offset, bodyChunks(c.env, { ...limits, maxBodyBytes }));
    } else if (offset !== upload.offset || !complete) {
      throw new NodeError("failed_precondition", `The upload ${id} is complete: nothing can be added to it`, {
        data: { expectedOffset: upload.offset, providedOffset: offset },
      });
    }
    if (!complete) return new Response(null, { status: 204, headers: headersOf(upload) });
    const { sizeBytes } = upload.order;
    if (sizeBytes !== undefined && upload.offset !== sizeBytes) {
      throw new NodeError(
        "invalid_argument",
        `The upload ${id} was announced with ${sizeBytes} bytes and has ${upload.offset}; send the rest before Upload-Complete: ?1`,
        { data: { sizeBytes, offset: upload.offset } },
      );
    }
    const record = await withCall(c, options, (ctx) => {
      if (upload.fileId !== undefined) return service.stat({ id: upload.fileId }, ctx);
      // The answer goes with the client, the put does not.
      const gone = new Promise<never>((_, reject) =>
        ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason as Error), { once: true })
      );
      return Promise.race([store(upload, ctx.requestId), gone]);
    });
    return json(fileJson(record), 200, { ...headersOf(spool.get(id)), Location: locationOf(record) });
  });

  addRoute(app, {
    method: "delete",
    path: "/v1/uploads/{id}",
    tags: FILE_TAGS,
    operationId: "deleteUpload",
    scope: "files",
    summary: "Give an upload up",
    description: "Its bytes are dropped. A file that it became stays.",
    request: { params: Params },
    responses: { 204: { description: "It is gone." }, ...failures("not_found") },
  }, async (_, { params: { id } }) => {
    spool.get(id);
    const running = storing.get(id);
    running?.controller.abort(new NodeError("canceled", `The upload ${id} was given up`));
    await running?.done.catch(() => {});
    begun.delete(id);
    await spool.remove(id);
    return new Response(null, { status: 204 });
  });
}

function noteFailure(log: Log, uploadId: string, { code, message }: NodeError): void {
  log.warn("A complete upload could not be stored; it can be tried again", { uploadId, code, error: message });
}

/** A header that is a whole number (RFC 9651 §3.3.1), such as `Upload-Offset`. */
function integerHeader(c: RestContext, name: string): number | undefined {
  const value = c.env.incoming.headers[name];
  if (value === undefined) return undefined;
  if (typeof value !== "string" || !/^\d{1,15}$/.test(value)) throw badHeader(name, value, "a whole number of bytes");
  return Number(value);
}

/** `Upload-Complete`, a boolean (RFC 9651 §3.3.6). */
function completeHeader(c: RestContext): boolean {
  const value = c.env.incoming.headers["upload-complete"];
  if (value === "?1" || value === "?0") return value === "?1";
  throw badHeader("upload-complete", value, "?1 in the last request, ?0 before it");
}

function badHeader(name: string, value: string | string[] | undefined, wanted: string): NodeError {
  const shown = name.replaceAll(/(^|-)[a-z]/g, (part) => part.toUpperCase());
  const found = value === undefined ? "is missing" : `"${String(value).slice(0, 100)}" is not valid`;
  return new NodeError("invalid_argument", `The header ${shown} ${found}; it is ${wanted}`, {
    data: { where: "header", field: shown },
  });
}
