import type { Config } from "../config/mod.ts";
import type { Log } from "../core/mod.ts";

/** A node that serves. */
export interface RunningNode {
  readonly nodeId: string;
  /** `host:port` of every RPC listener. */
  readonly rpcAddresses: readonly string[];
  /** `host:port` of the REST listener. */
  readonly restAddress: string;
  /** Drains and stops; tasks that run have `graceMs` to finish. */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/** Starts a node. Loads its modules only now, since most commands are clients and must start fast. */
export async function startNode(options: { readonly config: Config; readonly log: Log }): Promise<RunningNode> {
  // @ts-ignore: node.ts is the composition root and is written beside this
  const { startNode: start } = await import("../node.ts");
  return await start(options);
}

/** The URL of a REST listener. */
export function restUrl(address: string): string {
  return /^https?:/.test(address) ? address : `http://${address}`;
}
