import type { Config } from "../config/mod.ts";
import {
  type Clock,
  FREE_RATES,
  type Log,
  type Metrics,
  NATIVE_TOKEN,
  type NodeKey,
  parseNodeId,
  type PaymentDesk,
  type PaymentStore,
  RATE_NAMES,
  type Rates,
  wei,
} from "../core/mod.ts";
import { openPayments, type Payments } from "../payments/mod.ts";
import { COST_TABLE_VERSION } from "../plugins/mod.ts";
import { taskLimits } from "./task-parts.ts";

export interface PaymentPartOptions {
  readonly config: Config;
  readonly key: NodeKey;
  readonly store: PaymentStore;
  readonly desk: (target: string) => PaymentDesk;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Whether a chain is configured; without one the node works free of charge. */
export function isPaid({ payments }: Config): boolean {
  return payments.rpcUrls.length > 0;
}

/** The prices of a configuration. */
export function pricesOf({ prices }: Config) {
  return { rates: ratesOf(prices), offerMs: prices.offerMs };
}

/** Opens the node's money; nothing when no chain is configured. */
export async function openPaymentPart(
  { config, ...parts }: PaymentPartOptions,
): Promise<Payments | undefined> {
  const { payments } = config;
  if (!isPaid(config)) return undefined;
  const limits = taskLimits(config);
  return await openPayments({
    ...parts,
    rpcUrls: payments.rpcUrls,
    chainId: payments.chainId,
    channels: parseNodeId(payments.channels),
    registry: payments.registry === "" ? undefined : parseNodeId(payments.registry),
    confirmations: payments.confirmations,
    maxHeadAgeMs: payments.maxHeadAgeMs,
    pollMs: Math.min(15_000, payments.claimEveryMs),
    ...pricesOf(config),
    credit: { base: weiOf(payments.credit), max: weiOf(payments.maxCredit), debtAfterMs: payments.debtAfterMs },
    caps: { task: weiOf(payments.capTask), peer: weiOf(payments.capPeer), day: weiOf(payments.capDay) },
    window: weiOf(payments.window),
    deposit: weiOf(payments.deposit),
    exitDelay: Math.floor(payments.exitDelayMs / 1000),
    limits: {
      defaultTimeoutMs: limits.default.timeoutMs,
      defaultOutputBytes: limits.default.outputBytes,
      maxInputBytes: limits.max.inputBytes,
    },
    costTable: COST_TABLE_VERSION,
    claimAt: weiOf(payments.claimAt),
    claimEveryMs: payments.claimEveryMs,
    ...(payments.audit !== "" && {
      custody: {
        audit: parseNodeId(payments.audit),
        penalty: weiOf(payments.custodyPenalty),
        least: weiOf(config.files.custodyPenalty),
        challenges: payments.custodyChallenge === "auto",
      },
    }),
  });
}

function ratesOf(prices: Config["prices"]): Rates {
  const amounts = RATE_NAMES.map((name) => [name, weiOf(prices[name])]);
  const token = prices.token === "" ? NATIVE_TOKEN : parseNodeId(prices.token);
  return { ...FREE_RATES, ...Object.fromEntries(amounts), token };
}

function weiOf(text: string) {
  return wei(BigInt(text));
}
