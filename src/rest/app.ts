import { OpenAPIHono } from "@hono/zod-openapi";
import { routePath } from "hono/route";
import { AccessTokens, confine, hasScope, inSpan, NOBODY, NodeError, TRACEPARENT } from "../core/mod.ts";
import { createAccessCheck } from "./access.ts";
import { addAlertRoutes } from "./alerts.ts";
import { addBackupRoute } from "./backup.ts";
import { problemResponse } from "./boundary.ts";
import type { RestContext, RestEnv } from "./context.ts";
import { createCors } from "./cors.ts";
import { addDocumentRoutes } from "./documents.ts";
import { createEventStreams } from "./events.ts";
import { addFileRoutes } from "./files.ts";
import { addLegacyFileRoutes } from "./legacy-files.ts";
import { addLegacyRoutes } from "./legacy.ts";
import { addModuleRoutes } from "./modules.ts";
import { addOfferRoute } from "./offer.ts";
import { addOperationRoutes } from "./operations.ts";
import type { RestAppOptions } from "./options.ts";
import { addPaymentRoutes } from "./payments.ts";
import { addPeerRoutes } from "./peers.ts";
import { addPluginRoutes } from "./plugins.ts";
import { withStatus } from "./problem.ts";
import { addReceiptRoutes } from "./receipts.ts";
import { createRateCheck } from "./rate-limit.ts";
import { requestIdOf } from "./request-id.ts";
import { createRequestMetrics } from "./request-metrics.ts";
import { StaticFirstRouter } from "./router.ts";
import type { RestApp } from "./routes.ts";
import { createSessionCookies } from "./session-cookie.ts";
import { addSessionRoutes } from "./sessions.ts";
import { addReloadRoute, addSettingsRoute } from "./settings.ts";
import { addStatsRoutes } from "./stats.ts";
import { addShardRoutes } from "./shards.ts";
import { addTaskRoutes } from "./tasks.ts";
import { addUiRoutes } from "./ui.ts";
import { addUploadRoutes } from "./uploads.ts";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

/** The label of requests that no route took, whose paths anybody could make up. */
const NO_ROUTE = "none";

/**
 * Builds the REST application. It needs Node's request and response in Hono's environment, as `@hono/node-server` gives
 * them; see `createRestServer`.
 */
export function createRestApp(options: RestAppOptions): RestApp {
  const { log, clock, metrics } = options;
  const app: RestApp = new OpenAPIHono<RestEnv>({ router: new StaticFirstRouter() });
  const { tokens = new AccessTokens() } = options;
  const cookies = createSessionCookies({ tokens, key: options.loginKey, nodeId: options.node.describe().nodeId });
  const admit = createAccessCheck({ ...options, tokens, cookies });
  const checkRate = createRateCheck(options);
  const cors = createCors(options.allowedOrigins);
  const observe = createRequestMetrics(metrics, log);

  const fail = (error: unknown, c: RestContext) => {
    const request = { requestId: c.get("requestId"), method: c.req.method, path: c.req.path };
    return problemResponse(error, request, log);
  };

  app.use(async function aroundEveryRequest(c, next) {
    const { incoming, outgoing } = c.env;
    const started = performance.now();
    const requestId = requestIdOf(incoming.headers["x-request-id"], clock.now());
    c.set("requestId", requestId);
    outgoing.setHeader("X-Request-Id", requestId);

    const traceparent = incoming.headers[TRACEPARENT];
    const span = options.tracer?.begin(`HTTP ${c.req.method}`, {
      kind: "server",
      traceparent: typeof traceparent === "string" ? traceparent : undefined,
    });
    const preflight = cors(incoming, outgoing);
    const admitted = preflight ? NOBODY : admit(incoming);
    const caller = admitted instanceof NodeError ? undefined : admitted;
    const refusal = checkRate(incoming, caller) ?? (admitted instanceof NodeError ? admitted : undefined);
    if (caller !== undefined) {
      c.set("caller", caller);
      c.set("mayStay", () => {
        const now = tokens.renewed(caller, clock.now());
        return now !== undefined && hasScope(now, c.get("scopes"));
      });
    }
    if (preflight && refusal === undefined) {
      c.res = new Response(null, { status: 204 });
    } else if (refusal === undefined) {
      try {
        await inSpan(span, () => confine(caller ?? NOBODY, next));
      } catch (error) {
        // Hono hands only instances of Error to onError.
        c.res = fail(error, c);
      }
    } else {
      c.res = fail(refusal, c);
    }

    const matched = routePath(c, -1);
    const route = matched === "/*" ? NO_ROUTE : matched;
    const method = METHODS.includes(c.req.method as typeof METHODS[number]) ? c.req.method : "other";
    const status = outgoing.headersSent ? outgoing.statusCode : c.res.status;
    span?.end(status < 500 ? "ok" : String(status), {
      "http.request.method": c.req.method,
      "http.route": route,
      "http.response.status_code": status,
      "velas.request_id": requestId,
    });
    observe({ method, route, status, started, requestId, token: caller?.name });
  });
  app.onError(fail);

  const serveEvents = createEventStreams(options);
  addTaskRoutes(app, options, serveEvents);
  addReceiptRoutes(app, options);
  if (options.payments !== undefined) addPaymentRoutes(app, { ...options, payments: options.payments });
  addOfferRoute(app, options.payments);
  if (options.peerBook !== undefined) addPeerRoutes(app, { ...options, peerBook: options.peerBook });
  addPluginRoutes(app, options);
  if (options.modules !== undefined) addModuleRoutes(app, { ...options, modules: options.modules });
  addOperationRoutes(app, options);
  addAlertRoutes(app, options);
  addLegacyRoutes(app, options);
  if (options.shards !== undefined) addShardRoutes(app, { ...options, shards: options.shards });
  if (options.files !== undefined) {
    addFileRoutes(app, { ...options, files: options.files, serveEvents });
    const { spool } = options.files;
    if (spool !== undefined) addUploadRoutes(app, { ...options, files: options.files, serveEvents, spool });
    addLegacyFileRoutes(app, { ...options, files: options.files });
  }
  addStatsRoutes(app, options);
  addSessionRoutes(app, { ...options, cookies });
  if (options.settings !== undefined) addSettingsRoute(app, options.settings);
  if (options.reload !== undefined) addReloadRoute(app, options.reload);
  if (options.backup !== undefined) addBackupRoute(app, { ...options, backup: options.backup });
  addUiRoutes(app);
  addDocumentRoutes(app, options);

  app.notFound((c) => {
    const path = c.req.path;
    const allowed = METHODS.filter((method) => app.router.match(method, path)[0].length > 1);
    if (allowed.length === 0) {
      return fail(notHere(path, options), c);
    }
    const allow = [...allowed.flatMap((method) => method === "GET" ? ["GET", "HEAD"] : [method]), "OPTIONS"].join(", ");
    if (c.req.method === "OPTIONS") return new Response(null, { status: 204, headers: { Allow: allow } });
    const error = new NodeError("unimplemented", `${path.slice(0, 200)} does not take ${c.req.method}, but ${allow}`);
    const response = fail(withStatus(error, 405), c);
    response.headers.set("Allow", allow);
    return response;
  });
  return app;
}

/** Why nothing is at a path: a part that a node may run without says what it takes. */
function notHere(path: string, { payments }: RestAppOptions): NodeError {
  const free = payments === undefined && /^\/v1\/payments(?:\/|$)/.test(path);
  return new NodeError(
    "not_found",
    free
      ? "This node works free of charge: to pay and be paid, set payments.rpcUrls, payments.chainId and payments.channels, and start it again"
      : `There is no ${path.slice(0, 200)} here; GET /v1/docs lists what there is`,
  );
}
