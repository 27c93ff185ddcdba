import { type Clock, type Log, type Metrics, noMetrics, silentLog, systemClock } from "../core/mod.ts";
import {
  createRouteServer,
  DEFAULT_RPC_LIMITS,
  type RouteServerOptions,
  type RpcLimits,
  type RpcServer,
} from "./server.ts";
import { HealthState } from "./services/health.ts";
import { type PluginManifest, pluginRoutes } from "./services/plugin.ts";

export interface PluginServerOptions extends PluginManifest, Pick<RouteServerOptions, "tls" | "fallback"> {
  readonly clock?: Clock;
  readonly log?: Log;
  readonly metrics?: Metrics;
  readonly limits?: Partial<RpcLimits>;
  /** The largest input that a function may gather whole, in bytes; by default 256 MiB. */
  readonly maxInputBytes?: number;
}

/**
 * Serves functions as an external plugin: `velas.sphere.v1.PluginService`, the original's `resources.Plugin`, health and reflection.
 * It reports itself healthy until it is closed.
 */
export function createPluginServer(options: PluginServerOptions): RpcServer {
  const { clock = systemClock, log = silentLog, metrics = noMetrics, maxInputBytes = 256 << 20 } = options;
  const health = new HealthState();
  const server = createRouteServer(pluginRoutes(options, { clock, maxInputBytes }), {
    ...options,
    health,
    clock,
    log,
    metrics,
    limits: { ...DEFAULT_RPC_LIMITS, ...options.limits },
  });
  return {
    listen: (address) => server.listen(address),
    close: (grace) => {
      health.set(false);
      return server.close(grace);
    },
  };
}
