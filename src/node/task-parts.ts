import { availableParallelism } from "node:os";
import { type Config, dataPaths } from "../config/mod.ts";
import type { Log, OutboundRules } from "../core/mod.ts";
import { openPluginHost, type PluginFiles, type Plugins } from "../plugins/mod.ts";
import type { LiveConfig } from "./live-config.ts";
import type { MetricsRegistry } from "../rest/mod.ts";

/** Opens the plugins that the configuration names. */
export function openPlugins(
  { config, live, outbound, log, metrics, files }: {
    config: Config;
    live: LiveConfig;
    outbound: OutboundRules;
    log: Log;
    metrics: MetricsRegistry;
    files: () => PluginFiles | undefined;
  },
): Promise<Plugins> {
  return openPluginHost({
    folder: dataPaths(config.node.dataDir).plugins,
    defaultPlugin: config.plugins.default,
    workers: workersOf(config),
    cpuPercent: config.plugins.cpuPercent,
    maxModuleBytes: config.plugins.maxModuleBytes,
    maxInputBytes: config.tasks.maxInputBytes,
    get allowUrlInstall() {
      return live.config.plugins.allowUrlInstall;
    },
    outbound,
    grants: config.plugins.grants,
    kvQuotaBytes: config.plugins.kvQuotaBytes,
    external: config.plugins.external.map(({ startTimeoutMs = 30_000, ...plugin }) => ({ ...plugin, startTimeoutMs })),
    maxGpuWaiting: config.plugins.maxGpuWaiting,
    files,
    log,
    metrics,
  });
}

export function workersOf(config: Config): number {
  return config.plugins.workers || availableParallelism();
}

/** The bounds of tasks: the most that they may ask for, and what they get without asking. */
export function taskLimits({ tasks }: Config) {
  return {
    max: {
      inputBytes: tasks.maxInputBytes,
      outputBytes: tasks.maxOutputBytes,
      memoryBytes: tasks.maxMemoryBytes,
      timeoutMs: tasks.maxTimeoutMs,
      instructions: tasks.maxInstructions,
    },
    default: {
      timeoutMs: tasks.defaultTimeoutMs,
      memoryBytes: tasks.defaultMemoryBytes,
      outputBytes: tasks.defaultOutputBytes,
      instructions: tasks.defaultInstructions,
    },
  };
}
