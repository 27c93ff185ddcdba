import type { Config } from "../config/mod.ts";
import {
  type Clock,
  type Log,
  type Metrics,
  newUlid,
  NodeError,
  type NodeKey,
  type OutboundRules,
  parseNodeId,
  parseTarget,
  type PeerStore,
} from "../core/mod.ts";
import { type Discovery, openDiscovery, type PeerProber, type ProbeAnswer } from "../discovery/mod.ts";
import { type Payments, RegistryLog } from "../payments/mod.ts";
import { COST_TABLE_VERSION } from "../plugins/mod.ts";
import { createPeers, type Peers } from "../rpc/client/mod.ts";
import type { ReloadPart } from "./live-config.ts";
import { isPaid } from "./payment-part.ts";
import { trustedIssuers } from "./tls-files.ts";

export interface DiscoveryPartOptions {
  readonly config: Config;
  readonly outbound: OutboundRules;
  readonly key: NodeKey;
  readonly store: PeerStore;
  readonly payments: Payments | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** What one answer to a probe may have: room for the descriptions of some hundred plugins. */
const MAX_ANSWER_BYTES = 256 << 10;

/** Opens the peer book and what fills it. Probes go over connections of their own, which are few and take only small answers. */
export async function openDiscoveryPart(options: DiscoveryPartOptions): Promise<Discovery> {
  const { config, outbound, key, payments, clock, log, metrics, store } = options;
  const { peers: settings, requester } = config;
  const known: { discovery?: Discovery } = {};
  const clients = createPeers({
    requester: key.nodeId,
    key,
    ...trustedIssuers(config),
    rules: { outbound, applyTo: (target) => known.discovery?.isStrangers(target) ?? true },
    limits: {
      maxMessageBytes: MAX_ANSWER_BYTES,
      maxSessions: settings.parallelProbes + 8,
      connectTimeoutMs: Math.min(requester.dialTimeoutMs, settings.probeTimeoutMs),
      requestTimeoutMs: settings.probeTimeoutMs,
      idleTimeoutMs: 5000,
      // A probe that was asked for is one attempt, whatever the last one gave.
      backoffMs: 1,
      maxBackoffMs: 1,
    },
  });
  const registry = registryOf(config, payments);
  const discovery = await openDiscovery({
    self: key.nodeId,
    store,
    prober: proberOf(clients, key),
    ...(registry !== undefined && { registry }),
    static: namedPeers(config),
    settlement: isPaid(config)
      ? { chainId: config.payments.chainId, channels: parseNodeId(config.payments.channels) }
      : undefined,
    costTable: COST_TABLE_VERSION,
    limits: settings,
    outbound,
    clock,
    log,
    metrics,
  });
  known.discovery = discovery;
  return {
    ...discovery,
    close: async () => {
      await discovery.close();
      await clients.close();
    },
  };
}

/** Takes over the peers that the configuration names, while the node runs. */
export function namedPeersPart(discovery: Discovery): ReloadPart {
  return {
    prepare: (next) => {
      const targets = namedPeers(next).map((target) => parseTarget(target).name);
      return { applied: [], apply: () => discovery.setStatic(targets) };
    },
  };
}

function namedPeers({ peers, requester }: Config): readonly string[] {
  return [...peers.static, ...requester.providers];
}

function registryOf({ payments: { registry, chainId, confirmations }, peers }: Config, payments: Payments | undefined) {
  if (payments === undefined || registry === "") return undefined;
  const reader = new RegistryLog(payments.chain, {
    registry: parseNodeId(registry),
    confirmations,
    fromBlock: peers.registryFromBlock,
  });
  return { key: `${chainId}/${registry.toLowerCase()}`, reader };
}

function proberOf(clients: Peers, key: NodeKey): PeerProber {
  return {
    probe: async (target, signal): Promise<ProbeAnswer> => {
      const info = await clients.info(target, signal);
      const askedAt = performance.now();
      const offer = await clients.dialDesk(target).offer(signal).catch(unlessUnknown);
      const latencyMs = performance.now() - askedAt;
      const ctx = { requester: key.nodeId, signal, requestId: newUlid(Date.now()) };
      const keepsShards = await clients.dialShards(target).usage(ctx).then(() => true, () => false);
      signal.throwIfAborted();
      if (offer instanceof NodeError) return { info, latencyMs, keepsShards, offerProblem: offer.message };
      return { info, latencyMs, keepsShards, ...(offer !== undefined && { offer }) };
    },
  };
}

/** A node that takes no money has no desk; any other failure leaves open what it wants. */
function unlessUnknown(error: unknown): NodeError | undefined {
  if (!(error instanceof NodeError)) throw error;
  return error.code === "unimplemented" ? undefined : error;
}
