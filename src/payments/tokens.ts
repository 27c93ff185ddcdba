import type { PublicClient } from "viem";
import { type Clock, isSymbol, MAX_DECIMALS, type NodeId, type TokenInfo } from "../core/mod.ts";

export interface TokensOptions {
  readonly chain: { readonly client: PublicClient; healthy(): boolean };
  readonly clock: Clock;
  /** How long somebody waits for an answer of the chain, before a token is shown without it. */
  readonly waitMs?: number;
}

interface Known {
  readonly info: TokenInfo;
  /** When a contract that did not tell all is asked again. */
  readonly againAt: number;
}

/** How many tokens are remembered. */
const MAX_TOKENS = 1000;
/** A contract that does not tell, or a chain that does not answer, is asked again after this. */
const AGAIN_MS = 60_000;
const WAIT_MS = 3_000;
/** The most that a contract may use to answer, so that none keeps an endpoint busy; a proxy of a token needs some 30,000. */
const CALL_GAS = 1_000_000n;
/** The longest answer that is looked at, as hex digits: a text has its place, its length and its characters. */
const MAX_ANSWER = 2 + 2 * 1024;

/**
 * What tokens tell of themselves, read from their contracts once. Their symbols are texts of strangers: one that cannot be shown is none, and so
 * is one of a contract from before the standard had texts (`bytes32`).
 */
export class Tokens {
  readonly #options: TokensOptions;
  readonly #known = new Map<NodeId, Known>();
  readonly #reading = new Map<NodeId, Promise<TokenInfo>>();

  constructor(options: TokensOptions) {
    this.#options = options;
  }

  /** What a token tells; nothing but its address while the chain does not answer. Never throws. */
  async of(address: NodeId): Promise<TokenInfo> {
    const { chain, clock, waitMs = WAIT_MS } = this.#options;
    const known = this.#known.get(address);
    const before = known?.info ?? { address };
    if (known !== undefined && (isWhole(known.info) || clock.now() < known.againAt)) return known.info;
    if (!chain.healthy()) return before;
    let reading = this.#reading.get(address);
    if (reading === undefined) {
      reading = this.#read(address).finally(() => this.#reading.delete(address));
      this.#reading.set(address, reading);
    }
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<TokenInfo>((resolve) => timer = setTimeout(() => resolve(before), waitMs));
    try {
      return await Promise.race([reading, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(address: NodeId): Promise<TokenInfo> {
    const { decodeAbiParameters, encodeFunctionData, erc20Abi } = await import("viem");
    const { chain, clock } = this.#options;
    const ask = async (functionName: "symbol" | "decimals") => {
      try {
        const data = encodeFunctionData({ abi: erc20Abi, functionName });
        const answer = (await chain.client.call({ to: address, data, gas: CALL_GAS })).data ?? "0x";
        return answer.length > MAX_ANSWER ? "0x" : answer;
      } catch {
        return "0x";
      }
    };
    const [symbolHex, decimalsHex] = await Promise.all([ask("symbol"), ask("decimals")]);
    let symbol = "";
    try {
      [symbol] = decodeAbiParameters([{ type: "string" }], symbolHex);
    } catch {
      // No text: a contract without symbol(), or one that answers with bytes32.
    }
    const decimals = decimalsHex.length === 2 + 64 ? BigInt(decimalsHex) : undefined;
    const info: TokenInfo = {
      address,
      ...(isSymbol(symbol) && { symbol }),
      ...(decimals !== undefined && decimals <= MAX_DECIMALS && { decimals: Number(decimals) }),
      // What it told once stays: no contract has an amount look like another one later.
      ...this.#known.get(address)?.info,
    };
    this.#known.delete(address);
    this.#known.set(address, { info, againAt: clock.now() + AGAIN_MS });
    if (this.#known.size > MAX_TOKENS) this.#known.delete(this.#known.keys().next().value!);
    return info;
  }
}

function isWhole({ symbol, decimals }: TokenInfo): boolean {
  return symbol !== undefined && decimals !== undefined;
}
