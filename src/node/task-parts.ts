import { availableParallelism } from "node:os";
import { type Config, dataPaths } from "../config/mod.ts";
import {
  createReceiptSigner,
  type Log,
  type ModuleInfo,
  type ModuleService,
  type NodeId,
  type NodeKey,
  type OutboundRules,
} from "../core/mod.ts";
import { openPluginHost, type PluginFiles, type Plugins } from "../plugins/mod.ts";
import type { LiveConfig } from "./live-config.ts";
import {
  createModuleProvider,
  createTaskProvider,
  type TaskProvider,
  type TaskProviderOptions,
} from "../provider/mod.ts";
import type { MetricsRegistry } from "../rest/mod.ts";

/** Opens the plugins that the configuration names. */
export function openPlugins(
  { config, self, live, outbound, log, metrics, files }: {
    config: Config;
    self: NodeId;
    live: LiveConfig;
    outbound: OutboundRules;
    log: Log;
    metrics: MetricsRegistry;
    files: () => PluginFiles | undefined;
  },
): Promise<Plugins> {
  const paths = dataPaths(config.node.dataDir);
  return openPluginHost({
    folder: paths.plugins,
    brought: {
      folder: paths.modules,
      maxBytes: config.plugins.moduleCacheBytes,
      bytesPerRequester: config.plugins.moduleBytesPerRequester,
      self,
      accepts: () => live.config.plugins.acceptModules,
    },
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

/** Tasks in the hands of the pool for each worker: enough that a worker never waits for the main thread between small ones. */
const RUNNING_PER_WORKER = 32;

/** Takes tasks within the limits that the configuration sets, and signs what became of them. */
export function makeTaskProvider(
  { config, key, limits, ...parts }:
    & Pick<TaskProviderOptions, "store" | "host" | "ledger" | "clock" | "log" | "metrics">
    & { readonly config: Config; readonly key: NodeKey; readonly limits: ReturnType<typeof taskLimits> },
): TaskProvider {
  const { tasks } = config;
  return createTaskProvider({
    ...parts,
    maxLimits: limits.max,
    defaultLimits: limits.default,
    maxRunning: tasks.maxRunning || RUNNING_PER_WORKER * workersOf(config),
    maxQueued: tasks.maxQueued,
    maxQueuedBytes: tasks.maxQueuedBytes,
    queueTimeoutMs: tasks.queueTimeoutMs,
    maxAttempts: tasks.maxAttempts,
    inputIdleMs: tasks.inputIdleMs,
    retentionMs: tasks.retentionMs,
    maxStoredBytes: tasks.maxStoredBytes,
    maxStoredBytesPerRequester: tasks.maxStoredBytesPerRequester,
    maxStoredOutputBytes: tasks.maxStoredOutputBytes,
    receipts: createReceiptSigner(key),
  });
}

/** Takes modules of requesters, as the configuration allows. */
export function makeModules(
  { config, self, live, plugins, metrics }: {
    config: Config;
    self: NodeId;
    live: LiveConfig;
    plugins: Plugins;
    metrics: MetricsRegistry;
  },
): ModuleService {
  return createModuleProvider({
    store: plugins.modules!,
    installed: (sha256) => installedAs(plugins, sha256),
    self,
    accepts: () => live.config.plugins.acceptModules,
    maxBytes: config.plugins.maxModuleBytes,
    timeoutMs: config.rpc.requestTimeoutMs,
    metrics,
  });
}

function installedAs(plugins: Plugins, sha256: string): ModuleInfo | undefined {
  const found = plugins.list().find((plugin) => plugin.ready && plugin.sha256 === sha256);
  if (found === undefined) return undefined;
  const { name, version, sizeBytes = 0, functions } = found;
  return { sha256, name, version, sizeBytes, functions: functions.map((fn) => fn.name) };
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
