import { createHash, timingSafeEqual } from "node:crypto";
import { type Clock, type Log, type Metrics, NodeError, noMetrics, silentLog, systemClock } from "../core/mod.ts";
import type { UnreadRequest } from "./authenticator.ts";
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
  /** What each call must carry as metadata `velas-plugin-secret`; see {@link supervision}. Without it nothing is asked. */
  readonly secret?: string | undefined;
}

/** How a node runs this process as a supervised plugin. */
export interface Supervision {
  /** The Unix socket to serve on. */
  readonly path: string;
  readonly secret: string;
}

/** What the node that started this process asks of it; undefined when no node did. Throws `invalid_argument` without a secret. */
export function supervision(env: Readonly<Record<string, string | undefined>>): Supervision | undefined {
  const path = env["VELAS_SPHERE_PLUGIN_SOCKET"];
  if (path === undefined || path === "") return undefined;
  const secret = env["VELAS_SPHERE_PLUGIN_SECRET"];
  if (secret !== undefined && secret !== "") return { path, secret };
  throw new NodeError("invalid_argument", "VELAS_SPHERE_PLUGIN_SOCKET is set without VELAS_SPHERE_PLUGIN_SECRET");
}

/** Lets in the calls that carry the secret. */
function onlyWith(secret: string) {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const expected = digest(secret);
  return {
    identify({ headers }: UnreadRequest): undefined {
      const given = headers instanceof Headers ? headers.get(SECRET_HEADER) : headers[SECRET_HEADER];
      if (typeof given === "string" && timingSafeEqual(digest(given), expected)) return undefined;
      throw new NodeError("unauthenticated", "The call does not carry this plugin's secret: only its node may call it");
    },
  };
}

const SECRET_HEADER = "velas-plugin-secret";

/**
 * Serves functions as an external plugin: `velas.sphere.v1.PluginService`, the original's `resources.Plugin`, health and reflection.
 * It reports itself healthy until it is closed.
 */
export function createPluginServer(options: PluginServerOptions): RpcServer {
  const { secret, clock = systemClock, log = silentLog, metrics = noMetrics, maxInputBytes = 256 << 20 } = options;
  const health = new HealthState();
  const server = createRouteServer(pluginRoutes(options, { clock, maxInputBytes }), {
    ...options,
    ...secret !== undefined && { authenticator: onlyWith(secret) },
    health,
    clock,
    log,
    metrics,
    limits: { ...DEFAULT_RPC_LIMITS, ...options.limits },
  });
  return {
    ...server,
    close: (grace) => {
      health.set(false);
      return server.close(grace);
    },
  };
}
