import { Buffer } from "node:buffer";
import type { FileRef } from "../core/mod.ts";
import { NodeError, parseTarget } from "../core/mod.ts";
import { reported } from "./boundary.ts";
import { readBody } from "./body.ts";
import { withCall } from "./context.ts";
import { checkFileName } from "./file-name.ts";
import { goString, readGoStrings } from "./go-json.ts";
import { decodeUtf8 } from "./json-text.ts";
import { mediaTypeOf } from "./media-types.ts";
import { failures, jsonBody, jsonContent } from "./openapi.ts";
import type { FileFace, RestAppOptions } from "./options.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";
import { LegacyFile, LegacyFileData, LegacyFileId, LegacyFileQuery } from "./legacy-schemas.ts";
import { alreadySent, writePiece } from "./stream.ts";
import { bufferOf } from "./task-json.ts";

/** What the original answers, always. */
const INVOICE_ID = "my_awesome_invoice_id";
const JSON_HEADERS = { "Content-Type": "application/json" };
const ID = /^[0-9a-f]{32}$/;

export interface LegacyFileOptions extends RestAppOptions {
  readonly files: FileFace;
}

/** The calls of Velas Sphere Node (Go, 2020) for files, byte for byte. */
export function addLegacyFileRoutes(app: RestApp, options: LegacyFileOptions): void {
  const { limits, log, files: { service } } = options;

  addRoute(app, {
    method: "post",
    path: "/file",
    tags: ["Compatibility"],
    operationId: "legacyPutFile",
    scope: "files",
    summary: "Put a file as Velas Sphere Node did",
    description:
      "All shards go to the one target; without a target they are spread as `PUT /v1/files/{ref}` does. The body is JSON whatever its Content-Type, " +
      "at most `rest.maxBodyBytes` long.",
    request: { body: jsonBody(LegacyFile) },
    responses: {
      200: jsonContent(LegacyFileId, "The file's id."),
      ...failures("invalid_argument", "input_too_large", "target_unreachable", "shards_missing", "storage_full"),
    },
  }, async (c) => {
    const text = decodeUtf8(await readBody(c.env, limits), "The body");
    const fields = readGoStrings(text, ["target", "name", "data"] as const);
    const name = checkFileName(fields.name);
    const bytes = base64Of(fields.data);
    const targets = fields.target === "" ? {} : { targets: [parseTarget(fields.target).name] };
    const order = { name, contentType: mediaTypeOf(name), sizeBytes: bytes.length, ...targets };
    await withCall(c, options, (ctx) => service.put(once(bytes), order, ctx));
    return new Response(`{"id":${goString(`/${name}`)}}`, { headers: JSON_HEADERS });
  });

  addRoute(app, {
    method: "get",
    path: "/file",
    tags: ["Compatibility"],
    operationId: "legacyGetFile",
    scope: "files",
    summary: "Get a file as Velas Sphere Node did",
    description: "A GET with a JSON body, as the original had it. The file is read from wherever its shards are.",
    request: { body: jsonBody(LegacyFileQuery) },
    responses: {
      200: jsonContent(LegacyFileData, "The file."),
      ...failures("invalid_argument", "not_found", "shards_missing", "data_corrupt"),
    },
  }, async (c) => {
    const { outgoing } = c.env;
    const text = decodeUtf8(await readBody(c.env, limits), "The body");
    const { target, id } = readGoStrings(text, ["target", "id"] as const);
    if (target !== "") parseTarget(target);
    return await withCall(c, options, async (ctx) => {
      const file = await service.open(refOf(id), ctx);
      const head = `{"id":${goString(id)},"invoiceID":"${INVOICE_ID}"`;
      const { sizeBytes } = file.record;
      if (sizeBytes === 0) return new Response(`${head}}`, { headers: JSON_HEADERS });
      const length = Buffer.byteLength(head) + ',"data":""}'.length + Math.ceil(sizeBytes / 3) * 4;
      const headers = { ...JSON_HEADERS, "Content-Length": String(length) };
      if (c.env.incoming.method === "HEAD") return new Response(null, { headers });
      try {
        for await (const piece of base64Pieces(file.read(undefined, ctx.signal))) {
          if (!outgoing.headersSent) {
            outgoing.writeHead(200, headers);
            await writePiece(outgoing, `${head},"data":"`, limits.idleTimeoutMs);
          }
          await writePiece(outgoing, piece, limits.idleTimeoutMs);
        }
        if (!outgoing.headersSent) throw new NodeError("internal", "The file gave no bytes");
        outgoing.end('"}');
      } catch (error) {
        if (!outgoing.headersSent) throw error;
        reported(error, { requestId: ctx.requestId, method: "GET", path: c.req.path }, log);
        outgoing.destroy();
      }
      return alreadySent();
    });
  });
}

/** The file that an id of the original names: `/` and its name. Ids of ours are taken too. */
function refOf(id: string): FileRef {
  if (ID.test(id)) return { id };
  return { name: checkFileName(id.startsWith("/") ? id.slice(1) : id) };
}

/** Decodes base64 as Go's `encoding/json` does: standard alphabet with padding; carriage returns and newlines are skipped. */
function base64Of(text: string): Buffer {
  const plain = /[\r\n]/.test(text) ? text.replaceAll(/[\r\n]+/g, "") : text;
  const padding = plain.endsWith("==") ? 2 : plain.endsWith("=") ? 1 : 0;
  // Buffer skips what is no base64, so a wrong character or padding shows in the length. It takes the URL alphabet, too.
  const bytes = Buffer.from(plain, "base64");
  const wanted = plain.length / 4 * 3 - padding;
  if (
    plain.length % 4 !== 0 || bytes.length !== wanted || /[-_]/.test(plain) ||
    plain.indexOf("=") < plain.length - padding && padding > 0
  ) {
    throw new NodeError("invalid_argument", '"data" must be base64: the standard alphabet, with padding');
  }
  return bytes;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes;
}

/** Base64 of a stream: each piece is encoded up to a whole group of three bytes, the rest goes before the next. */
async function* base64Pieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let rest = Buffer.alloc(0);
  for await (const piece of source) {
    const all = rest.length === 0 ? bufferOf(piece) : Buffer.concat([rest, piece]);
    const whole = all.length - all.length % 3;
    if (whole > 0) yield all.toString("base64", 0, whole);
    rest = Buffer.from(all.subarray(whole));
  }
  if (rest.length > 0) yield rest.toString("base64");
}
