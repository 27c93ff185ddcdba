import type { Engine, WriteOp } from "./engine.ts";
import { decodeFileRecord } from "./file-codec.ts";
import { Sublevel } from "./sublevel.ts";
import { timeKey } from "../core/mod.ts";

const STEP = 500;

/** Enters every file that is kept in the index of leases to renew, to be looked at at once. */
export async function indexRenewals(engine: Engine): Promise<void> {
  const records = new Sublevel(engine, "file");
  const renewals = new Sublevel(engine, "file-renewal");
  let after: string | undefined;
  for (;;) {
    const entries = await records.entries({ ...(after !== undefined && { gt: after }), limit: STEP });
    const ops: WriteOp[] = [];
    for (const [, text] of entries) {
      const file = decodeFileRecord(text);
      if (file.phase !== "kept" || file.sharedBy !== undefined) continue;
      ops.push(renewals.put(`${timeKey(file.renewAt ?? 0)}/${file.id}`, ""));
    }
    if (ops.length > 0) await engine.write(ops, false);
    if (entries.length < STEP) return;
    after = entries.at(-1)![0];
  }
}
