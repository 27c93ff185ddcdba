import type { Context } from "hono";
import type { AccessScope, CallContext, Caller, Span } from "../core/mod.ts";
import { NodeError } from "../core/mod.ts";
import { clientGone } from "./body.ts";
import type { NodeExchange } from "./body.ts";
import type { RestAppOptions } from "./options.ts";

/** What Hono carries through a request here. */
export interface RestEnv {
  Bindings: NodeExchange;
  Variables: {
    requestId: string;
    caller: Caller;
    /** Those of which the caller needed one for its route. */
    scopes: readonly AccessScope[];
    /** Whether the caller could still make the call: its token may be over since, or changed. */
    mayStay: () => boolean;
  };
}

export type RestContext = Context<RestEnv>;

export interface CallOptions extends Pick<RestAppOptions, "requester" | "clock"> {
  /** How long the caller waits, in milliseconds; absent for as long as it takes. */
  readonly timeoutMs?: number | undefined;
  /** Also aborts the call, with `shutting_down`. */
  readonly until?: AbortSignal | undefined;
}

/**
 * Runs a call for an HTTP request, with a {@link CallContext} that aborts when the client goes away or the time is over.
 * Throws what `use` throws, or after an abort the reason for it: `canceled` or `deadline_exceeded`.
 */
export function withCall<T>(
  c: RestContext,
  options: CallOptions,
  use: (ctx: CallContext) => Promise<T>,
): Promise<T> {
  return withExchangeCall({ outgoing: c.env.outgoing, requestId: c.get("requestId") }, options, use);
}

interface Exchange extends Pick<NodeExchange, "outgoing"> {
  readonly requestId: string;
  readonly span?: Span | undefined;
}

/** {@link withCall} for a request that is not in Hono's hands. */
export async function withExchangeCall<T>(
  { outgoing, requestId, span }: Exchange,
  { requester, clock, timeoutMs, until }: CallOptions,
  use: (ctx: CallContext) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  const onClose = () => controller.abort(clientGone());
  if (outgoing.closed) onClose();
  else outgoing.once("close", onClose);
  const onStopping = () => controller.abort(new NodeError("shutting_down", "The node is shutting down"));
  if (until?.aborted) onStopping();
  else until?.addEventListener("abort", onStopping);
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => controller.abort(tooLate(timeoutMs)), timeoutMs);
  try {
    return await use({
      requester,
      signal,
      requestId,
      span,
      ...(timeoutMs === undefined ? {} : { deadlineAt: clock.now() + timeoutMs }),
    });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    outgoing.off("close", onClose);
    until?.removeEventListener("abort", onStopping);
  }
}

function tooLate(timeoutMs: number): NodeError {
  return new NodeError("deadline_exceeded", `The call did not end within ${timeoutMs} ms; allow it more (timeoutMs)`, {
    data: { timeoutMs },
  });
}

/** An answer in JSON. Its headers stay a plain object, which node-server sends without building a Headers. */
export function json(value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(value), { status, headers: { "Content-Type": "application/json", ...headers } });
}
