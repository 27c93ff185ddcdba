import * as z from "zod";
import { duration, integer, optionalPath, secret, size, text } from "../setting.ts";

/** Alerts. */
export const alerts = z.strictObject({
  everyMs: duration({
    default: "30s",
    min: 100,
    max: 86_400_000,
    description: "How often it is looked for what an operator should know",
  }),
  minFreeBytes: size({
    default: "2GiB",
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description:
      "low_disk is raised when less is free where node.dataDir lies. Above storage.minFreeBytes, so that it comes before shards are refused",
  }),
  auditFailPercent: integer({
    default: 10,
    min: 0,
    max: 100,
    description: "failing_audits is raised when more of a hundred audits of the last hour failed",
  }),
  channelLeftPercent: integer({
    default: 10,
    min: 0,
    max: 100,
    description: "channel_low is raised when a channel that this node pays on has less of a hundred parts left",
  }),
  certificateMs: duration({
    default: "14d",
    min: 0,
    max: 366 * 86_400_000,
    description: "certificate_expiring is raised when a listener's certificate ends within this time",
  }),
  webhookUrl: secret({
    minLength: 1,
    description:
      "An http or https URL that gets a POST when an alert is raised or cleared. Not shown, since such URLs often hold a token",
  }),
  webhookUrlFile: optionalPath({ description: "A file that holds alerts.webhookUrl" }),
  webhookSecret: secret({
    minLength: 16,
    description:
      "Signs what the webhook gets (webhook-signature, HMAC-SHA-256), so that the receiver knows who sent it",
  }),
  webhookSecretFile: optionalPath({ description: "A file that holds alerts.webhookSecret" }),
  webhookTimeoutMs: duration({
    default: "10s",
    min: 100,
    max: 600_000,
    description: "How long the webhook may take to answer before the message is sent again later",
  }),
});

/** Traces. */
export const tracing = z.strictObject({
  otlpUrl: text({
    default: "",
    pattern: /^(?:https?:\/\/[^\s@]+)?$/,
    expectation: 'a URL such as "http://127.0.0.1:4318", without a password',
    description:
      "Where an OpenTelemetry collector takes traces (OTLP over HTTP; /v1/traces is added). Without one nothing is traced",
  }),
  samplePercent: integer({
    default: 100,
    min: 0,
    max: 100,
    description: "How many of a hundred traces that begin here are kept; calls that bring a trace follow what it says",
  }),
  callsPerSecond: integer({
    default: 100,
    min: 1,
    max: 1_000_000,
    description:
      "The most calls a second that are traced, whoever asks for it, so that tracing costs little under load",
  }),
});
