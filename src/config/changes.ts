import { RATE_NAMES } from "../core/mod.ts";
import { valueOf } from "./check.ts";
import type { Config } from "./schema.ts";
import { SETTINGS } from "./settings.ts";

/** Settings that a node takes over while it runs; every other one needs a restart. docs/operations.md lists them. */
export const LIVE_SETTINGS: ReadonlySet<string> = new Set([
  "node.allowNetworks",
  "node.bytesInPerSecond",
  "node.bytesOutPerSecond",
  "node.peerBytesInPerSecond",
  "node.peerBytesOutPerSecond",
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
  "tracing.samplePercent",
  "tracing.callsPerSecond",
  "peers.static",
  "requester.providers",
  "prices.offerMs",
  ...RATE_NAMES.map((name) => `prices.${name}`),
]);

/** Certificates are renewed while a node runs; whether a listener speaks TLS at all is not changed. */
const TLS_FILE = /^(?:rpc|rest)\.tls(?:Cert|Key)File$/;

/** A node may come to want tokens while it runs, but never stops to want them. */
const TOKENS_FILE = "rest.scopedTokensFile";

function isLive(key: string, running: Config, next: Config): boolean {
  return LIVE_SETTINGS.has(key) ||
    (key === TOKENS_FILE && valueOf(next, key) !== undefined) ||
    (TLS_FILE.test(key) && valueOf(running, key) !== undefined && valueOf(next, key) !== undefined);
}

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
    applied: changed.filter((key) => isLive(key, running, next)),
    needRestart: changed.filter((key) => !isLive(key, running, next)),
  };
}

/** The running configuration with the next one's values of the settings that can change while a node runs. */
export function withLiveSettings(running: Config, next: Config): Config {
  const merged: Record<string, Record<string, unknown>> = {};
  for (const { group, name, key } of SETTINGS) {
    const value = valueOf(isLive(key, running, next) ? next : running, key);
    if (value !== undefined) (merged[group] ??= {})[name] = value;
    else merged[group] ??= {};
  }
  return merged as unknown as Config;
}
