import type { IncomingMessage } from "node:http";
import { callerAddress } from "../core/mod.ts";
import type { Clock, NodeError, RateLimiter } from "../core/mod.ts";
import { withStatus } from "./problem.ts";

export interface RateLimitOptions {
  readonly limiter?: RateLimiter | undefined;
  readonly token?: string | undefined;
  readonly clock: Pick<Clock, "now">;
}

/** The error that refuses a request for coming too soon. `known` says whether it bore the token or a login. */
export type RateCheck = (incoming: IncomingMessage, options: { readonly known: boolean }) => NodeError | undefined;

/** A supervisor that is refused would restart the node. */
const NEVER_LIMITED = /^\/healthz(?:\?|$)/;

/**
 * Counts requests: those with the token for the token, whoever sends them, all others, wrong tokens too, for the address. Those
 * that come too often get 429 with Retry-After (RFC 6585 §4).
 */
export function createRateCheck({ limiter, token, clock }: RateLimitOptions): RateCheck {
  return (incoming, { known }) => {
    if (limiter === undefined || !limiter.active || NEVER_LIMITED.test(incoming.url ?? "")) return undefined;
    const { headers } = incoming;
    const bears = token !== undefined && known &&
      (headers.authorization !== undefined || headers.cookie !== undefined);
    const error = bears
      ? limiter.refusal("token", "", clock.now())
      : limiter.refusal("address", callerAddress(incoming.socket.remoteAddress), clock.now());
    return error && withStatus(error, 429);
  };
}
