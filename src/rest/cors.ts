import type { IncomingMessage, ServerResponse } from "node:http";

const ALLOWED_HEADERS =
  "Authorization, Content-Type, If-None-Match, If-Range, Last-Event-ID, Range, Upload-Complete, " +
  "Upload-Length, Upload-Offset, X-Request-Id";
const EXPOSED_HEADERS =
  "Accept-Ranges, Content-Disposition, Content-Range, ETag, Location, Repr-Digest, Retry-After, Upload-Complete, " +
  "Upload-Length, Upload-Limit, Upload-Offset, X-Request-Id, " +
  "X-Velas-File-Id, X-Velas-File-Version, X-Velas-Task-Id";
const ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE";
const MAX_AGE_SECONDS = "600";

/**
 * Lets pages of the allowed origins read answers (WHATWG Fetch §3.2), and nobody when there are none. The result sets the
 * headers and tells whether the request is a preflight, which carries no token and is answered with them alone.
 */
export function createCors(
  allowedOrigins: readonly string[] = [],
): (incoming: IncomingMessage, outgoing: ServerResponse) => boolean {
  if (allowedOrigins.length === 0) return () => false;
  const origins = new Set(allowedOrigins.map((origin) => origin.toLowerCase()));

  return ({ method, headers }, outgoing) => {
    outgoing.setHeader("Vary", "Origin");
    const { origin } = headers;
    if (origin === undefined || !origins.has(origin.toLowerCase())) return false;
    outgoing.setHeader("Access-Control-Allow-Origin", origin);
    outgoing.setHeader("Access-Control-Expose-Headers", EXPOSED_HEADERS);
    if (method !== "OPTIONS" || headers["access-control-request-method"] === undefined) return false;
    outgoing.setHeader("Access-Control-Allow-Methods", ALLOWED_METHODS);
    outgoing.setHeader("Access-Control-Allow-Headers", ALLOWED_HEADERS);
    outgoing.setHeader("Access-Control-Max-Age", MAX_AGE_SECONDS);
    return true;
  };
}
