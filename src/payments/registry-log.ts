import type { PublicClient } from "viem";
import { NodeError, type NodeId, parseNodeId } from "../core/mod.ts";
import type { Chain } from "./chain.ts";
import { registryAbi } from "./contracts.ts";

/** What a provider says of itself in the registry. */
export interface RegistryEntry {
  readonly node: NodeId;
  /** Empty when it took its profile back. */
  readonly url: string;
  /** Printable ASCII, or empty. */
  readonly region: string;
  readonly block: number;
}

/** A block that was read to. */
export interface ReadTo {
  readonly block: number;
  readonly hash: string;
}

export interface RegistryLogOptions {
  readonly registry: NodeId;
  /** How many blocks must lie on what is believed. */
  readonly confirmations: number;
  /** The block in which the contract was deployed, or an earlier one. */
  readonly fromBlock: number;
  /** The most blocks asked for at once; by default 10,000, about what public endpoints answer. */
  readonly maxSpan?: number;
}

const MAX_SPAN = 10_000;
/** A page with more events than this is followed by one of fewer blocks. */
const MANY_EVENTS = 2_000;
const EVENTS = registryAbi.filter((item) => item.type === "event");
const PROFILE_EVENTS = [
  EVENTS.find((item) => item.name === "Registered")!,
  EVENTS.find((item) => item.name === "Deregistered")!,
] as const;

/**
 * Reads the registry's events a range of blocks at a time. A range that an endpoint refuses, or that holds very many events, is followed by a
 * smaller one. The hash of the last block is taken before its events are, so that a reorganisation in between shows at the next page.
 */
export class RegistryLog {
  readonly #chain: Pick<Chain, "client" | "read">;
  readonly #options: RegistryLogOptions;
  readonly #maxSpan: number;
  #span: number;

  constructor(chain: Pick<Chain, "client" | "read">, options: RegistryLogOptions) {
    this.#chain = chain;
    this.#options = options;
    this.#span = this.#maxSpan = options.maxSpan ?? MAX_SPAN;
  }

  /** What comes behind a block that was read to, or what comes first. Throws `chain_failed`. */
  async read(after: ReadTo | undefined): Promise<{
    readonly events: readonly RegistryEntry[];
    readonly checkpoint: ReadTo | undefined;
    readonly caughtUp: boolean;
    readonly reorganised: boolean;
  }> {
    const { confirmations, fromBlock } = this.#options;
    return await this.#chain.read(async () => {
      const { client } = this.#chain;
      const last = Number(await client.getBlockNumber({ cacheTime: 0 })) - confirmations;
      if (after !== undefined) {
        // An endpoint that is behind knows nothing new, and what it does not know cannot be compared.
        if (last < after.block) return { events: [], checkpoint: after, caughtUp: true, reorganised: false };
        if (await hashOf(client, after.block) !== after.hash) {
          return { events: [], checkpoint: undefined, caughtUp: false, reorganised: true };
        }
      }
      const first = after === undefined ? fromBlock : after.block + 1;
      if (last < first) return { events: [], checkpoint: after, caughtUp: true, reorganised: false };
      const to = Math.min(last, first + this.#span - 1);
      const hash = await hashOf(client, to);
      const events = await this.#events(first, to);
      return { events, checkpoint: { block: to, hash }, caughtUp: to === last, reorganised: false };
    });
  }

  async #events(first: number, to: number): Promise<RegistryEntry[]> {
    const { client } = this.#chain;
    const { registry } = this.#options;
    let logs;
    try {
      logs = await client.getLogs({
        address: registry,
        events: PROFILE_EVENTS,
        fromBlock: BigInt(first),
        toBlock: BigInt(to),
        strict: true,
      });
    } catch (error) {
      this.#span = Math.max(1, Math.floor(this.#span / 4));
      throw error;
    }
    this.#span = logs.length > MANY_EVENTS
      ? Math.max(1, Math.floor(this.#span / 4))
      : Math.min(this.#maxSpan, this.#span * 2);
    return logs.map((log): RegistryEntry => {
      const block = Number(log.blockNumber);
      if (log.address.toLowerCase() !== registry.toLowerCase() || block < first || block > to) {
        throw new NodeError("chain_failed", "The endpoint answered with other events than it was asked for");
      }
      const node = parseNodeId(log.args.node);
      if (log.eventName === "Deregistered") return { node, url: "", region: "", block };
      return { node, url: log.args.url, region: textOf(log.args.region), block };
    });
  }
}

async function hashOf(client: PublicClient, block: number): Promise<string> {
  const { hash } = await client.getBlock({ blockNumber: BigInt(block) });
  return hash;
}

/** A bytes32 as text. */
function textOf(bytes32: string): string {
  const text = Buffer.from(bytes32.slice(2), "hex").toString().replace(/\0+$/, "");
  return /^[\x20-\x7e]*$/.test(text) ? text : "";
}
