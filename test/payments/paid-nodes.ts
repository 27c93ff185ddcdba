/** Providers and requesters that pay each other on a real chain, in this process. */
import {
  FREE_RATES,
  type NodeKey,
  nodeKeyOf,
  type PaymentDesk,
  type Rates,
  silentLog,
  systemClock,
  wei,
} from "../../src/core/mod.ts";
import { type LocalChain, startLocalChain } from "../../src/payments/local-chain.ts";
import { openPayments, type Payments, type PaymentsOptions } from "../../src/payments/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import type { TestScope } from "../testing.ts";

export const ETHER = 10n ** 18n;

/** Prices that are easy to reckon with: a wei for a second in the plugin at most, and 10 for each task. */
export const RATES: Rates = { ...FREE_RATES, cpuSecond: wei(1n), minimum: wei(10n) };

export function keyOf(n: number): NodeKey {
  return nodeKeyOf(new Uint8Array(32).fill(n));
}

/** A local chain with the contracts that ends with the test. */
export async function chainFor(t: TestScope): Promise<LocalChain> {
  const chain = await startLocalChain();
  t.after(() => chain.close());
  return chain;
}

export interface PaidNodeOptions extends Partial<PaymentsOptions> {
  readonly key: NodeKey;
  /** The desks of others, by target. */
  readonly desks?: ReadonlyMap<string, () => PaymentDesk>;
}

/** The money of one node, whose requests go straight to the desks of others. */
export async function paidNode(t: TestScope, chain: LocalChain, options: PaidNodeOptions): Promise<Payments> {
  const { desks = new Map<string, () => PaymentDesk>(), ...rest } = options;
  const store = openMemoryStore();
  await chain.fund(options.key.nodeId, 10n * ETHER);
  const payments = await openPayments({
    rpcUrls: [chain.url],
    chainId: chain.chainId,
    channels: chain.channels,
    registry: chain.registry,
    confirmations: 0,
    maxHeadAgeMs: 0,
    pollMs: 200,
    store: store.payments,
    rates: FREE_RATES,
    credit: { base: wei(0n), max: wei(0n), debtAfterMs: 600_000 },
    caps: { task: wei(0n), peer: wei(0n), day: wei(0n) },
    window: wei(0n),
    deposit: wei(0n),
    exitDelay: 3600,
    offerMs: 3_600_000,
    limits: { defaultTimeoutMs: 30_000, defaultOutputBytes: 1 << 20, maxInputBytes: 1 << 20 },
    costTable: 1,
    claimAt: wei(0n),
    claimEveryMs: 3_600_000,
    desk: (target) => desks.get(target)!(),
    clock: systemClock,
    log: silentLog,
    ...rest,
  });
  t.after(() => payments.close());
  return payments;
}
