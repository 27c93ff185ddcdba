import { NATIVE_TOKEN, NodeError, type PeerAdmin, type PeerView, wei, ZERO_WEI } from "../../src/core/mod.ts";

const AT = Date.UTC(2026, 10, 23);
const RATES = { gibHour: ZERO_WEI, gibWritten: ZERO_WEI, gibRead: ZERO_WEI, megaInstructions: ZERO_WEI };

/** A peer of which everything is known. */
export const FULL: PeerView = {
  target: "127.0.0.1:8081",
  sources: ["static", "registry"],
  nodeId: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
  reachability: "reachable",
  blocked: false,
  score: 0.5,
  experience: { good: 1.5, bad: 1, pace: -0.5, at: AT, lastError: "The connection was lost" },
  latencyMs: 2.5,
  firstSeenAt: AT,
  lastSeenAt: AT,
  lastProbeAt: AT,
  failures: 0,
  claims: {
    name: "A node",
    version: "0.1.0",
    region: "eu-west",
    plugins: [{ name: "demo", version: "1.0.0", sha256: "", functions: ["greet"], isDefault: true, ready: true }],
    limits: { inputBytes: 1, outputBytes: 2, memoryBytes: 3, timeoutMs: 4, instructions: 5 },
    offer: {
      settlement: { chainId: 31337, channels: NATIVE_TOKEN },
      rates: { token: NATIVE_TOKEN, ...RATES, cpuSecond: wei(2n ** 127n), gpuSecond: ZERO_WEI, minimum: wei(1n) },
      defaultTimeoutMs: 1,
      defaultOutputBytes: 1,
      maxInputBytes: 1,
      expiresAt: Number.MAX_SAFE_INTEGER,
    },
    keepsShards: true,
  },
};

function bare(target: string): PeerView {
  return {
    target,
    sources: ["added"],
    reachability: "unreachable",
    blocked: false,
    score: 0.4,
    experience: { good: 0, bad: 0, pace: 0, at: AT },
    firstSeenAt: AT,
    failures: 1,
    problem: "No connection",
  };
}

/** Peers as a test wants them. */
export class FakePeers implements PeerAdmin {
  readonly peers = new Map<string, PeerView>([[FULL.target, FULL]]);

  list(): readonly PeerView[] {
    return [...this.peers.values()];
  }

  get(target: string): PeerView {
    const found = this.peers.get(target);
    if (found === undefined) throw new NodeError("not_found", `No peer ${target}`);
    return found;
  }

  add(target: string): Promise<PeerView> {
    this.peers.set(target, bare(target));
    return Promise.resolve(bare(target));
  }

  remove(target: string): Promise<void> {
    this.get(target);
    this.peers.delete(target);
    return Promise.resolve();
  }

  probe(target: string): Promise<PeerView> {
    return Promise.resolve().then(() => this.get(target));
  }
}
