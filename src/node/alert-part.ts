import {
  AlertBoard,
  certificateExpiring,
  chainStale,
  channelLow,
  failingAudits,
  lowDisk,
  type Probe,
  type WatchedCertificate,
  Webhook,
} from "../alerts/mod.ts";
import { type Config, TLS_GROUPS, type TlsGroup } from "../config/mod.ts";
import { type Log, type NodeId, type OutboundRules, systemClock } from "../core/mod.ts";
import type { Payments } from "../payments/mod.ts";
import type { MetricsRegistry } from "../rest/mod.ts";
import type { TlsKeys } from "./tls-keys.ts";

export interface AlertPartOptions {
  /** The configuration as it is now; thresholds may change while the node runs. */
  readonly config: () => Config;
  readonly outbound: OutboundRules;
  readonly nodeId: NodeId;
  readonly payments: Payments | undefined;
  /** What the listeners serve. */
  readonly tls: (group: TlsGroup) => TlsKeys | undefined;
  readonly log: Log;
  readonly metrics: MetricsRegistry;
}

const AUDIT_WINDOW_MS = 3_600_000;

/** Makes the node's alerts, and what tells a webhook of them. */
export function makeAlerts({ config, outbound, nodeId, log, metrics, ...parts }: AlertPartOptions) {
  const { alerts, node } = config();
  const webhook = alerts.webhookUrl === undefined ? undefined : new Webhook({
    url: alerts.webhookUrl,
    secret: alerts.webhookSecret,
    node: { id: nodeId, name: node.name },
    outbound,
    timeoutMs: alerts.webhookTimeoutMs,
    clock: systemClock,
    log,
    metrics,
  });
  const board = new AlertBoard({
    probes: probesOf({ config, metrics, ...parts }),
    everyMs: alerts.everyMs,
    clock: systemClock,
    log,
    metrics,
    ...(webhook === undefined ? {} : { onChange: (change) => webhook.send(change) }),
  });
  return {
    board,
    async close() {
      await board.stop();
      await webhook?.close();
    },
  };
}

function probesOf(
  { config, payments, tls, metrics }: Pick<AlertPartOptions, "config" | "payments" | "tls" | "metrics">,
): Probe[] {
  const audits = (result: string) => metrics.read("velas_files_audits_total", { result }) ?? 0;
  const { node } = config();
  return [
    lowDisk({ path: node.dataDir, minFreeBytes: () => config().alerts.minFreeBytes }),
    failingAudits({
      counts: () => ({ proven: audits("proven"), failed: audits("lost") + audits("unreachable") }),
      windowMs: AUDIT_WINDOW_MS,
      maxPercent: () => config().alerts.auditFailPercent,
      clock: systemClock,
    }),
    certificateExpiring({
      certificates: () =>
        TLS_GROUPS.flatMap((group): WatchedCertificate[] => {
          const keys = tls(group);
          return keys === undefined ? [] : [{ setting: `${group}.tlsCertFile`, pem: keys.cert }];
        }),
      minMs: () => config().alerts.certificateMs,
      clock: systemClock,
    }),
    ...(payments === undefined ? [] : [
      channelLow({
        channels: () => payments.admin.channels(),
        minPercent: () => config().alerts.channelLeftPercent,
      }),
      chainStale(payments.chain),
    ]),
  ];
}
