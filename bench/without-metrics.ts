/**
 * Imported before a node's own code (`node --import`), has it measure into nothing: its registry is one whose metrics throw away what they
 * are told. `/metrics` shows only the CPU time of the process, for the bench.
 */
import { registerHooks } from "node:module";
import process from "node:process";
import { noMetrics } from "../src/core/metrics.ts";
import type { MetricsRegistry } from "../src/rest/metrics.ts";

/** In the place of the one of `src/rest/metrics.ts`. */
export function createMetrics(): MetricsRegistry {
  return {
    ...noMetrics,
    contentType: "text/plain",
    render() {
      const { user, system } = process.cpuUsage();
      return Promise.resolve(`process_cpu_seconds_total ${(user + system) / 1e6}\n`);
    },
    read: () => undefined,
  };
}

registerHooks({
  resolve(specifier, context, next) {
    const resolved = next(specifier, context);
    return resolved.url.endsWith("/src/rest/metrics.ts") ? { ...resolved, url: import.meta.url } : resolved;
  },
});
