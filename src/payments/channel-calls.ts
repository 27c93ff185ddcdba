import type { TransactionReceipt } from "viem";
import {
  type Hex32,
  NATIVE_TOKEN,
  NodeError,
  type NodeId,
  type RegistryProfile,
  toHex,
  type Voucher,
  type Wei,
} from "../core/mod.ts";
import type { Chain } from "./chain.ts";
import { channelsAbi, registryAbi } from "./contracts.ts";
import type { Purpose, Transactions } from "./transactions.ts";

export interface ChannelCallsOptions {
  readonly chain: Chain;
  readonly transactions: Transactions;
  readonly channels: NodeId;
  readonly registry: NodeId | undefined;
  readonly self: NodeId;
}

/** The calls of the contracts that change something, each one transaction. */
export class ChannelCalls {
  readonly #options: ChannelCallsOptions;

  constructor(options: ChannelCallsOptions) {
    this.#options = options;
  }

  async open(
    order: { readonly payee: NodeId; readonly token: NodeId; readonly amount: Wei; readonly exitDelay: number },
    purpose: Purpose,
  ): Promise<TransactionReceipt> {
    const { payee, token, amount, exitDelay } = order;
    await this.#approve(token, amount);
    return await this.#call({ functionName: "open", args: [payee, this.#options.self, token, amount, exitDelay] }, {
      purpose,
      value: token === NATIVE_TOKEN ? amount : 0n,
    });
  }

  async topUp(id: Hex32, { token, amount }: { token: NodeId; amount: Wei }): Promise<TransactionReceipt> {
    await this.#approve(token, amount);
    const value = token === NATIVE_TOKEN ? amount : 0n;
    return await this.#call({ functionName: "topUp", args: [id, amount] }, {
      purpose: { kind: "topup", channel: id },
      value,
    });
  }

  async claim(
    vouchers: readonly { readonly voucher: Voucher; readonly signature: Uint8Array }[],
  ): Promise<TransactionReceipt> {
    const claims = vouchers.map(({ voucher: { channelId, cumulative }, signature }) => ({
      id: channelId,
      cumulative,
      signature: toHex(signature),
    }));
    const [only] = claims;
    return claims.length === 1
      ? await this.#call({ functionName: "claim", args: [only!.id, only!.cumulative, only!.signature] }, {
        purpose: { kind: "claim", channel: only!.id },
      })
      : await this.#call({ functionName: "claimMany", args: [claims] }, { purpose: { kind: "claim" } });
  }

  async close(id: Hex32, last: { readonly voucher: Voucher; readonly signature: Uint8Array } | undefined) {
    const args = last === undefined
      ? [id, 0n, "0x"] as const
      : [id, last.voucher.cumulative, toHex(last.signature)] as const;
    return await this.#call({ functionName: "close", args }, { purpose: { kind: "close", channel: id } });
  }

  async startExit(id: Hex32): Promise<TransactionReceipt> {
    return await this.#call({ functionName: "startExit", args: [id] }, { purpose: { kind: "exit", channel: id } });
  }

  async finishExit(id: Hex32): Promise<TransactionReceipt> {
    return await this.#call({ functionName: "finishExit", args: [id] }, { purpose: { kind: "exit", channel: id } });
  }

  /** Sends credit in a contract to an account: all of them keep credit alike. */
  async withdraw(
    token: NodeId,
    to: NodeId,
    { amount, contract = this.#options.channels }: { readonly amount: Wei; readonly contract?: NodeId },
  ): Promise<TransactionReceipt> {
    const call = { functionName: "withdraw", args: [token, to, amount] };
    return await this.#call(call, { purpose: { kind: "withdraw" }, contract });
  }

  /** Makes this node known: where it is, its region, and stake. What it can do others ask it themselves. */
  async register({ target, region, stake }: RegistryProfile): Promise<TransactionReceipt> {
    const { registry, transactions } = this.#options;
    if (registry === undefined) {
      throw new NodeError("failed_precondition", "No registry is configured: set payments.registry");
    }
    const { encodeFunctionData, stringToHex, zeroHash } = await import("viem");
    const data = encodeFunctionData({
      abi: registryAbi,
      functionName: "register",
      args: [target, zeroHash, stringToHex(region, { size: 32 })],
    });
    return await transactions.send({ to: registry, data, value: stake }, { kind: "register" });
  }

  /** The ids of the channels that a transaction opened. */
  async openedIn(receipt: TransactionReceipt): Promise<readonly { readonly id: Hex32; readonly amount: bigint }[]> {
    const { parseEventLogs } = await import("viem");
    return parseEventLogs({ abi: channelsAbi, eventName: "Opened", logs: receipt.logs })
      .filter(({ address }) => address.toLowerCase() === this.#options.channels.toLowerCase())
      .map(({ args }) => ({ id: args.id.toLowerCase() as Hex32, amount: args.amount }));
  }

  /** What a contract, by default the channels', holds for this node. */
  async credit(token: NodeId, address: NodeId = this.#options.channels): Promise<bigint> {
    const { chain, self } = this.#options;
    return await chain.read(() =>
      chain.client.readContract({ address, abi: channelsAbi, functionName: "credit", args: [token, self] })
    );
  }

  /** Lets the contract take what a deposit needs, where the token has to be told. */
  async #approve(token: NodeId, amount: Wei): Promise<void> {
    if (token === NATIVE_TOKEN) return;
    const { chain, transactions, channels, self } = this.#options;
    const { encodeFunctionData, erc20Abi } = await import("viem");
    const allowed = await chain.read(() =>
      chain.client.readContract({ address: token, abi: erc20Abi, functionName: "allowance", args: [self, channels] })
    );
    if (allowed >= amount) return;
    const approve = (value: bigint) =>
      transactions.send({
        to: token,
        data: encodeFunctionData({ abi: erc20Abi, functionName: "approve", args: [channels, value] }),
      }, { kind: "approve", token });
    // Some tokens refuse to change an allowance that is not zero.
    if (allowed > 0n) await approve(0n);
    await approve(amount);
  }

  async #call(
    call: { readonly functionName: string; readonly args: readonly unknown[] },
    { purpose, value = 0n, contract = this.#options.channels }: {
      readonly purpose: Purpose;
      readonly value?: bigint;
      readonly contract?: NodeId;
    },
  ): Promise<TransactionReceipt> {
    const { encodeFunctionData } = await import("viem");
    const data = encodeFunctionData({ abi: channelsAbi, ...call } as Parameters<typeof encodeFunctionData>[0]);
    return await this.#options.transactions.send({ to: contract, data, value }, purpose);
  }
}
