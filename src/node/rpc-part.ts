import type { Config } from "../config/mod.ts";
import { systemClock } from "../core/mod.ts";
import { createRpcServer, type RpcServer, type RpcServerOptions } from "../rpc/mod.ts";

/** What the RPC ports serve. */
export interface RpcParts extends
  Pick<
    RpcServerOptions,
    | "tasks"
    | "node"
    | "health"
    | "files"
    | "storage"
    | "payments"
    | "authenticator"
    | "believesClaims"
    | "limiter"
    | "tls"
    | "log"
    | "metrics"
  > {
  readonly config: Config;
}

/** Makes the RPC server. */
export function makeRpc({ config, ...parts }: RpcParts): RpcServer {
  return createRpcServer({
    ...parts,
    clock: systemClock,
    limits: config.rpc,
    allowedOrigins: config.rpc.allowedOrigins,
  });
}
