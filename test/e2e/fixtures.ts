import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { scratch, startNode } from "./harness.ts";
import type { NodeProcess } from "./harness.ts";
import type { TestScope } from "../testing.ts";

/** A plugin whose functions misbehave, one each. */
export const MISBEHAVING = "misbehaving";

/** Puts {@link MISBEHAVING} into the plugin folder of a data directory. */
export function plantMisbehaving(dataDir: string): void {
  mkdirSync(join(dataDir, "plugins"), { recursive: true });
  copyFileSync(
    new URL("../../wasm-plugins/testing/misbehaving.wasm", import.meta.url),
    join(dataDir, "plugins", `${MISBEHAVING}.wasm`),
  );
}

/** A requester and a provider, as `dev` starts them. */
export async function startPair(
  t: TestScope,
): Promise<{ requester: NodeProcess; provider: NodeProcess }> {
  const folder = scratch(t);
  const [requester, provider] = await Promise.all([
    startNode(t, { dataDir: join(folder, "requester") }),
    startNode(t, { dataDir: join(folder, "provider") }),
  ]);
  return { requester, provider };
}
