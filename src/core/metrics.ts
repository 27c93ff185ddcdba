/** Label values of one sample. Every label must have few values: never an id, a name that users choose, or an address. */
export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(amount?: number, labels?: Labels): void;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** Where parts of the node register what they measure; `rest/` shows it at `/metrics`. Names are full Prometheus names. */
export interface Metrics {
  counter(name: string, help: string, labelNames?: readonly string[]): Counter;
  gauge(name: string, help: string, labelNames?: readonly string[]): Gauge;
  /** Buckets are upper bounds in the metric's unit. */
  histogram(name: string, help: string, buckets: readonly number[], labelNames?: readonly string[]): Histogram;
}

const nothing = { add() {}, set() {}, observe() {} };

/** Metrics that are measured and thrown away. */
export const noMetrics: Metrics = { counter: () => nothing, gauge: () => nothing, histogram: () => nothing };
