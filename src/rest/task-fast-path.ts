import { Buffer } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type Caller, confine, hasScope, inSpan, NodeError, TRACEPARENT } from "../core/mod.ts";
import { createAccessCheck } from "./access.ts";
import { readBody } from "./body.ts";
import { reported } from "./boundary.ts";
import { LEGACY_TASK_SCOPE, runLegacyTask } from "./legacy.ts";
import type { RestAppOptions } from "./options.ts";
import { problemHeaders, problemOf } from "./problem.ts";
import { createRateCheck } from "./rate-limit.ts";
import { requestIdOf } from "./request-id.ts";
import { createRequestMetrics } from "./request-metrics.ts";
import { scopesOf } from "./routes.ts";

/*
 * `POST /task` as an ordinary client sends it, from Node's request to Node's response without Hono between: that is a fifth of what the
 * node does for such a call. Whatever is not ordinary is left to Hono, whose route calls the same functions; a test holds the two
 * against each other.
 */

/** Answers a request that it knows; returns false, having touched nothing, for any other. */
export type RestFastPath = (incoming: IncomingMessage, outgoing: ServerResponse) => boolean;

const METHOD = "POST";
const PATH = "/task";
const SPAN = `HTTP ${METHOD}`;
/** A larger body takes long enough for the layers between not to matter. */
const MAX_BODY_BYTES = 64 << 10; // 64 KiB

/** Makes the fast path of `POST /task`. */
export function createTaskFastPath(options: RestAppOptions): RestFastPath {
  const { clock, log, limits, tracer } = options;
  // Without cookies: who has only one is let in, or refused, by Hono.
  const admit = createAccessCheck(options);
  const scopes = scopesOf(LEGACY_TASK_SCOPE);
  const checkRate = createRateCheck(options);
  const observe = createRequestMetrics(options.metrics, log);
  const hasOrigins = (options.allowedOrigins?.length ?? 0) > 0;
  const maxBodyBytes = Math.min(MAX_BODY_BYTES, limits.maxBodyBytes);

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse, caller: Caller): Promise<void> {
    const started = performance.now();
    const requestId = requestIdOf(incoming.headers["x-request-id"], clock.now());
    const traceparent = incoming.headers[TRACEPARENT];
    const span = tracer?.begin(SPAN, {
      kind: "server",
      traceparent: typeof traceparent === "string" ? traceparent : undefined,
    });
    try {
      const limited = checkRate(incoming, caller);
      if (limited !== undefined) throw limited;
      const body = await readBody({ incoming, outgoing }, limits);
      const run = () => runLegacyTask(body, { incoming, outgoing, requestId, span }, options);
      // The span goes with the call: a scope would cost more than it. None is left, either, of what came before on the connection (Deno 2.8.3).
      const text = await inSpan(undefined, () => confine(caller, run));
      send(outgoing, text, { status: 200, headers: { "Content-Type": "application/json" }, requestId });
    } catch (error) {
      const problem = problemOf(reported(error, { requestId, method: METHOD, path: PATH }, log), requestId);
      // What is left of a body that did not come in time must not be taken for the next request.
      if (!incoming.complete) outgoing.shouldKeepAlive = false;
      send(outgoing, JSON.stringify(problem), { status: problem.status, headers: problemHeaders(problem), requestId });
    }
    span?.end(outgoing.statusCode < 500 ? "ok" : String(outgoing.statusCode), {
      "http.request.method": METHOD,
      "http.route": PATH,
      "http.response.status_code": outgoing.statusCode,
      "velas.request_id": requestId,
    });
    observe({ method: METHOD, route: PATH, status: outgoing.statusCode, started, requestId, token: caller.name });
  }

  return (incoming, outgoing) => {
    const { method, url, headers } = incoming;
    if (url !== PATH || method !== METHOD || hasOrigins || headers.expect !== undefined) return false;
    const length = headers["content-length"];
    if (length === undefined || Number(length) > maxBodyBytes) return false;
    const caller = admit(incoming);
    if (caller instanceof NodeError || !hasScope(caller, scopes)) return false;
    void answer(incoming, outgoing, caller);
    return true;
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly requestId: string;
}

function send(outgoing: ServerResponse, text: string, { status, headers, requestId }: Answer): void {
  if (outgoing.destroyed) return;
  outgoing.writeHead(status, {
    "X-Request-Id": requestId,
    ...headers,
    "Content-Length": String(Buffer.byteLength(text)),
  });
  outgoing.end(text);
}
