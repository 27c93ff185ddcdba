import { decodeTask } from "./codec.ts";
import type { Engine } from "./engine.ts";
import { Sublevel } from "./sublevel.ts";
import { accountsOf, ownerBytes } from "./task-table.ts";

const STEP = 500;

/** Counts for each requester what its stored tasks take. */
export async function countOwners(engine: Engine): Promise<void> {
  const records = new Sublevel(engine, "task");
  const totals = new Map<string, number>();
  let after: string | undefined;
  for (;;) {
    const entries = await records.entries({ ...(after !== undefined && { gt: after }), limit: STEP });
    for (const [, text] of entries) {
      const task = decodeTask(text);
      const name = ownerBytes(task.record.requester);
      totals.set(name, (totals.get(name) ?? 0) + accountsOf(task)[name]!);
    }
    if (entries.length < STEP) break;
    after = entries.at(-1)![0];
  }
  const account = new Sublevel(engine, "account");
  await engine.write([...totals].map(([name, value]) => account.put(name, String(value))), true);
}
