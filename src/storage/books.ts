import type { Engine } from "./engine.ts";

/** What a check of a database found wrong with its books. */
export interface BookProblem {
  readonly message: string;
  /** Whether the check has mended it, or could, without losing anything. */
  readonly repairable: boolean;
}

const STEP = 1000;
/** Above every key: no key holds the highest code point. */
const END = "\u{10ffff}";

/** The problem of keys that lie in none of the parts (sublevels) that a database has, if there are any: nothing of this program reads them. */
export async function strangeKeys(engine: Engine, parts: readonly string[]): Promise<BookProblem[]> {
  const bounds = parts.map((part) => [`!${part}!`, `!${part}"`] as const).sort(([a], [b]) => a < b ? -1 : 1);
  let count = 0;
  let first = "";
  let gt = "";
  for (const [lt, next] of [...bounds, [END, ""] as const]) {
    for (;;) {
      const keys = await engine.keys({ gt, lt, limit: STEP });
      if (count === 0) first = keys[0] ?? "";
      count += keys.length;
      if (keys.length < STEP) break;
      gt = keys.at(-1)!;
    }
    gt = next;
  }
  if (count === 0) return [];
  const which = JSON.stringify(first.slice(0, 80));
  return [{ message: `${count} keys belong to no part of the database, the first is ${which}`, repairable: false }];
}
