import type { TransactionReceipt } from "viem";
import { type Log, NATIVE_TOKEN, toNodeError, type Wei } from "../core/mod.ts";
import type { Chain } from "./chain.ts";
import type { ChannelCalls } from "./channel-calls.ts";
import type { Earnings } from "./earnings.ts";

export interface ClaimsOptions {
  readonly earnings: Earnings;
  readonly calls: ChannelCalls;
  readonly chain: Chain;
  /** The token of this node's prices. */
  readonly token: string;
  /** In a token other than the chain's coin, what is claimed at once when this much is unclaimed. */
  readonly claimAt: Wei;
  readonly claimEveryMs: number;
  readonly log: Log;
}

export type Claimable = ReturnType<Earnings["claimable"]>[number];

/** Gas of a claim, for deciding when one is worth it. */
const CLAIM_GAS = 45_000n;
/** A claim should move at least this many times what it costs. */
const CLAIM_WORTH = 20n;

/** Takes vouchers of payers to the contract: when told to, and by itself when it is worth it. Two never run at once. */
export class Claims {
  readonly #options: ClaimsOptions;
  readonly #timer: NodeJS.Timeout;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: ClaimsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      this.due().catch((error) => options.log.warn("Nothing was claimed", { error: toNodeError(error).message }));
    }, options.claimEveryMs).unref();
  }

  /** Claims those that are asked for; undefined when none is. */
  claim(isWanted: (one: Claimable) => boolean): Promise<TransactionReceipt | undefined> {
    const { earnings, calls } = this.#options;
    return this.inTurn(async () => {
      const wanted = earnings.claimable().filter(isWanted);
      if (wanted.length === 0) return undefined;
      const receipt = await calls.claim(wanted);
      await earnings.refreshAll();
      return receipt;
    });
  }

  /** Claims what it is worth to claim, and everything of payers that are leaving. */
  async due(): Promise<void> {
    const { earnings, chain, token, claimAt } = this.#options;
    if (!chain.healthy()) return;
    await earnings.refreshAll();
    const gasPrice = await chain.read(() => chain.client.getGasPrice());
    const worth = token === NATIVE_TOKEN ? CLAIM_GAS * gasPrice * CLAIM_WORTH : claimAt;
    await this.claim(({ unclaimed, exiting }) => exiting || unclaimed > worth);
  }

  /** Does work that changes what there is to claim after the claim that runs. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.catch(() => {}).then(work);
    this.#last = result;
    return result;
  }

  /** Claims no more by itself. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Resolves when the last claim has ended, well or not. */
  async settled(): Promise<void> {
    await Promise.allSettled([this.#last]);
  }
}
