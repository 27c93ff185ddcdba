import { readFile } from "node:fs/promises";
import type { Config } from "../config/mod.ts";
import { NodeError, systemClock } from "../core/mod.ts";
import { createRpcServer, type RpcServer, type RpcServerOptions } from "../rpc/mod.ts";

/** What the RPC ports serve. */
export interface RpcParts
  extends
    Pick<RpcServerOptions, "tasks" | "node" | "health" | "files" | "storage" | "authenticator" | "log" | "metrics"> {
  readonly config: Config;
}

/** Makes the RPC server, with TLS where the configuration has keys. */
export async function makeRpc({ config, ...parts }: RpcParts): Promise<RpcServer> {
  const { tlsCertFile, tlsKeyFile } = config.rpc;
  const tls = tlsCertFile === undefined || tlsKeyFile === undefined
    ? {}
    : { tls: { cert: await pemOf(tlsCertFile), key: await pemOf(tlsKeyFile) } };
  return createRpcServer({ ...parts, clock: systemClock, limits: config.rpc, ...tls });
}

async function pemOf(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new NodeError("config_invalid", `Cannot read ${path}: ${(cause as Error).message}`, {
      cause,
      data: { path },
    });
  }
}
