import { readFileSync } from "node:fs";
import { join } from "node:path";
import { scratch, startNode } from "./harness.ts";
import type { NodeProcess } from "./harness.ts";

/** The plugin whose functions misbehave, one each. */
export const TESTING_PLUGIN = "testing";

export function testingModule(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL("../../wasm-plugins/testing/testing.wasm", import.meta.url)));
}

/** A requester and a provider, as `dev` starts them. */
export async function startPair(
  t: { after(f: () => unknown): void },
): Promise<{ requester: NodeProcess; provider: NodeProcess }> {
  const folder = scratch(t);
  const [requester, provider] = await Promise.all([
    startNode(t, { dataDir: join(folder, "requester") }),
    startNode(t, { dataDir: join(folder, "provider") }),
  ]);
  return { requester, provider };
}
