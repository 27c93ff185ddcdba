/** Nodes that pay each other, as processes, on a chain of their own. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type LocalChain, startLocalChain } from "../../src/payments/local-chain.ts";
import type { TestScope } from "../testing.ts";
import { get, type NodeProcess, scratch, startNode, until } from "./harness.ts";

export const ETHER = 10n ** 18n;

/** A channel as `/v1/payments/channels` shows it. */
export interface Channel {
  readonly channelId: string;
  readonly role: string;
  readonly peer: string;
  readonly target?: string;
  readonly charged: string;
  readonly paid: string;
  readonly claimed: string;
  readonly items: number;
  readonly state: string;
  readonly owedSince?: string;
}

type Prices = Readonly<Record<string, string>>;

export interface PaidSwarmOptions {
  /** One that the test has put something on already; else the swarm has one of its own. */
  readonly chain?: LocalChain;
  readonly providers?: number;
  /** Those of every provider, or of each. */
  readonly prices: Prices | readonly Prices[];
  /** Groups of the requester's configuration, beside what every node of the swarm has. */
  readonly requester?: Readonly<Record<string, Record<string, unknown>>>;
  /** Groups of the providers' configuration. */
  readonly provider?: Readonly<Record<string, Record<string, unknown>>>;
}

export interface PaidSwarm {
  readonly chain: LocalChain;
  readonly providers: NodeProcess[];
  readonly requester: NodeProcess;
  /** Starts a provider again, with its data and at its old address. */
  providerAgain(place: number): Promise<NodeProcess>;
  requesterAgain(): Promise<NodeProcess>;
}

/** Starts providers with prices, and a requester with money that opens its channels by itself. */
export async function startPaidSwarm(t: TestScope, options: PaidSwarmOptions): Promise<PaidSwarm> {
  const { providers: count = 1, prices, requester: { payments: spending, ...groups } = {}, provider } = options;
  const chain = options.chain ?? await startLocalChain();
  if (options.chain === undefined) t.after(() => chain.close());
  const folder = scratch(t);
  const common = {
    rpcUrls: [chain.url],
    chainId: chain.chainId,
    channels: chain.channels,
    registry: chain.registry,
    confirmations: 0,
    maxHeadAgeMs: 0,
    claimEveryMs: 1000,
  };
  const providerAt = (place: number, args: readonly string[] = []) =>
    startNode(t, {
      dataDir: join(folder, `provider-${place}`),
      config: {
        ...provider,
        payments: { ...common, ...provider?.["payments"] },
        prices: Array.isArray(prices) ? prices[place] : prices,
      },
      args,
    });
  const providers = await Promise.all(Array.from({ length: count }, (_, place) => providerAt(place)));
  const addresses = providers.map(({ rpc }) => rpc);
  const requesterAt = () =>
    startNode(t, {
      dataDir: join(folder, "requester"),
      config: {
        ...groups,
        requester: { providers: addresses, ...groups["requester"] },
        payments: { ...common, deposit: String(ETHER), ...spending },
      },
    });
  const requester = await requesterAt();
  await chain.fund(requester.nodeId as `0x${string}`, 10n * ETHER);
  for (const { nodeId } of providers) await chain.fund(nodeId as `0x${string}`, ETHER);
  return {
    chain,
    providers,
    requester,
    providerAgain: async (place) => providers[place] = await providerAt(place, ["--rpc-listen", addresses[place]!]),
    requesterAgain: requesterAt,
  };
}

export async function channelsOf({ rest }: NodeProcess): Promise<readonly Channel[]> {
  return (await get<{ channels: Channel[] }>(`${rest}/v1/payments/channels`)).channels;
}

/** The one channel that a node has, or has with a peer. */
export async function channelOf(node: NodeProcess, peer?: NodeProcess): Promise<Channel> {
  const found = (await channelsOf(node)).filter((channel) => peer === undefined || channel.peer === peer.nodeId);
  assert.equal(found.length, 1, JSON.stringify(found));
  return found[0]!;
}

/** Waits until a requester and its providers reckon the same to the wei, and that something was charged. */
export function equalBooks(requester: NodeProcess, providers: readonly NodeProcess[]): Promise<readonly Channel[]> {
  return until(async () => {
    const spent = await channelsOf(requester);
    assert.ok(spent.every(({ state }) => state === "open"), JSON.stringify(spent));
    const earned: Channel[] = [];
    for (const provider of providers) {
      const channels = await channelsOf(provider);
      // A provider learns of its channel by the first voucher or claim, which may come a little later.
      if (channels.length === 0) return undefined;
      assert.equal(channels.length, 1, JSON.stringify(channels));
      if (spent.find(({ peer }) => peer === provider.nodeId)?.charged !== channels[0]!.charged) return undefined;
      earned.push(channels[0]!);
    }
    return earned;
  });
}
