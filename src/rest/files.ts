import { z } from "@hono/zod-openapi";
import type { FileRef, PutFileOptions } from "../core/mod.ts";
import { NodeError, policyOf } from "../core/mod.ts";
import { bodyChunks } from "./body.ts";
import { json, withCall } from "./context.ts";
import type { RestContext } from "./context.ts";
import { addFileCareRoutes } from "./file-care.ts";
import { uploadContentType, validatorsOf } from "./file-headers.ts";
import { fileJson } from "./file-json.ts";
import { checkFileName, nameOfQuery, refOfPath } from "./file-name.ts";
import { FILE_TAGS, ID_PATH, locationOf, REST_OF_PATH } from "./file-paths.ts";
import type { FileRoutesOptions } from "./file-paths.ts";
import * as schemas from "./file-schemas.ts";
import { binaryContent, failures, jsonContent } from "./openapi.ts";
import { addRoute, readJson } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { DEFAULT_PAGE_SIZE, fromText } from "./schema-fields.ts";
import { sendFile } from "./send-file.ts";

const PUT_FAILURES = failures(
  "invalid_argument",
  "not_found",
  "failed_precondition",
  "input_too_large",
  "deadline_exceeded",
  "canceled",
  "overloaded",
  "storage_full",
  "shutting_down",
  "shards_missing",
  "target_unreachable",
  "target_misbehaved",
);

const STORED = {
  201: {
    ...jsonContent(schemas.File, "The file's record: enough shards are durable."),
    headers: {
      Location: { description: "Where to ask for this version.", schema: { type: "string" as const } },
      ETag: { description: "The content's entity tag.", schema: { type: "string" as const } },
    },
  },
  ...PUT_FAILURES,
};

const CONTENT = {
  200: { description: "All of it, with the media type of its upload.", content: binaryContent("*/*", "hello") },
  206: {
    description: "The part that `Range` asks for; several as `multipart/byteranges`.",
    content: binaryContent("*/*", "ell"),
  },
  304: { description: "The client has it (`If-None-Match`, `If-Modified-Since`)." },
  412: { description: "It is not the version of `If-Match`." },
  416: { description: "The file is shorter than the range (`Range`)." },
};

const READ_FAILURES = failures(
  "invalid_argument",
  "not_found",
  "failed_precondition",
  "shards_missing",
  "data_corrupt",
  "shutting_down",
);

/** Files: put, read, list, rename, remove. What keeps them well is in `file-care.ts`. */
export function addFileRoutes(app: RestApp, options: FileRoutesOptions): void {
  const { limits, log, files: { service, maxFileBytes } } = options;

  async function put(c: RestContext, name: string, query: z.output<typeof schemas.PutQuery>): Promise<Response> {
    const { headers } = c.env.incoming;
    const length = headers["content-length"];
    const sizeBytes = length === undefined ? query.sizeBytes : Number(length);
    if ((sizeBytes ?? 0) > maxFileBytes) throw tooLarge(maxFileBytes);
    const order: PutFileOptions = {
      name,
      contentType: uploadContentType(headers["content-type"], name),
      ...(query.policy === undefined ? {} : { policy: policyOf(query.policy) }),
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
      ...(query.providers === undefined ? {} : { targets: query.providers }),
      ...(query.allowFewer === undefined ? {} : { allowFewer: query.allowFewer }),
      ...(query.resume === undefined ? {} : { resume: query.resume }),
    };
    let bodyFault: unknown;
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        yield* bodyChunks(c.env, { ...limits, maxBodyBytes: maxFileBytes });
      } catch (error) {
        bodyFault = error;
        throw error;
      }
    }
    try {
      const record = await withCall(c, options, (ctx) => service.put(body(), order, ctx));
      return json(fileJson(record), 201, { Location: locationOf(record), ETag: validatorsOf(record).etag });
    } catch (error) {
      throw bodyFault ?? error;
    }
  }

  function read(c: RestContext, ref: FileRef, { download = false }: { download?: boolean | undefined }) {
    return withCall(c, options, async (ctx) => {
      const file = await service.open(ref, ctx);
      const immutable = "id" in ref;
      return await sendFile(c, file, { ctx, limits, log, download, immutable });
    });
  }

  const stat = async (c: RestContext, ref: FileRef) =>
    json(fileJson(await withCall(c, options, (ctx) => service.stat(ref, ctx))));

  async function rename(c: RestContext, ref: FileRef): Promise<Response> {
    const name = checkFileName((await readJson(c, schemas.FileChange, limits)).name);
    return json(fileJson(await withCall(c, options, (ctx) => service.rename(ref, name, ctx))));
  }

  async function remove(c: RestContext, ref: FileRef): Promise<Response> {
    await withCall(c, options, (ctx) => service.remove(ref, ctx));
    return new Response(null, { status: 204 });
  }

  addRoute(app, {
    method: "get",
    path: "/v1/files",
    tags: FILE_TAGS,
    operationId: "listFiles",
    scope: ["read", "files"],
    summary: "List files",
    request: { query: schemas.ListQuery },
    responses: { 200: jsonContent(schemas.FilePage, "A page of files."), ...failures("invalid_argument") },
  }, async (c, { query }) => {
    const { prefix = "", delimiter = "", allVersions = false, pageSize = DEFAULT_PAGE_SIZE, pageToken = "" } = query;
    const page = await withCall(
      c,
      options,
      (ctx) => service.list({ prefix, delimiter, allVersions, pageSize, pageToken }, ctx),
    );
    const { folders, nextPageToken } = page;
    return json({ files: page.files.map(fileJson), folders, nextPageToken });
  });

  addRoute(app, {
    method: "post",
    path: "/v1/files",
    tags: FILE_TAGS,
    operationId: "postFile",
    scope: "files",
    summary: "Put a file",
    description:
      "The body is the content, of any type and length; it is sealed and spread as it comes. A name that is taken gets a new version. " +
      "Answers when enough shards are durable to lose one; closing the connection before that leaves an upload that `resume` goes on with.",
    request: {
      query: schemas.PutQuery.extend({ name: schemas.FileName }),
      body: { required: true, content: binaryContent("*/*", "hello") },
    },
    responses: STORED,
  }, (c, { query }) => put(c, nameOfQuery(c), query));

  addRoute(app, {
    method: "put",
    path: "/v1/files/{ref}",
    tags: FILE_TAGS,
    operationId: "putFile",
    scope: "files",
    summary: "Put a file under its name",
    description: "Like `POST /v1/files`, with the name in the path: `curl -T cat.jpg …/v1/files/photos/cat.jpg`.",
    request: {
      params: z.object({ ref: schemas.FileRef }),
      query: schemas.PutQuery,
      body: { required: true, content: binaryContent("*/*", "hello") },
    },
    responses: STORED,
  }, (c, { query }) => {
    const ref = refOfPath(c);
    if ("name" in ref) return put(c, ref.name, query);
    throw new NodeError(
      "invalid_argument",
      `${ref.id} is an id, which is not for choosing; PUT under a name, or POST /v1/files?name=${ref.id}`,
    );
  }, REST_OF_PATH);

  addRoute(
    app,
    {
      method: "get",
      path: "/v1/files/{id}/content",
      tags: FILE_TAGS,
      operationId: "getFileContent",
      scope: "files",
      summary: "Read a version",
      description:
        "Whole or in ranges (`Range`, several too), so that media can be sought and downloads resumed (`If-Range`). Every block is verified before " +
        "it is sent. When reading fails on the way, the connection is cut: an answer that ends well is whole.",
      request: { params: z.object({ id: schemas.FileId }), query: z.strictObject({ download: schemas.Download }) },
      responses: { ...READ_FAILURES, ...CONTENT },
    },
    (c, { params: { id }, query }) => read(c, { id }, query),
    `${ID_PATH}/content`,
  );

  addFileCareRoutes(app, options);

  addRoute(app, {
    method: "get",
    path: "/v1/files/{ref}",
    tags: FILE_TAGS,
    operationId: "getFile",
    // A name gives the content.
    scope: "files",
    summary: "See a version, or read a file by its name",
    description:
      "With an id, the record in JSON. With a name, the content of its newest version, as `GET /v1/file/content` gives it.",
    request: {
      params: z.object({ ref: schemas.FileRef }),
      query: z.strictObject({ version: fromText(schemas.Version).optional(), download: schemas.Download }),
    },
    responses: {
      ...READ_FAILURES,
      ...CONTENT,
      200: {
        description: "The record of an id; the content of a name.",
        content: { "application/json": { schema: schemas.File }, ...binaryContent("*/*", "hello") },
      },
    },
  }, (c, { query }) => {
    const ref = refOfPath(c);
    return "id" in ref ? stat(c, ref) : read(c, versionOf(ref.name, query.version), query);
  }, REST_OF_PATH);

  addRoute(
    app,
    {
      method: "patch",
      path: "/v1/files/{ref}",
      tags: FILE_TAGS,
      operationId: "changeFile",
      scope: "files",
      summary: "Rename a file",
      description: "Gives all versions of a name another one, which must be free.",
      request: {
        params: z.object({ ref: schemas.FileRef }),
        body: { required: true, content: { "application/json": { schema: schemas.FileChange } } },
      },
      responses: {
        200: jsonContent(schemas.File, "The file under its new name."),
        ...failures("invalid_argument", "not_found", "already_exists"),
      },
    },
    (c) => rename(c, refOfPath(c)),
    REST_OF_PATH,
  );

  addRoute(
    app,
    {
      method: "delete",
      path: "/v1/files/{ref}",
      tags: FILE_TAGS,
      operationId: "removeFile",
      scope: "files",
      summary: "Remove a file",
      description:
        "With an id, that version; with a name, all of its versions. Their shards are freed at the providers, later where one cannot be reached.",
      request: { params: z.object({ ref: schemas.FileRef }) },
      responses: { 204: { description: "It is gone." }, ...failures("invalid_argument", "not_found") },
    },
    (c) => remove(c, refOfPath(c)),
    REST_OF_PATH,
  );

  // The same by a name in the query, which holds names that a path cannot: `.` and `..`, and those that begin as an id does.
  addRoute(app, {
    method: "get",
    path: "/v1/file",
    tags: FILE_TAGS,
    operationId: "getFileByName",
    scope: ["read", "files"],
    summary: "See a file by its name",
    request: { query: schemas.NameQuery },
    responses: { 200: jsonContent(schemas.File, "Its record."), ...failures("invalid_argument", "not_found") },
  }, (c, { query }) => stat(c, versionOf(nameOfQuery(c), query.version)));

  addRoute(app, {
    method: "get",
    path: "/v1/file/content",
    tags: FILE_TAGS,
    operationId: "getFileContentByName",
    scope: "files",
    summary: "Read a file by its name",
    request: { query: schemas.NameQuery.extend({ download: schemas.Download }) },
    responses: { ...READ_FAILURES, ...CONTENT },
  }, (c, { query }) => read(c, versionOf(nameOfQuery(c), query.version), query));

  addRoute(app, {
    method: "patch",
    path: "/v1/file",
    tags: FILE_TAGS,
    operationId: "changeFileByName",
    scope: "files",
    summary: "Rename a file by its name",
    request: {
      query: z.strictObject({ name: schemas.FileName }),
      body: { required: true, content: { "application/json": { schema: schemas.FileChange } } },
    },
    responses: {
      200: jsonContent(schemas.File, "The file under its new name."),
      ...failures("invalid_argument", "not_found", "already_exists"),
    },
  }, (c) => rename(c, { name: nameOfQuery(c) }));

  addRoute(app, {
    method: "delete",
    path: "/v1/file",
    tags: FILE_TAGS,
    operationId: "removeFileByName",
    scope: "files",
    summary: "Remove a file by its name",
    description: "All of its versions, or with `version` that one.",
    request: { query: schemas.NameQuery },
    responses: { 204: { description: "It is gone." }, ...failures("invalid_argument", "not_found") },
  }, (c, { query }) => remove(c, versionOf(nameOfQuery(c), query.version)));
}

function versionOf(name: string, version: number | undefined): FileRef {
  return version === undefined ? { name } : { name, version };
}

export function tooLarge(maxFileBytes: number): NodeError {
  return new NodeError(
    "input_too_large",
    `The file is larger than ${maxFileBytes} bytes, the most that this node takes; raise files.maxFileBytes`,
    { data: { limitBytes: maxFileBytes } },
  );
}
