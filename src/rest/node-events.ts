import type { ServerResponse } from "node:http";
import { NodeError } from "../core/mod.ts";
import { alertJson } from "./alerts.ts";
import type { RestContext } from "./context.ts";
import { EVENT_STREAM_HEADERS } from "./events.ts";
import type { RestAppOptions } from "./options.ts";
import { readAll } from "./readings.ts";
import { alreadySent } from "./stream.ts";

const SAMPLE_MS = 2000;

type NodeEventOptions = Pick<RestAppOptions, "limits" | "metrics" | "clock" | "stopping" | "health" | "alerts">;

interface Listener {
  /** Whether its token is still good. */
  readonly mayStay: () => boolean;
  /** Since when it has not read. */
  stuckSince: number | undefined;
}

/**
 * Serves what happens to the node as server-sent events to any number of pages: each event is made into text once, and no timer
 * runs while nobody listens. A reader that does not keep up misses samples, since the next one replaces them, and is cut off after
 * `idleTimeoutMs`.
 */
export function createNodeEvents(
  { limits, metrics, clock, stopping, health, alerts }: NodeEventOptions,
): (c: RestContext) => Promise<Response> {
  const listeners = new Map<ServerResponse, Listener>();
  let timer: NodeJS.Timeout | undefined;

  const sample = () => {
    const data = {
      at: clock.now(),
      ready: health.ready(),
      alerts: (alerts?.() ?? []).map(alertJson),
      values: readAll(metrics),
    };
    return `event: sample\ndata: ${JSON.stringify(data)}\n\n`;
  };

  function broadcast(): void {
    const text = sample();
    for (const [outgoing, listener] of listeners) {
      if (!listener.mayStay()) {
        outgoing.end();
      } else if (!outgoing.writableNeedDrain) {
        listener.stuckSince = undefined;
        outgoing.write(text);
      } else if (listener.stuckSince === undefined) {
        listener.stuckSince = performance.now();
      } else if (performance.now() - listener.stuckSince > limits.idleTimeoutMs) {
        outgoing.destroy();
      }
    }
  }

  stopping?.addEventListener("abort", () => {
    for (const outgoing of listeners.keys()) outgoing.end();
  }, { once: true });

  return async (c) => {
    const { outgoing } = c.env;
    if (stopping?.aborted) throw new NodeError("shutting_down", "The node is shutting down");
    if (listeners.size >= limits.maxEventStreams) {
      throw new NodeError(
        "overloaded",
        `${listeners.size} pages watch this node, which is its limit (rest.maxEventStreams); close one, or ask for /v1/stats`,
        { data: { limit: limits.maxEventStreams }, retryAfterMs: SAMPLE_MS },
      );
    }
    const closed = new Promise((resolve) => outgoing.once("close", resolve));
    outgoing.writeHead(200, EVENT_STREAM_HEADERS);
    outgoing.write(`retry: ${SAMPLE_MS}\n\n${sample()}`);
    listeners.set(outgoing, { mayStay: c.get("mayStay"), stuckSince: undefined });
    timer ??= setInterval(broadcast, SAMPLE_MS);
    await closed;
    listeners.delete(outgoing);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
    return alreadySent();
  };
}
