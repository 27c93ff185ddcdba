import { giveHeapRoom } from "../core/mod.ts";
import type { LocalChain, RunningNode, StartNodeOptions } from "../node.ts";

export type { LocalChain, RunningNode } from "../node.ts";

/** Starts a node. Loads its modules only now, since most commands are clients and must start fast. */
export async function startNode(options: StartNodeOptions): Promise<RunningNode> {
  giveHeapRoom();
  const node = await import("../node.ts");
  return await node.startNode(options);
}

/** Starts a chain on this machine. Throws `failed_precondition` with the cure when anvil is not installed. */
export async function startLocalChain(options: { readonly port: number }): Promise<LocalChain> {
  const node = await import("../node.ts");
  return await node.startLocalChain(options);
}

/** The URL of a REST listener at `host:port`. */
export function restUrl(address: string, { tls = false } = {}): string {
  return `${tls ? "https" : "http"}://${address}`;
}
