import type { IncomingMessage } from "node:http";
import { callerAddress } from "../core/mod.ts";
import type { Caller, Clock, NodeError, RateLimiter } from "../core/mod.ts";
import { withStatus } from "./problem.ts";

export interface RateLimitOptions {
  readonly limiter?: RateLimiter | undefined;
  readonly clock: Pick<Clock, "now">;
}

/** The error that refuses a request for coming too soon. The caller is absent when it was refused already. */
export type RateCheck = (incoming: IncomingMessage, caller: Caller | undefined) => NodeError | undefined;

/** A supervisor that is refused would restart the node. */
const NEVER_LIMITED = /^\/healthz(?:\?|$)/;

/**
 * Counts requests: those with a token, or its login, for that token, whoever sends them, all others, wrong tokens too, for the address. Those
 * that come too often get 429 with Retry-After (RFC 6585 §4).
 */
export function createRateCheck({ limiter, clock }: RateLimitOptions): RateCheck {
  return (incoming, caller) => {
    if (limiter === undefined || !limiter.active || NEVER_LIMITED.test(incoming.url ?? "")) return undefined;
    const error = caller !== undefined && caller.name !== ""
      ? limiter.refusal("token", caller.name, clock.now())
      : limiter.refusal("address", callerAddress(incoming.socket.remoteAddress), clock.now());
    return error && withStatus(error, 429);
  };
}
