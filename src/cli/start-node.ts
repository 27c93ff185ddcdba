import type { RunningNode, StartNodeOptions } from "../node.ts";

export type { RunningNode } from "../node.ts";

/** Starts a node. Loads its modules only now, since most commands are clients and must start fast. */
export async function startNode(options: StartNodeOptions): Promise<RunningNode> {
  const node = await import("../node.ts");
  return await node.startNode(options);
}

/** The URL of a REST listener at `host:port`. */
export function restUrl(address: string, { tls = false } = {}): string {
  return `${tls ? "https" : "http"}://${address}`;
}
