import type { Config } from "../config/mod.ts";
import { parseNodeId, systemClock } from "../core/mod.ts";
import { AllowList, createRpcServer, type RpcServer, type RpcServerOptions } from "../rpc/mod.ts";

/** What the RPC ports serve. */
export interface RpcParts extends
  Pick<
    RpcServerOptions,
    | "tasks"
    | "node"
    | "health"
    | "files"
    | "storage"
    | "modules"
    | "payments"
    | "authenticator"
    | "believesClaims"
    | "self"
    | "limiter"
    | "tracer"
    | "tls"
    | "log"
    | "metrics"
  > {
  readonly config: Config;
}

/** Makes the RPC server. */
export function makeRpc({ config, ...parts }: RpcParts): RpcServer {
  const { allow, allowedOrigins, frontThreads } = config.rpc;
  return createRpcServer({
    ...parts,
    ...(allow.length > 0 && { allow: new AllowList(allow.map(parseNodeId)) }),
    clock: systemClock,
    limits: config.rpc,
    allowedOrigins,
    frontThreads,
  });
}
