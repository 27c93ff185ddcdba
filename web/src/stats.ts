import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Stats } from "./api-types.ts";
import { sample } from "./live.ts";

type Points = Pick<Stats, "at" | "values">;

const HOUR_MS = 3_600_000;

/** What the node remembered, and when it grows, what has come since. */
export function useStats(stats: Stats, grows: boolean): Points {
  const points = useSignal<Points>(stats);
  useEffect(() => {
    points.value = stats;
  }, [stats]);
  const latest = sample.value;
  useEffect(() => {
    const { at, values } = points.peek();
    const last = at.at(-1) ?? 0;
    if (!grows || latest === undefined || latest.at <= last) return;
    const first = Math.max(0, at.findIndex((time) => time > latest.at - HOUR_MS));
    const names = new Set([...Object.keys(values), ...Object.keys(latest.values)]);
    const grown: Record<string, (number | null)[]> = {};
    for (const name of names) {
      const before = values[name] ?? at.map(() => null);
      grown[name] = [...before.slice(first), latest.values[name] ?? null];
    }
    points.value = { at: [...at.slice(first), latest.at], values: grown };
  }, [latest, grows]);
  return points.value;
}

/** How fast a counter grows, a second, at each point; a counter that fell belongs to a node that started again. */
export function rateOf(at: readonly number[], values: readonly (number | null)[]): (number | null)[] {
  return values.map((value, i) => {
    const before = values[i - 1];
    if (value === null || before === null || before === undefined || value < before) return null;
    const seconds = (at[i]! - at[i - 1]!) / 1000;
    return seconds > 0 ? (value - before) / seconds : null;
  });
}
