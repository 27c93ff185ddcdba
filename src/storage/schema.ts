import { NodeError } from "../core/mod.ts";
import { countOwners } from "./count-owners.ts";
import { indexRenewals } from "./index-renewals.ts";
import type { Engine } from "./engine.ts";
import { Sublevel } from "./sublevel.ts";

/** One step from a schema version to the next. */
export interface Migration {
  /** The version that the store has afterwards; the version before is one less. */
  readonly to: number;
  /** Changes the store in bounded batches. It runs again from the start when the node stops within. */
  run(engine: Engine): Promise<void>;
}

/** The schema that this program writes. */
export const SCHEMA_VERSION = 3;

/** All steps, in order. The first version needs none. */
export const MIGRATIONS: readonly Migration[] = [
  // The index of leases to renew.
  { to: 2, run: indexRenewals },
  // What each requester's tasks take.
  { to: 3, run: countOwners },
];

const KEY = "schema";

/**
 * Brings a store to the newest schema and returns the version it had, 0 for a new one. Throws `storage_failed` when the
 * store is newer than the program, or is the LevelDB of something else.
 */
export async function migrate(
  engine: Engine,
  options: { readonly path: string; readonly migrations?: readonly Migration[]; readonly version?: number },
): Promise<number> {
  const { path, migrations = MIGRATIONS } = options;
  const newest = migrations.at(-1)?.to ?? options.version ?? SCHEMA_VERSION;
  const system = new Sublevel(engine, "system");
  const text = await system.get(KEY);
  if (text === undefined) {
    if ((await engine.keys({ gt: "", lt: "\u{10ffff}", limit: 1 })).length > 0) {
      throw new NodeError(
        "storage_failed",
        `The data directory ${path} holds a LevelDB of another program: choose another directory (node.dataDir)`,
        { data: { path } },
      );
    }
    await engine.write([system.put(KEY, JSON.stringify({ version: newest }))], true);
    return 0;
  }
  const version = readVersion(text, path);
  if (version > newest) {
    throw new NodeError(
      "storage_failed",
      `The data directory ${path} has schema ${version}, and this program knows up to ${newest}: use the newer program that wrote it`,
      { data: { path, version } },
    );
  }
  for (const step of migrations) {
    if (step.to <= version) continue;
    await step.run(engine);
    await engine.write([system.put(KEY, JSON.stringify({ version: step.to }))], true);
  }
  return version;
}

function readVersion(text: string, path: string): number {
  try {
    const { version } = JSON.parse(text);
    if (Number.isInteger(version) && version > 0) return version;
  } catch {
    // Falls through to the error below.
  }
  throw new NodeError(
    "storage_failed",
    `The data directory ${path} has a damaged schema record: restore it from a backup or choose another directory (node.dataDir)`,
    { data: { path } },
  );
}
