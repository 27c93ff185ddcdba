import { join } from "node:path";
import type { TestScope } from "../testing.ts";
import { type NodeProcess, scratch, startNode } from "./harness.ts";

export interface Swarm {
  readonly requester: NodeProcess;
  readonly providers: readonly NodeProcess[];
  readonly folder: string;
}

/** Starts providers, and a requester that knows them. */
export async function startSwarm(t: TestScope, count = 6): Promise<Swarm> {
  const folder = scratch(t);
  const providers = await Promise.all(
    Array.from({ length: count }, (_, i) => startNode(t, { dataDir: join(folder, `provider-${i + 1}`) })),
  );
  const requester = await startNode(t, {
    dataDir: join(folder, "requester"),
    config: { requester: { providers: providers.map(({ rpc }) => rpc) } },
  });
  return { requester, providers, folder };
}
