import { z } from "@hono/zod-openapi";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { NodeError } from "../core/mod.ts";
import { readAsset } from "../core/runtime.ts";
import type { RestContext } from "./context.ts";
import { failures } from "./openapi.ts";
import { addRoute } from "./routes.ts";
import type { RestApp } from "./routes.ts";

/** The web page's files below `web/dist/`, built by tools/build-web.ts. */
const MEDIA_TYPES = {
  "index.html": "text/html; charset=utf-8",
  "app.js": "text/javascript; charset=utf-8",
  "hls.js": "text/javascript; charset=utf-8",
  "app.css": "text/css; charset=utf-8",
  "icon.svg": "image/svg+xml",
} as const;

type UiFile = keyof typeof MEDIA_TYPES;

/** The page and nothing else: its own files, this node's API, and what it made itself (`blob:`, for previews). */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "media-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

const HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy": CONTENT_SECURITY_POLICY,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  // Asked for again each time, answered with 304: after an upgrade no old script meets a new API.
  "Cache-Control": "no-cache",
};

/** A file as it is sent: read and compressed when it is first asked for. */
interface Loaded {
  readonly plain: Uint8Array<ArrayBuffer>;
  readonly gzip: Uint8Array<ArrayBuffer>;
  readonly tag: string;
}

const loaded = new Map<UiFile, Loaded>();

function load(name: UiFile): Loaded {
  let file = loaded.get(name);
  if (file === undefined) {
    const plain = new Uint8Array(readAsset(`web/dist/${name}`));
    const tag = createHash("sha256").update(plain).digest("base64url").slice(0, 22);
    loaded.set(name, file = { plain, gzip: new Uint8Array(gzipSync(plain)), tag });
  }
  return file;
}

/** Answers with a file of the web page. */
export function uiFile(c: RestContext, name: UiFile, headers: Readonly<Record<string, string>> = {}): Response {
  const { plain, gzip, tag } = load(name);
  const request = c.env.incoming.headers;
  const packed = /\bgzip\b/.test(String(request["accept-encoding"] ?? ""));
  const etag = `"${tag}${packed ? "z" : ""}"`;
  const all = { ...HEADERS, ETag: etag, Vary: "Accept-Encoding", ...headers };
  if (request["if-none-match"] === etag) return new Response(null, { status: 304, headers: all });
  return new Response(packed ? gzip : plain, {
    headers: { ...all, "Content-Type": MEDIA_TYPES[name], ...(packed ? { "Content-Encoding": "gzip" } : {}) },
  });
}

/** The web page's script, style and icon; the page itself is at `/` (documents.ts). */
export function addUiRoutes(app: RestApp): void {
  addRoute(app, {
    method: "get",
    path: "/ui/{file}",
    tags: ["Operations"],
    operationId: "getUiFile",
    scope: "open",
    summary: "A file of the web page",
    description: "The page at `/` loads these. They hold nothing of the node, so they never need a token.",
    request: {
      params: z.object({
        file: z.string().max(64).openapi({ description: "The file's name.", examples: ["app.js"] }),
      }),
    },
    responses: {
      200: {
        description: "The file.",
        content: { "*/*": { schema: z.string().openapi({ description: "Its bytes.", examples: ["body {}"] }) } },
      },
      304: { description: "It has not changed (`If-None-Match`)." },
      ...failures("not_found"),
    },
  }, (c, { params: { file } }) => {
    if (!Object.hasOwn(MEDIA_TYPES, file)) {
      throw new NodeError("not_found", `The web page has no file "${file}"; open / instead`, { data: { file } });
    }
    return uiFile(c, file as UiFile);
  });
}
