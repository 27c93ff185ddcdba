import type { TransactionReceipt } from "viem";
import { type Custody, type Hex32, NodeError, type NodeId, parseNodeId, toHex } from "../core/mod.ts";
import type { Chain } from "./chain.ts";
import { auditAbi, registryAbi } from "./contracts.ts";
import type { Transactions } from "./transactions.ts";

export interface AuditCallsOptions {
  readonly chain: Pick<Chain, "client" | "read">;
  readonly transactions: Transactions;
  readonly audit: NodeId;
}

/** The challenge of a statement, as the contract has it. */
export interface OnChainChallenge {
  readonly status: "idle" | "challenged" | "done";
  readonly leaf: number;
  /** Unix seconds until which an answer counts. */
  readonly deadline: number;
}

/** A challenge that was opened. */
export interface Challenged {
  readonly id: Hex32;
  readonly block: number;
}

/** The contract's ANSWER_GAS × BOND_FACTOR. */
const BOND_GAS = 600_000n;
/** Above what the two calls take (docs/contracts.md). */
const [CHALLENGE_GAS, TIMEOUT_GAS] = [125_000n, 125_000n];
const STATUS = ["idle", "challenged", "done"] as const;
/** The bond is what an answer costs at the base fee of the block that takes it, which may be higher than the one that is asked for: by two blocks' rise. */
const BOND_PERCENT = 130n;
const CHALLENGED = auditAbi.find((item) => item.type === "event" && item.name === "Challenged")! as Extract<
  (typeof auditAbi)[number],
  { type: "event"; name: "Challenged" }
>;

/** Reads and calls the `Audit` contract, and the registry whose stake it judges. */
export class AuditCalls {
  readonly #options: AuditCallsOptions;
  #registry: NodeId | undefined;

  constructor(options: AuditCallsOptions) {
    this.#options = options;
  }

  /** The registry whose stake the contract judges: by its own word, since stake elsewhere is not at risk. */
  async registry(): Promise<NodeId> {
    const { chain, audit } = this.#options;
    return this.#registry ??= parseNodeId(
      await chain.read(() => chain.client.readContract({ address: audit, abi: auditAbi, functionName: "REGISTRY" })),
    );
  }

  async challengeOf(id: Hex32): Promise<OnChainChallenge> {
    const { chain, audit } = this.#options;
    const found = await chain.read(() =>
      chain.client.readContract({ address: audit, abi: auditAbi, functionName: "challengeOf", args: [id] })
    );
    return { status: STATUS[found.status] ?? "done", leaf: Number(found.leaf), deadline: Number(found.deadline) };
  }

  /** What a provider has at stake, in wei, and until when it has promised to leave it there, in Unix seconds. */
  async stakeOf(provider: NodeId): Promise<{ readonly bonded: bigint; readonly pledgedUntil: number }> {
    const { chain } = this.#options;
    const registry = await this.registry();
    const { bonded, pledgedUntil } = await chain.read(() =>
      chain.client.readContract({ address: registry, abi: registryAbi, functionName: "stakeOf", args: [provider] })
    );
    return { bonded, pledgedUntil: Number(pledgedUntil) };
  }

  /** The time of the newest block, in Unix seconds: the contract goes by it. */
  async now(): Promise<number> {
    const { chain } = this.#options;
    return Number((await chain.read(() => chain.client.getBlock({ blockTag: "latest" }))).timestamp);
  }

  async head(): Promise<number> {
    const { chain } = this.#options;
    return Number(await chain.read(() => chain.client.getBlockNumber({ cacheTime: 0 })));
  }

  /** The challenges of a provider's statements in a range of blocks. */
  async challenges(provider: NodeId, from: number, to: number): Promise<Challenged[]> {
    const { chain, audit } = this.#options;
    const logs = await chain.read(() =>
      chain.client.getLogs({
        address: audit,
        event: CHALLENGED,
        args: { provider },
        fromBlock: BigInt(from),
        toBlock: BigInt(to),
        strict: true,
      })
    );
    return logs.map(({ args, blockNumber }) => ({ id: args.custodyId, block: Number(blockNumber) }));
  }

  /** The most that a challenge costs should it be answered, in wei: its bond, and gas at the present price. */
  async challengeCost(): Promise<bigint> {
    const { chain } = this.#options;
    const [bond, gasPrice] = await Promise.all([this.#bond(), chain.read(() => chain.client.getGasPrice())]);
    return bond + gasPrice * (CHALLENGE_GAS + TIMEOUT_GAS);
  }

  /** Opens a challenge; returns with the Unix seconds until which the provider may answer. */
  async challenge(custody: Custody, signature: Uint8Array): Promise<{ receipt: TransactionReceipt; deadline: number }> {
    const value = await this.#bond();
    const receipt = await this.#call("challenge", [argsOf(custody), toHex(signature)], { value });
    const { parseEventLogs } = await import("viem");
    const [opened] = parseEventLogs({ abi: auditAbi, eventName: "Challenged", logs: receipt.logs });
    if (opened === undefined) throw new NodeError("chain_failed", "The challenge is not in its transaction");
    return { receipt, deadline: Number(opened.args.deadline) };
  }

  /** What is sent along as a bond. */
  async #bond(): Promise<bigint> {
    const { chain, audit } = this.#options;
    const bond = await chain.read(() =>
      chain.client.readContract({ address: audit, abi: auditAbi, functionName: "requiredBond" })
    );
    // Some endpoints run calls that only read without a base fee, and then answer 0.
    const { baseFeePerGas } = await chain.read(() => chain.client.getBlock({ blockTag: "latest" }));
    const least = BOND_GAS * (baseFeePerGas ?? 0n);
    return ((bond > least ? bond : least) * BOND_PERCENT) / 100n;
  }

  answer(custody: Custody, leaf: Uint8Array, path: Uint8Array): Promise<TransactionReceipt> {
    const digests: Hex32[] = [];
    for (let at = 0; at < path.length; at += 32) digests.push(toHex(path.subarray(at, at + 32)));
    return this.#call("answer", [argsOf(custody), toHex(leaf), digests]);
  }

  release(custody: Custody, signature: Uint8Array): Promise<TransactionReceipt> {
    return this.#call("release", [argsOf(custody), toHex(signature)]);
  }

  timeout(custody: Custody): Promise<TransactionReceipt> {
    return this.#call("timeout", [argsOf(custody)]);
  }

  async pledge(until: number): Promise<TransactionReceipt> {
    const { transactions } = this.#options;
    const registry = await this.registry();
    const { encodeFunctionData } = await import("viem");
    const data = encodeFunctionData({ abi: registryAbi, functionName: "pledge", args: [BigInt(until)] });
    return await transactions.send({ to: registry, data }, { kind: "pledge" });
  }

  async #call(
    functionName: "challenge" | "answer" | "release" | "timeout",
    args: readonly unknown[],
    { value = 0n }: { readonly value?: bigint } = {},
  ): Promise<TransactionReceipt> {
    const { transactions, audit } = this.#options;
    const { encodeFunctionData } = await import("viem");
    const call = { abi: auditAbi, functionName, args } as Parameters<typeof encodeFunctionData>[0];
    return await transactions.send({ to: audit, data: encodeFunctionData(call), value }, { kind: functionName });
  }
}

function argsOf({ leafCount, expiresAt, ...rest }: Custody) {
  return { ...rest, leafCount: BigInt(leafCount), expiresAt: BigInt(expiresAt) };
}
