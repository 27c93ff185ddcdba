import type { PublicClient, Transport } from "viem";
import {
  type Clock,
  type Hex32,
  type Log,
  NodeError,
  type NodeId,
  parseNodeId,
  toNodeError,
  wei,
} from "../core/mod.ts";
import { channelsAbi } from "./contracts.ts";
import type { ChannelOnChain, ChannelReader } from "./channel-on-chain.ts";

export interface ChainOptions {
  /** HTTP endpoints of the chain, asked in this order until one answers. */
  readonly rpcUrls: readonly string[];
  readonly chainId: number;
  readonly channels: NodeId;
  readonly registry: NodeId | undefined;
  readonly custody?: { readonly audit: NodeId };
  /** How many blocks must lie on what is believed. */
  readonly confirmations: number;
  /**
   * How old the newest block may be, in milliseconds; 0 for a chain that makes blocks only when there is something to put in, whose times
   * are not looked at.
   */
  readonly maxHeadAgeMs: number;
  readonly pollMs: number;
  /** How long an endpoint may take to answer, before the next one is asked. */
  readonly rpcTimeoutMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

const ZERO = "0x0000000000000000000000000000000000000000";

/** How far the head may fall back before the endpoint is taken for one that lies or is far behind. */
const MAX_FALL = 64n;

/** How far the time of the newest block may be ahead of this node's clock, for clocks that differ a little. */
const MAX_AHEAD_MS = 60_000;

/**
 * Reads the chain. Endpoints are tried in order; one that answers for another chain, or with a head that is old, from the future, or falls
 * far back, makes the chain unhealthy: no credit is given on its word, and what is paid already is served on.
 */
export class Chain implements ChannelReader {
  readonly client: PublicClient;
  readonly #options: ChainOptions;
  readonly #timer: NodeJS.Timeout;
  #head = 0n;
  #seenAt = -Infinity;
  #checked = false;
  #problem: string | undefined = "it was not asked yet";

  private constructor(client: PublicClient, options: ChainOptions) {
    this.client = client;
    this.#options = options;
    this.#timer = setInterval(() => {
      this.poll().catch((error) => {
        this.#problem = shortOf(error);
        options.log.error("The chain cannot be used", { problem: this.#problem });
      });
    }, options.pollMs);
    this.#timer.unref();
  }

  /** Connects. Throws `config_invalid` for another chain, or an address without code; a chain that is down is no error yet. */
  static async open(options: ChainOptions): Promise<Chain> {
    const { createPublicClient, fallback, http } = await import("viem");
    const { rpcTimeoutMs: timeout = 10_000 } = options;
    const transport = fallback(
      options.rpcUrls.map((url) => ofChain(http(url, { timeout, retryCount: 1, retryDelay: 200 }), options.chainId)),
      { retryCount: 1 },
    );
    // Without ERC-3668: a token of a stranger must not have this node fetch URLs.
    const client = createPublicClient({ transport, pollingInterval: 500, cacheTime: 0, ccipRead: false });
    const chain = new Chain(client, options);
    try {
      await chain.poll();
      if (chain.#problem !== undefined) options.log.warn("The chain cannot be used now", { problem: chain.#problem });
      return chain;
    } catch (error) {
      chain.close();
      throw error;
    }
  }

  get head(): bigint {
    return this.#head;
  }

  healthy(): boolean {
    const { clock, pollMs } = this.#options;
    return this.#problem === undefined && clock.now() - this.#seenAt < 5 * pollMs + 15_000;
  }

  /** Looks at the head. Throws `config_invalid` as {@link open} does, and nothing else. */
  async poll(): Promise<void> {
    const { clock, maxHeadAgeMs, log } = this.#options;
    const before = this.#problem;
    try {
      if (!this.#checked) await this.#check();
      const block = await this.client.getBlock({ blockTag: "latest" });
      const ageMs = clock.now() - Number(block.timestamp) * 1000;
      if (block.number + MAX_FALL < this.#head) {
        this.#problem = `its head fell from block ${this.#head} to ${block.number}`;
        // A chain that stays there is a chain that was reorganised: believe it next time.
        this.#head = block.number;
        return;
      }
      this.#problem = maxHeadAgeMs === 0 ? undefined : problemOfAge(ageMs, maxHeadAgeMs);
      this.#head = block.number;
      this.#seenAt = clock.now();
    } catch (error) {
      if (error instanceof NodeError && error.code === "config_invalid") throw error;
      this.#problem = `no endpoint answers (${shortOf(error)})`;
    } finally {
      if (before !== undefined && this.#problem === undefined) log.debug("The chain can be used");
      else if (before === undefined && this.#problem !== undefined) {
        log.warn("The chain cannot be used now: no credit is given until it can", { problem: this.#problem });
      }
    }
  }

  async channelOf(id: Hex32): Promise<ChannelOnChain | undefined> {
    const { channels, confirmations } = this.#options;
    const found = await this.read(async () => {
      const head = await this.client.getBlockNumber({ cacheTime: 0 });
      const depth = BigInt(confirmations);
      return await this.client.readContract({
        address: channels,
        abi: channelsAbi,
        functionName: "channelOf",
        args: [id],
        blockNumber: head > depth ? head - depth : 0n,
      });
    });
    if (found.payer === ZERO) return undefined;
    return {
      payer: parseNodeId(found.payer),
      signer: parseNodeId(found.signer),
      token: parseNodeId(found.token),
      deposit: wei(found.deposit),
      claimed: wei(found.claimed),
      exitDelay: found.exitDelay,
      exitAt: Number(found.exitAt),
    };
  }

  /** Runs a piece of reading; whatever goes wrong is `chain_failed`. */
  async read<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof NodeError) throw cause;
      throw new NodeError("chain_failed", `The chain cannot be read: ${shortOf(cause)} (payments.rpcUrls)`, { cause });
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #check(): Promise<void> {
    const { chainId, channels, registry, custody } = this.#options;
    const actual = await this.client.getChainId();
    if (actual !== chainId) {
      throw new NodeError(
        "config_invalid",
        `The endpoints (payments.rpcUrls) are of chain ${actual}, and payments.chainId is ${chainId}: correct one of them`,
      );
    }
    const contracts = [["channels", channels], ["registry", registry], ["audit", custody?.audit]] as const;
    for (const [key, address] of contracts) {
      if (address === undefined) continue;
      const code = await this.client.getCode({ address });
      if (code === undefined || code === "0x") {
        throw new NodeError(
          "config_invalid",
          `There is no contract at ${address} on chain ${chainId}: set payments.${key} to where it was deployed`,
        );
      }
    }
    this.#checked = true;
  }
}

/** An endpoint that is asked for its chain before it is asked for anything else: a spare one of another chain must not be believed. */
function ofChain(transport: Transport, chainId: number): Transport {
  return (config) => {
    const made = transport(config);
    let isRight = false;
    const request = (async (call: { method: string }, options: never) => {
      if (!isRight && call.method !== "eth_chainId") {
        const actual = Number(await made.request({ method: "eth_chainId" }));
        if (actual !== chainId) throw new Error(`an endpoint is of chain ${actual}, not ${chainId} (payments.rpcUrls)`);
        isRight = true;
      }
      return await made.request(call as never, options);
    }) as typeof made.request;
    return { ...made, request };
  };
}

/** A head that is too old is of an endpoint that is behind; one from the future would never be too old, and is a lie or of a wrong clock. */
function problemOfAge(ageMs: number, maxHeadAgeMs: number): string | undefined {
  if (ageMs > maxHeadAgeMs) return `its newest block is ${Math.round(ageMs / 1000)} s old (payments.maxHeadAgeMs)`;
  if (ageMs >= -MAX_AHEAD_MS) return undefined;
  return `its newest block is ${
    Math.round(-ageMs / 1000)
  } s in the future: the endpoint lies, or this machine's clock is behind`;
}

/** The first line of what viem says, whose rest is a page. */
export function shortOf(error: unknown): string {
  const { shortMessage } = error as { shortMessage?: unknown };
  return typeof shortMessage === "string" ? shortMessage : toNodeError(error).message.split("\n", 1)[0]!;
}
