import { valueOf } from "./check.ts";
import type { Config } from "./schema.ts";
import { SETTINGS } from "./settings.ts";

/** Settings that a node takes over while it runs; every other one needs a restart. docs/operations.md lists them. */
export const LIVE_SETTINGS: ReadonlySet<string> = new Set([
  "node.allowNetworks",
  "rpc.callsPerSecond",
  "rpc.callsBurst",
  "rest.requestsPerSecond",
  "rest.requestsBurst",
  "plugins.allowUrlInstall",
  "files.leaseMs",
  "files.auditIntervalMs",
  "alerts.minFreeBytes",
  "alerts.auditFailPercent",
  "alerts.channelLeftPercent",
  "alerts.certificateMs",
  "log.level",
]);

/** How a configuration differs from the one that a node runs with. */
export interface ConfigChanges {
  /** Keys that were taken over. */
  readonly applied: readonly string[];
  /** Keys that count after a restart. */
  readonly needRestart: readonly string[];
}

/** Compares two configurations, key by key. */
export function configChanges(running: Config, next: Config): ConfigChanges {
  const changed = SETTINGS.map(({ key }) => key)
    .filter((key) => JSON.stringify(valueOf(running, key)) !== JSON.stringify(valueOf(next, key)));
  return {
    applied: changed.filter((key) => LIVE_SETTINGS.has(key)),
    needRestart: changed.filter((key) => !LIVE_SETTINGS.has(key)),
  };
}

/** The running configuration with the next one's values of the settings that can change while a node runs. */
export function withLiveSettings(running: Config, next: Config): Config {
  const merged: Record<string, Record<string, unknown>> = {};
  for (const { group, name, key } of SETTINGS) {
    const value = valueOf(LIVE_SETTINGS.has(key) ? next : running, key);
    if (value !== undefined) (merged[group] ??= {})[name] = value;
    else merged[group] ??= {};
  }
  return merged as unknown as Config;
}
