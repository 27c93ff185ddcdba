import type { ServerResponse } from "node:http";
import { NodeError } from "../core/mod.ts";
import type { CallContext } from "../core/mod.ts";
import { reported } from "./boundary.ts";
import { withCall } from "./context.ts";
import type { RestContext } from "./context.ts";
import type { RestAppOptions } from "./options.ts";
import { alreadySent, writePiece } from "./stream.ts";

/** How long a client waits before it connects again, in milliseconds. */
const RETRY_MS = 2000;
const DEFAULT_HEARTBEAT_MS = 15_000;

/** The id of the last event of a stream. A client that comes back with it has seen all there is. */
const LAST_ID = "end";

/** Headers of an event stream; it must pass proxies at once and unchanged. */
export const EVENT_STREAM_HEADERS: Readonly<Record<string, string>> = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store, no-transform",
  "X-Accel-Buffering": "no",
};

/** A kind of event stream. */
export interface EventSource<E extends { readonly type: string }> {
  /** Opens the events. */
  open(ctx: CallContext): AsyncIterable<E>;
  /** The data of an event. */
  json(event: E): unknown;
  /** Whether no event can come after it. */
  isLast(event: E): boolean;
  /** Answer before the first event: there may be none for long. */
  readonly atOnce?: boolean;
}

export type ServeEvents = <E extends { readonly type: string }>(
  c: RestContext,
  source: EventSource<E>,
) => Promise<Response>;

/**
 * Serves events as server-sent events (WHATWG HTML §9.2), at most `maxEventStreams` at once. Events are numbered within
 * a client's streams, the last one has the id `end`. An EventSource connects again after every end; it is
 * stopped with 204, which is what that status means there. A stream whose token is over ends at the next comment.
 */
export function createEventStreams(options: RestAppOptions): ServeEvents {
  const { limits, log } = options;
  let openStreams = 0;

  return async (c, source) => {
    if (openStreams >= limits.maxEventStreams) {
      throw new NodeError(
        "overloaded",
        `${openStreams} event streams are open, which is this node's limit; close one, or ask for the state instead`,
        { data: { limit: limits.maxEventStreams }, retryAfterMs: RETRY_MS },
      );
    }
    openStreams++;
    try {
      const over = new AbortController();
      const until = options.stopping === undefined ? over.signal : AbortSignal.any([options.stopping, over.signal]);
      return await withCall(c, { ...options, until }, (ctx) => serve(c, { source, over, ctx }));
    } finally {
      openStreams--;
    }
  };

  async function serve<E extends { readonly type: string }>(
    c: RestContext,
    { source, over, ctx }: { source: EventSource<E>; over: AbortController; ctx: CallContext },
  ): Promise<Response> {
    const { incoming, outgoing } = c.env;
    const lastSeen = incoming.headers["last-event-id"];
    let number = Number.parseInt(typeof lastSeen === "string" ? lastSeen : "", 10) || 0;
    let heartbeat: NodeJS.Timeout | undefined;

    async function begin(): Promise<void> {
      outgoing.writeHead(200, EVENT_STREAM_HEADERS);
      await writePiece(outgoing, `retry: ${RETRY_MS}\n\n`, limits.idleTimeoutMs);
      heartbeat = startHeartbeat(options.eventHeartbeatMs ?? DEFAULT_HEARTBEAT_MS, { outgoing, c, over });
    }

    try {
      const events = source.open(ctx);
      if (source.atOnce === true) await begin();
      for await (const event of events) {
        const last = source.isLast(event);
        // Only the first event opens the answer: before it an error still has a status.
        if (!outgoing.headersSent) {
          if (last && lastSeen === LAST_ID) return new Response(null, { status: 204 });
          await begin();
        }
        const id = last ? LAST_ID : String(++number);
        const text = `id: ${id}\nevent: ${event.type}\ndata: ${JSON.stringify(source.json(event))}\n\n`;
        await writePiece(outgoing, text, limits.idleTimeoutMs);
        if (last) break;
      }
      if (!outgoing.headersSent) throw new NodeError("internal", "The events ended before the first one");
      outgoing.end();
    } catch (error) {
      if (!outgoing.headersSent) throw error;
      // Too late for a status: the end of the stream makes the client come back, and then it gets one.
      reported(error, { requestId: c.get("requestId"), method: "GET", path: c.req.path }, log);
      outgoing.end();
    } finally {
      clearInterval(heartbeat);
    }
    return alreadySent();
  }
}

/** Comments keep proxies from closing a silent stream, and find out that a client is gone. A stream ends with its token. */
function startHeartbeat(
  intervalMs: number,
  { outgoing, c, over }: { outgoing: ServerResponse; c: RestContext; over: AbortController },
): NodeJS.Timeout {
  return setInterval(() => {
    if (!c.get("mayStay")()) return over.abort();
    if (!outgoing.writableNeedDrain && !outgoing.destroyed) outgoing.write(": still here\n\n");
  }, intervalMs);
}
