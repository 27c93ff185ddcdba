import { collectDefaultMetrics, Registry } from "prom-client";
import type { Metric } from "prom-client";
import { type Counter, type Gauge, type Histogram, isDeno, type Labels, type Metrics } from "../core/mod.ts";
import { Cells } from "./cells.ts";

/**
 * How often the delay of the event loop is taken, in milliseconds. Deno does that by a timer in the loop itself, at which a node that has nothing to
 * do spent 0.25 % of a core, and sees no delay: not one of 80 ms.
 */
const EVENT_LOOP_MS = isDeno ? 1000 : 10;

/** {@link Metrics} that can be shown to Prometheus. */
export interface MetricsRegistry extends Metrics {
  /** Media type of what {@link render} gives: the Prometheus text exposition format. */
  readonly contentType: string;
  /** All metrics as text. */
  render(): Promise<string>;
  /** The sum over the cells of a counter or gauge that have these labels; undefined when nobody registered the name. */
  read(name: string, labels?: Labels): number | undefined;
}

export interface MetricsOptions {
  /** Whether to add what the runtime tells of the process: CPU, memory, event loop, garbage collection. Default true. */
  readonly processMetrics?: boolean;
}

/**
 * Makes a registry of its own over prom-client; two in one process do not meet. A name that is registered again is the
 * metric that is there. prom-client shows the metrics, but their values are kept here (see {@link Cells}): it makes a text of
 * the labels at every step, which costs several times as much.
 */
export function createMetrics(options: MetricsOptions = {}): MetricsRegistry {
  const registry = new Registry();
  if (options.processMetrics ?? true) {
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_MS });
  }
  const known = new Map<string, Counter | Gauge | Histogram>();
  const readers = new Map<string, () => readonly Value[]>();

  function register<T extends Counter | Gauge | Histogram>(name: string, help: string, make: () => OwnMetric<T>): T {
    let face = known.get(name) as T | undefined;
    if (face === undefined) {
      const metric = make();
      const shown = { name, help, type: metric.type, aggregator: "sum" };
      // What the registry reads of a metric; prom-client's own types know only its own classes.
      const readable = { ...shown, get: () => Promise.resolve({ ...shown, values: metric.values() }) };
      registry.registerMetric(readable as unknown as Metric);
      face = metric.face;
      known.set(name, face);
      readers.set(name, metric.values);
    }
    return face;
  }

  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    read: (name, labels = NO_LABELS) => {
      const wanted = Object.entries(labels);
      return readers.get(name)?.().reduce(
        (sum, cell) => wanted.every(([label, value]) => cell.labels[label] === value) ? sum + cell.value : sum,
        0,
      );
    },
    counter: (name, help, labelNames = []) => register(name, help, () => makeCounter(labelNames)),
    gauge: (name, help, labelNames = []) => register(name, help, () => makeGauge(labelNames)),
    histogram: (name, help, buckets, labelNames = []) =>
      register(name, help, () => makeHistogram({ name, buckets, labelNames })),
  };
}

/** A metric as its users have it and as the registry reads it. */
interface OwnMetric<T> {
  readonly type: "counter" | "gauge" | "histogram";
  readonly face: T;
  readonly values: () => readonly Value[];
}

interface Value {
  readonly labels: Labels;
  readonly value: number;
  /** When it differs from the metric's name. */
  readonly metricName?: string;
}

const NO_LABELS: Labels = {};

function makeCounter(labelNames: readonly string[]): OwnMetric<Counter> {
  const cells = new Cells(labelNames, () => ({ value: 0 }));
  return {
    type: "counter",
    face: { add: (amount = 1, labels = NO_LABELS) => void (cells.at(labels).value += amount) },
    values: () => cells.all.map(([labels, { value }]) => ({ labels, value })),
  };
}

function makeGauge(labelNames: readonly string[]): OwnMetric<Gauge> {
  const cells = new Cells(labelNames, () => ({ value: 0 }));
  return {
    type: "gauge",
    face: { set: (value, labels = NO_LABELS) => void (cells.at(labels).value = value) },
    values: () => cells.all.map(([labels, { value }]) => ({ labels, value })),
  };
}

function makeHistogram(
  { name, buckets, labelNames }: { name: string; buckets: readonly number[]; labelNames: readonly string[] },
): OwnMetric<Histogram> {
  const bounds = buckets.toSorted((a, b) => a - b);
  // One count more than there are bounds, for what is above all of them.
  const cells = new Cells(labelNames, () => ({ counts: new Array<number>(bounds.length + 1).fill(0), sum: 0 }));
  return {
    type: "histogram",
    face: {
      observe(value, labels = NO_LABELS) {
        const cell = cells.at(labels);
        let bucket = 0;
        while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
        cell.counts[bucket]!++;
        cell.sum += value;
      },
    },
    values: () =>
      cells.all.flatMap(([labels, { counts, sum }]) => {
        let below = 0;
        const shown: Value[] = counts.map((count, i) => {
          below += count;
          const le = i < bounds.length ? String(bounds[i]) : "+Inf";
          return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: below };
        });
        shown.push({ metricName: `${name}_sum`, labels, value: sum });
        shown.push({ metricName: `${name}_count`, labels, value: below });
        return shown;
      }),
  };
}
