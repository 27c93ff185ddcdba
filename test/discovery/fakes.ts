/** Peers that answer as a test tells them to, without a network: what the unit tests of discovery provoke cannot be had from real nodes. */
import {
  type Clock,
  FREE_RATES,
  NodeError,
  type NodeInfo,
  type NodeKey,
  nodeKeyOf,
  noMetrics,
  type Offer,
  offerDigest,
  OutboundRules,
  type PeerStore,
  type Rates,
  type Settlement,
  silentLog,
} from "../../src/core/mod.ts";
import { openDiscovery } from "../../src/discovery/mod.ts";
import type {
  Discovery,
  DiscoveryOptions,
  PeerProber,
  ProbeAnswer,
  RegistryEvent,
  RegistryPage,
} from "../../src/discovery/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import type { TestScope } from "../testing.ts";

export const SETTLEMENT: Settlement = { chainId: 31337, channels: "0x5FbDB2315678afecb367f032d93F642f64180aa3" };

export function keyOf(n: number): NodeKey {
  const bytes = new Uint8Array(32).fill(7);
  new DataView(bytes.buffer).setUint32(0, n + 1);
  return nodeKeyOf(bytes);
}

/** A clock that stands still until it is set. */
export class FakeClock implements Clock {
  time = 1_800_000_000_000;
  now(): number {
    return this.time;
  }
}

export interface FakePeer {
  readonly key: NodeKey;
  readonly plugins?: readonly string[];
  /** Those that work on a GPU. */
  readonly onGpu?: readonly string[];
  readonly region?: string;
  readonly rates?: Partial<Rates>;
  readonly settlement?: Settlement;
  readonly costTable?: number;
  readonly latencyMs?: number;
  readonly keepsShards?: boolean;
  readonly change?: (answer: ProbeAnswer) => ProbeAnswer;
}

const LIMITS = { inputBytes: 1 << 20, outputBytes: 1 << 20, memoryBytes: 1 << 26, timeoutMs: 60_000 };

export function infoOf({ key, plugins = ["demo"], onGpu = [], region }: FakePeer, nowMs: number): NodeInfo {
  return {
    nodeId: key.nodeId,
    name: "peer",
    version: "0.1.0",
    issuedAt: nowMs,
    limits: LIMITS,
    ...(region !== undefined && { region }),
    plugins: plugins.map((name, place) => ({
      name,
      version: "1.0.0",
      sha256: "",
      runtime: "wasm",
      description: "",
      isDefault: place === 0,
      enabled: true,
      ready: true,
      ...(onGpu.includes(name) && { gpu: { running: 0, waiting: 0 } }),
      functions: [{ name: "greet", inputContentType: "", outputContentType: "", description: "" }],
    })),
  };
}

/** What a peer that is as described answers at a time. */
export function answerOf(peer: FakePeer, nowMs: number): ProbeAnswer {
  const { key, rates, latencyMs = 1, settlement = SETTLEMENT, costTable, keepsShards = true, change = (same) => same } =
    peer;
  const answer: ProbeAnswer = { info: infoOf(peer, nowMs), latencyMs, keepsShards };
  if (rates === undefined) return change(answer);
  const offer: Offer = {
    provider: key.nodeId,
    rates: { ...FREE_RATES, ...rates },
    defaultTimeoutMs: 30_000,
    defaultOutputBytes: 1 << 20,
    maxInputBytes: 1 << 20,
    ...(costTable !== undefined && { costTable }),
    issuedAt: nowMs,
    expiresAt: nowMs + 3_600_000,
  };
  return change({ ...answer, offer: { settlement, offer, signature: key.signDigest(offerDigest(settlement, offer)) } });
}

export interface FakeWorld {
  readonly clock: FakeClock;
  /** By target; a target without a peer does not answer. */
  readonly peers: Map<string, FakePeer>;
  readonly store: PeerStore;
  /** Pages of the registry still to be read. */
  readonly pages: RegistryPage[];
  /** Targets in the order in which they were asked. */
  readonly asked: string[];
  open(options?: Partial<DiscoveryOptions>): Promise<Discovery>;
}

/** A node's surroundings. What is opened in it is closed with the test. */
export function fakeWorld(t: TestScope): FakeWorld {
  const clock = new FakeClock();
  const peers = new Map<string, FakePeer>();
  const store = openMemoryStore().peers;
  const pages: RegistryPage[] = [];
  const asked: string[] = [];
  const prober: PeerProber = {
    probe: (target) => {
      asked.push(target);
      const peer = peers.get(target);
      if (peer !== undefined) return Promise.resolve(answerOf(peer, clock.now()));
      return Promise.reject(new NodeError("target_unreachable", `No connection to ${target}`));
    },
  };
  return {
    clock,
    peers,
    store,
    pages,
    asked,
    open: async (options = {}) => {
      const discovery = await openDiscovery({
        self: keyOf(0).nodeId,
        store,
        prober,
        static: [],
        settlement: SETTLEMENT,
        costTable: 1,
        registry: {
          key: "31337/test",
          reader: {
            read: (after) =>
              Promise.resolve(
                pages.shift() ?? { events: [], checkpoint: after, caughtUp: true, reorganised: false },
              ),
          },
        },
        limits: {
          max: 100,
          probeEveryMs: 60_000,
          probeTimeoutMs: 1000,
          parallelProbes: 8,
          registryEveryMs: 20,
        },
        outbound: new OutboundRules(),
        clock,
        log: silentLog,
        metrics: noMetrics,
        random: () => 0.5,
        ...options,
      });
      t.after(() => discovery.close());
      return discovery;
    },
  };
}

/** A page of the registry. */
export function page(events: readonly RegistryEvent[], block: number, more: Partial<RegistryPage> = {}): RegistryPage {
  return { events, checkpoint: { block, hash: `0x${block}` }, caughtUp: true, reorganised: false, ...more };
}

export function registered(n: number, url: string, block = 1): RegistryEvent {
  return { node: keyOf(n).nodeId, url, region: "", block };
}

/** Lets what is under way go on until a condition holds. */
export async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 3000 && !condition(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
  if (!condition()) throw new Error(`It did not come to pass: ${condition}`);
}
