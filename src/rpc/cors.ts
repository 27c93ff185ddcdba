import type { Handler } from "./connect-handler.ts";

const ALLOWED_METHODS = "POST, GET";
const ALLOWED_HEADERS = "Authorization, Content-Type, Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, " +
  "Velas-Request-Id, Velas-Requester, Velas-Session, Velas-Signature, X-Grpc-Web, X-Request-Id, X-User-Agent";
const EXPOSED_HEADERS = "Grpc-Message, Grpc-Status, Grpc-Status-Details-Bin, X-Request-Id";
const MAX_AGE_SECONDS = "600";

/**
 * Lets pages of the allowed origins call by Connect and gRPC-Web (WHATWG Fetch §3.2), and nobody when there are none. Preflights, which carry
 * neither token nor signature, are answered here.
 */
export function withCors(
  handler: Handler,
  allowedOrigins: readonly string[],
): Handler {
  if (allowedOrigins.length === 0) return handler;
  const origins = new Set(allowedOrigins.map((origin) => origin.toLowerCase()));
  return (request, response) => {
    const { origin } = request.headers;
    response.setHeader("vary", "Origin");
    if (typeof origin !== "string" || !origins.has(origin.toLowerCase())) {
      return handler(request, response);
    }
    response.setHeader("access-control-allow-origin", origin);
    response.setHeader("access-control-expose-headers", EXPOSED_HEADERS);
    if (
      request.method !== "OPTIONS" ||
      request.headers["access-control-request-method"] === undefined
    ) {
      return handler(request, response);
    }
    request.resume();
    response.on("error", () => {});
    response.setHeader("access-control-allow-methods", ALLOWED_METHODS);
    response.setHeader("access-control-allow-headers", ALLOWED_HEADERS);
    response.setHeader("access-control-max-age", MAX_AGE_SECONDS);
    response.statusCode = 204;
    response.end();
  };
}
