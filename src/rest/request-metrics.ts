import type { Log, Metrics } from "../core/mod.ts";

/** Upper bounds in seconds. */
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** An HTTP request that was answered. */
export interface AnsweredRequest {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  /** When its head had come, on the clock of `performance.now()`. */
  readonly started: number;
  readonly requestId: string;
  /** The name of the token that it bore, if any. */
  readonly token?: string | undefined;
}

/** Makes the function that counts and times HTTP requests, and tells of each in the log (debug). */
export function createRequestMetrics(metrics: Metrics, log: Log): (request: AnsweredRequest) => void {
  const requests = metrics.counter(
    "velas_http_requests_total",
    "HTTP requests by route and status",
    ["method", "route", "status"],
  );
  const latency = metrics.histogram(
    "velas_http_request_seconds",
    "Time from the head of an HTTP request to the end of its handler, in seconds",
    LATENCY_BUCKETS,
    ["method", "route"],
  );
  const byToken = metrics.counter(
    "velas_http_token_requests_total",
    "HTTP requests that bore a token of the node, by the token's name and status",
    ["token", "status"],
  );
  return ({ method, route, status, started, requestId, token = "" }) => {
    const ms = performance.now() - started;
    requests.add(1, { method, route, status: String(status) });
    if (token !== "") byToken.add(1, { token, status: String(status) });
    latency.observe(ms / 1000, { method, route });
    // The route and not the path, which may hold the name of a file.
    log.debug("Answered over REST", {
      requestId,
      method,
      route,
      status,
      ms: Math.round(ms),
      ...(token !== "" && { by: token }),
    });
  };
}
