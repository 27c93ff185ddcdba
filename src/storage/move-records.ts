import type { Engine, WriteOp } from "./engine.ts";
import { SHARD_RECORDS, SHARD_TOTALS } from "./shard-tables.ts";
import { Sublevel } from "./sublevel.ts";

const STEP = 500;

/** Where the rows and accounts of a shard database were, and where they are. */
const MOVES = [["shard", SHARD_RECORDS], ["account", SHARD_TOTALS]] as const;

/** Moves rows and accounts of shards behind the bodies. Each batch is flushed, since none may be missing once the schema says that all have moved. */
export async function moveRecords(engine: Engine): Promise<void> {
  for (const [from, to] of MOVES) {
    const [before, now] = [new Sublevel(engine, from), new Sublevel(engine, to)];
    let after: string | undefined;
    for (;;) {
      const entries = await before.entries({ ...(after !== undefined && { gt: after }), limit: STEP });
      const ops = entries.flatMap(([key, value]): WriteOp[] => [now.put(key, value), before.del(key)]);
      if (ops.length > 0) await engine.write(ops, true);
      if (entries.length < STEP) break;
      after = entries.at(-1)![0];
    }
  }
}
