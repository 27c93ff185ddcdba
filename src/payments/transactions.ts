import type { Hex, PublicClient, TransactionReceipt } from "viem";
import {
  type Clock,
  fromHex,
  type Hex32,
  type Log,
  NodeError,
  type NodeId,
  type NodeKey,
  type PaymentStore,
} from "../core/mod.ts";
import { fromText, toText } from "./books.ts";
import { shortOf } from "./chain.ts";

/** What a transaction does. */
export interface TransactionCall {
  readonly to: NodeId;
  readonly data: Hex;
  readonly value?: bigint;
}

/** What is remembered of a transaction, so that whoever takes it up after a restart knows what it was for. */
export type Purpose = { readonly kind: string } & Readonly<Record<string, string>>;

interface StoredTransaction {
  readonly nonce: number;
  readonly call: TransactionCall;
  readonly purpose: Purpose;
  readonly gas: bigint;
  readonly maxFee: bigint;
  readonly tip: bigint;
  /** Every form that was sent: replacements have higher fees, and any of them may be mined. */
  readonly sent: readonly { readonly hash: Hex32; readonly raw: Hex }[];
}

export interface TransactionsOptions {
  readonly client: PublicClient;
  readonly chainId: number;
  readonly key: NodeKey;
  readonly store: PaymentStore;
  readonly confirmations: number;
  readonly clock: Clock;
  readonly log: Log;
  /** After how long a transaction that is not mined is sent again with higher fees. */
  readonly bumpMs?: number;
  readonly pollMs?: number;
  /** Called once for each transaction that succeeded, also after a restart, before it is forgotten. */
  readonly onMined: (purpose: Purpose, receipt: TransactionReceipt) => Promise<void>;
}

interface Poverty {
  readonly key: NodeKey;
  readonly balance: bigint;
  readonly cause?: unknown;
}

function tooPoor({ value = 0n }: TransactionCall, { kind }: Purpose, { key, balance, cause }: Poverty): NodeError {
  return new NodeError(
    "chain_failed",
    `The transaction (${kind}) takes ${value} wei and its gas, and the account ${key.nodeId} has ${balance} wei: send coins to it, or take less`,
    { cause, retryable: false },
  );
}

/** How chains say that an account has too little for a transaction. */
const TOO_POOR = /insufficient funds|exceeds the balance/i;
const GAS_ROOM_PERCENT = 120n;
const BUMP_PERCENT = 130n; // nodes want at least 10 % more

/**
 * Sends transactions of one key. Each is stored under its nonce before it is sent, so that after a crash the same one is sent again and
 * nothing is done twice. One that is not mined in time is replaced by itself at higher fees; one that was dropped is sent again; one that a
 * reorganisation took out is waited for again.
 */
export class Transactions {
  readonly #options: TransactionsOptions;
  readonly #pending = new Map<number, Promise<TransactionReceipt>>();
  #signing: Promise<unknown> = Promise.resolve();
  #highest = -1;
  #closed = false;

  constructor(options: TransactionsOptions) {
    this.#options = options;
  }

  /** Takes up what an earlier process sent and did not see mined, and returns what each is for. */
  async resume(): Promise<readonly Purpose[]> {
    const purposes: Purpose[] = [];
    for (const [, text] of await this.#options.store.entries("transaction")) {
      const stored = fromText<StoredTransaction>(text);
      this.#highest = Math.max(this.#highest, stored.nonce);
      purposes.push(stored.purpose);
      this.#options.log.info("Taking up a transaction from before", {
        nonce: stored.nonce,
        purpose: stored.purpose.kind,
      });
      this.#follow(stored).catch((error) => {
        if (!this.#closed) this.#options.log.warn("A transaction from before failed", { error: shortOf(error) });
      });
    }
    return purposes;
  }

  /** Sends a transaction and waits until it is mined and deep enough. Throws `chain_failed` when it fails, with the contract's reason. */
  async send(call: TransactionCall, purpose: Purpose): Promise<TransactionReceipt> {
    const signing = this.#signing.catch(() => {}).then(() => this.#prepare(call, purpose));
    this.#signing = signing;
    return await this.#follow(await signing);
  }

  /** Lets go of what is pending; the next process takes it up. */
  close(): void {
    this.#closed = true;
  }

  async #prepare(call: TransactionCall, purpose: Purpose): Promise<StoredTransaction> {
    const { client, key } = this.#options;
    try {
      const gas = await client.estimateGas({ account: key.nodeId, ...call });
      const [fees, onChain, balance] = await Promise.all([
        client.estimateFeesPerGas(),
        client.getTransactionCount({ address: key.nodeId, blockTag: "pending" }),
        client.getBalance({ address: key.nodeId }),
      ]);
      const gasLimit = gas * GAS_ROOM_PERCENT / 100n;
      // A chain takes no transaction whose gas at its highest fee is not there beside the value; sent, it would wait for ever.
      if (balance < (call.value ?? 0n) + gasLimit * fees.maxFeePerGas) throw tooPoor(call, purpose, { key, balance });
      const nonce = Math.max(onChain, this.#highest + 1);
      const unsent: StoredTransaction = {
        nonce,
        call,
        purpose,
        gas: gasLimit,
        maxFee: fees.maxFeePerGas,
        tip: fees.maxPriorityFeePerGas,
        sent: [],
      };
      this.#highest = nonce;
      return await this.#sign(unsent);
    } catch (cause) {
      if (cause instanceof NodeError) throw cause;
      throw await this.#refused(call, purpose, cause);
    }
  }

  /** Why the chain would not take a transaction. */
  async #refused(call: TransactionCall, purpose: Purpose, cause: unknown): Promise<NodeError> {
    const { client, key } = this.#options;
    const reason = reasonOf(cause);
    if (TOO_POOR.test(reason)) {
      const balance = await client.getBalance({ address: key.nodeId }).catch(() => undefined);
      if (balance !== undefined) return tooPoor(call, purpose, { key, balance, cause });
    }
    return new NodeError("chain_failed", `The transaction (${purpose.kind}) would fail: ${reason}`, {
      cause,
      retryable: false,
    });
  }

  /** Signs the transaction at its present fees, and stores it. */
  async #sign(stored: StoredTransaction): Promise<StoredTransaction> {
    const { chainId, key, store } = this.#options;
    const { keccak256, serializeTransaction } = await import("viem");
    const { nonce, call, gas, maxFee, tip } = stored;
    const transaction = {
      type: "eip1559",
      chainId,
      nonce,
      to: call.to,
      data: call.data,
      value: call.value ?? 0n,
      gas,
      maxFeePerGas: maxFee,
      maxPriorityFeePerGas: tip,
    } as const;
    const signature = key.signDigest(fromHex(keccak256(serializeTransaction(transaction))));
    const hex = (from: number, to: number): Hex => `0x${Buffer.from(signature.subarray(from, to)).toString("hex")}`;
    const raw = serializeTransaction(transaction, { r: hex(0, 32), s: hex(32, 64), yParity: signature[64]! - 27 });
    const signed = { ...stored, sent: [...stored.sent, { hash: keccak256(raw), raw }] };
    await store.write([{ kind: "transaction", key: keyOf(nonce), text: toText(signed) }], { durable: true });
    return signed;
  }

  #follow(stored: StoredTransaction): Promise<TransactionReceipt> {
    const known = this.#pending.get(stored.nonce);
    if (known !== undefined) return known;
    const following = this.#untilMined(stored).finally(() => this.#pending.delete(stored.nonce));
    this.#pending.set(stored.nonce, following);
    return following;
  }

  async #untilMined(first: StoredTransaction): Promise<TransactionReceipt> {
    const { client, clock, log, store, confirmations, onMined, key, bumpMs = 45_000, pollMs = 500 } = this.#options;
    let stored = first;
    let sentAt = -Infinity;
    let waitMs = Math.min(100, pollMs);
    let tries = 0;
    while (!this.#closed) {
      try {
        const receipt = await this.#receipt(stored);
        if (receipt !== undefined) {
          const head = await client.getBlockNumber({ cacheTime: 0 });
          if (head >= receipt.blockNumber + BigInt(confirmations)) {
            if (receipt.status === "success") await onMined(stored.purpose, receipt);
            await store.write([{ kind: "transaction", key: keyOf(stored.nonce), text: undefined }], { durable: true });
            if (receipt.status === "success") return receipt;
            throw failure(`Transaction ${receipt.transactionHash} (${stored.purpose.kind}) was reverted`);
          }
        } else {
          const next = await client.getTransactionCount({ address: key.nodeId, blockTag: "latest" });
          if (next > stored.nonce && await this.#receipt(stored) === undefined) {
            await store.write([{ kind: "transaction", key: keyOf(stored.nonce), text: undefined }], { durable: true });
            throw failure(
              `Transaction ${stored.nonce} (${stored.purpose.kind}) was replaced by another one of this account: does another program use its key?`,
            );
          }
          if (clock.now() - sentAt >= bumpMs) {
            if (tries > 0) stored = await this.#bump(stored);
            tries++;
            sentAt = clock.now();
            await this.#broadcast(stored);
          }
        }
      } catch (error) {
        if (error instanceof NodeError && error.code === "chain_failed" && !error.retryable) throw error;
        log.debug("The chain does not answer; a transaction waits", { nonce: stored.nonce, error: shortOf(error) });
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      waitMs = Math.min(pollMs, waitMs * 2);
    }
    throw new NodeError("shutting_down", "The node is stopping; the transaction is taken up after the next start");
  }

  async #receipt(stored: StoredTransaction): Promise<TransactionReceipt | undefined> {
    for (const { hash } of stored.sent.toReversed()) {
      const receipt = await this.#options.client.getTransactionReceipt({ hash }).catch((error: unknown) => {
        if ((error as Error).name === "TransactionReceiptNotFoundError") return undefined;
        throw error;
      });
      if (receipt !== undefined) return receipt;
    }
    return undefined;
  }

  async #bump(stored: StoredTransaction): Promise<StoredTransaction> {
    const now = await this.#options.client.estimateFeesPerGas();
    const more = (old: bigint, market: bigint) => {
      const bumped = old * BUMP_PERCENT / 100n + 1n;
      return bumped > market ? bumped : market;
    };
    return await this.#sign({
      ...stored,
      maxFee: more(stored.maxFee, now.maxFeePerGas),
      tip: more(stored.tip, now.maxPriorityFeePerGas),
    });
  }

  async #broadcast({ sent }: StoredTransaction): Promise<void> {
    try {
      await this.#options.client.sendRawTransaction({ serializedTransaction: sent.at(-1)!.raw });
    } catch (error) {
      // It may be there already, which is what was wanted; if not, it is sent again later.
      this.#options.log.debug("A transaction was not taken", { error: shortOf(error) });
    }
  }
}

function failure(message: string): NodeError {
  return new NodeError("chain_failed", message, { retryable: false });
}

/** The contract's own error where there is one, else what the chain says. */
function reasonOf(error: unknown): string {
  for (
    let cause = error as { cause?: unknown; details?: string } | undefined;
    cause;
    cause = cause.cause as typeof cause
  ) {
    if (typeof cause.details === "string" && cause.cause === undefined) return cause.details;
  }
  return shortOf(error);
}

function keyOf(nonce: number): string {
  return String(nonce).padStart(12, "0");
}
