import type { Clock } from "../core/mod.ts";
import type { MetricsRegistry } from "./metrics.ts";
import { readAll, READING_NAMES } from "./readings.ts";
import type { ReadingName } from "./readings.ts";

/** How far back, and how finely, the node remembers its readings. */
export const SPANS = {
  "1h": { stepMs: 5_000, points: 720 },
  "24h": { stepMs: 120_000, points: 720 },
} as const;

export type Span = keyof typeof SPANS;

/** Readings over time; a series has `null` where nothing was measured. */
export interface Series {
  readonly stepMs: number;
  /** Times of the points, milliseconds since the epoch. */
  readonly at: readonly number[];
  readonly values: Partial<Record<ReadingName, readonly (number | null)[]>>;
}

/** A ring of readings: fixed memory, the oldest point gives way. */
class Ring {
  readonly #points: number;
  readonly #at: Float64Array;
  readonly #values = new Map<ReadingName, Float64Array>();
  #next = 0;
  #size = 0;

  constructor(points: number) {
    this.#points = points;
    this.#at = new Float64Array(points);
  }

  push(at: number, readings: Partial<Record<ReadingName, number>>): void {
    this.#at[this.#next] = at;
    for (const name of READING_NAMES) {
      let values = this.#values.get(name);
      const value = readings[name];
      if (values === undefined) {
        if (value === undefined) continue;
        this.#values.set(name, values = new Float64Array(this.#points).fill(Number.NaN));
      }
      values[this.#next] = value ?? Number.NaN;
    }
    this.#next = (this.#next + 1) % this.#points;
    this.#size = Math.min(this.#size + 1, this.#points);
  }

  read(stepMs: number): Series {
    const start = this.#size < this.#points ? 0 : this.#next;
    const inOrder = (ring: Float64Array) =>
      Array.from({ length: this.#size }, (_, i) => ring[(start + i) % this.#points]!);
    const values: Partial<Record<ReadingName, readonly (number | null)[]>> = {};
    for (const [name, ring] of this.#values) {
      values[name] = inOrder(ring).map((value) => Number.isNaN(value) ? null : value);
    }
    return { stepMs, at: inOrder(this.#at), values };
  }
}

export interface HistoryOptions {
  readonly metrics: MetricsRegistry;
  readonly clock: Clock;
  /** Aborts when the node stops. */
  readonly stopping?: AbortSignal | undefined;
}

/** What the node remembers of its readings, so that a page that opens has plots at once. */
export interface History {
  read(span: Span): Series;
}

/** Begins to take readings. The timer does not keep the process alive. */
export function keepHistory({ metrics, clock, stopping }: HistoryOptions): History {
  const rings = { "1h": new Ring(SPANS["1h"].points), "24h": new Ring(SPANS["24h"].points) };
  const every = SPANS["24h"].stepMs / SPANS["1h"].stepMs;
  let count = 0;
  const take = () => {
    const at = clock.now();
    const readings = readAll(metrics);
    rings["1h"].push(at, readings);
    if (count++ % every === 0) rings["24h"].push(at, readings);
  };
  take();
  const timer = setInterval(take, SPANS["1h"].stepMs);
  timer.unref();
  stopping?.addEventListener("abort", () => clearInterval(timer), { once: true });
  return { read: (span) => rings[span].read(SPANS[span].stepMs) };
}
