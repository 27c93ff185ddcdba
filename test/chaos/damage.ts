import { dataPaths } from "../../src/config/mod.ts";
import type { NodeId } from "../../src/core/mod.ts";
import { openShardStore } from "../../src/storage/mod.ts";
import type { WriteOp } from "../../src/storage/engine.ts";
import { bodyRange, decodeShardRow } from "../../src/storage/shard-rows.ts";
import type { Random } from "./random.ts";

/** With fewer shards none is damaged: so many faults have a provider avoided, and one is to be left that moves. */
const LEAST = 4;

/**
 * Has a provider that is down lose about two thirds of the shards that it keeps, but for those of one owner: a bit of each of their blocks is not what it was.
 * Returns what the provider's store calls them.
 */
export async function damageShards(
  dataDir: string,
  { except, random }: { readonly except: NodeId; readonly random: Random },
): Promise<readonly string[]> {
  const store = await openShardStore(dataPaths(dataDir).shards, { minFreeBytes: 0 });
  try {
    const { tables } = store.shards;
    const rows = (await tables.rows.entries({ limit: 1000 })).map(([key, text]) => ({ key, ...decodeShardRow(text) }))
      .filter(({ record, damaged }) => record.owner !== except && damaged === undefined);
    if (rows.length < LEAST) return [];
    const count = Math.max(LEAST - 1, Math.floor(rows.length * 2 / 3));
    const lost = Array.from({ length: count }, () => rows.splice(random.int(0, rows.length - 1), 1)[0]!);
    const ops: WriteOp[] = [];
    for (const { seq } of lost) {
      for (const key of await tables.bodies.keys({ ...bodyRange(seq), limit: 1000 })) {
        const block = new Uint8Array((await tables.bodies.getBytes(key))!);
        block[block.length - 1]! ^= 1;
        ops.push(tables.bodies.put(key, block));
      }
    }
    await tables.engine.write(ops, true);
    return lost.map(({ key }) => key);
  } finally {
    await store.close();
  }
}
