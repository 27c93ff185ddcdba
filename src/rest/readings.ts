import process from "node:process";
import type { MetricsRegistry } from "./metrics.ts";

/** One number of the node that is worth a plot. */
interface Reading {
  /** Whether it only grows, so that its differences are what to show. */
  readonly counts: boolean;
  /** Undefined while the node has nothing that measures it. */
  read(metrics: MetricsRegistry): number | undefined;
}

const gauge = (name: string): Reading => ({ counts: false, read: (metrics) => metrics.read(name) });
const ended = (state: string): Reading => ({
  counts: true,
  read: (metrics) => metrics.read("velas_tasks_total", { state }),
});

/** What the overview plots, by the names that `/v1/stats` and `/v1/events` give. */
export const READINGS = {
  tasksRunning: gauge("velas_tasks_running"),
  tasksQueued: gauge("velas_tasks_queued"),
  tasksSucceeded: ended("succeeded"),
  tasksFailed: ended("failed"),
  tasksCanceled: ended("canceled"),
  tasksExpired: ended("expired"),
  tasksRejected: { counts: true, read: (metrics) => metrics.read("velas_tasks_rejected_total") },
  httpRequests: { counts: true, read: (metrics) => metrics.read("velas_http_requests_total") },
  filePutBytes: { counts: true, read: (metrics) => metrics.read("velas_files_put_bytes_total") },
  fileGetBytes: { counts: true, read: (metrics) => metrics.read("velas_files_get_bytes_total") },
  shardBytes: { counts: true, read: (metrics) => metrics.read("velas_shard_bytes_total") },
  cpuSeconds: {
    counts: true,
    read: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  },
  memoryBytes: { counts: false, read: () => process.memoryUsage.rss() },
} as const satisfies Readonly<Record<string, Reading>>;

export type ReadingName = keyof typeof READINGS;

export const READING_NAMES = Object.keys(READINGS) as readonly ReadingName[];

/** All readings now; those that nothing measures are left out. */
export function readAll(metrics: MetricsRegistry): Partial<Record<ReadingName, number>> {
  const values: Partial<Record<ReadingName, number>> = {};
  for (const name of READING_NAMES) {
    const value = (READINGS[name] as Reading).read(metrics);
    if (value !== undefined) values[name] = value;
  }
  return values;
}
