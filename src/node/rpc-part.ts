import type { Config } from "../config/mod.ts";
import { systemClock } from "../core/mod.ts";
import { createRpcServer, type RpcServer, type RpcServerOptions } from "../rpc/mod.ts";
import { readTlsFiles } from "./tls-files.ts";

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
    | "log"
    | "metrics"
  > {
  readonly config: Config;
}

/** Makes the RPC server, with TLS where the configuration has keys. */
export async function makeRpc({ config, ...parts }: RpcParts): Promise<RpcServer> {
  const tls = await readTlsFiles(config.rpc);
  return createRpcServer({ ...parts, clock: systemClock, limits: config.rpc, ...tls });
}
