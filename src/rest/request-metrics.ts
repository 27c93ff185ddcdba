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
  return ({ method, route, status, started, requestId }) => {
    const ms = performance.now() - started;
    requests.add(1, { method, route, status: String(status) });
    latency.observe(ms / 1000, { method, route });
    // The route and not the path, which may hold the name of a file.
    log.debug("Answered over REST", { requestId, method, route, status, ms: Math.round(ms) });
  };
}
