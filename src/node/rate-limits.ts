import { type Config, isLoopback } from "../config/mod.ts";
import { type Metrics, type Rate, RateLimiter } from "../core/mod.ts";
import { addressOf, isRpcLocal } from "./addresses.ts";

/** How often others may call the node's listeners. */
export interface RateLimits {
  readonly rpc: RateLimiter;
  readonly rest: RateLimiter;
  /** Takes other rates, while the node runs. */
  configure(config: Config): void;
}

/** What one caller may where other machines reach the node: about a fifth of what two cores answer. */
const PUBLIC_PER_SECOND = 2000;
const NO_LIMIT = 1_000_000;

/** Makes the limits of the configuration. */
export function makeRateLimits(config: Config, metrics: Metrics): RateLimits {
  const help = "Calls that were refused since their caller made too many, by listener and what the caller is known by";
  const refused = metrics.counter("velas_rate_limited_total", help, ["listener", "by"]);
  const refusals = (listener: string) => ({
    add: (amount = 1, labels = {}) => refused.add(amount, { listener, ...labels }),
  });
  const rpc = new RateLimiter({ ...rpcRate(config), setting: "rpc.callsPerSecond", refusals: refusals("rpc") });
  const rest = new RateLimiter({ ...restRate(config), setting: "rest.requestsPerSecond", refusals: refusals("rest") });
  return {
    rpc,
    rest,
    configure(changed) {
      rpc.configure(rpcRate(changed));
      rest.configure(restRate(changed));
    },
  };
}

function rpcRate(config: Config): Rate {
  return rateOf(config.rpc.callsPerSecond, config.rpc.callsBurst, isRpcLocal(config));
}

function restRate({ rest }: Config): Rate {
  return rateOf(rest.requestsPerSecond, rest.requestsBurst, isLoopback(addressOf(rest.listen).host));
}

function rateOf(configured: number, burst: number, isLocal: boolean): Rate {
  const perSecond = configured === NO_LIMIT ? 0 : configured || (isLocal ? 0 : PUBLIC_PER_SECOND);
  return { perSecond, burst: burst || 2 * perSecond };
}
