import {
  type CallContext,
  type Clock,
  costTableOf,
  countsOtherwise,
  currentRequestId,
  type Log,
  newUlid,
  NodeError,
  type NodeKey,
  otherCostTable,
  type PaymentDesk,
  quoteDigest,
  receiptDigest,
  type Settlement,
  type SignedAccount,
  type SignedQuote,
  toNodeError,
  voucherDigest,
  type Wei,
} from "../core/mod.ts";
import type { Curve } from "./curve.ts";
import { isSigner } from "./offer-book.ts";
import type { SpendingAccount } from "./spending-account.ts";
import type { SpendingAccounts } from "./spending-accounts.ts";
import type { SpendingCaps } from "./spending-caps.ts";

export interface DeskCallsOptions {
  readonly key: NodeKey;
  readonly settlement: Settlement;
  /** Paid ahead of need at least; a tenth of what a task may cost is when that is more. */
  readonly window: Wei;
  readonly curve: Curve;
  /** The version of the cost table that this node counts instructions by: no other is paid for. */
  readonly costTable: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Where the provider at `host:port` is paid. */
  readonly desk: (target: string) => PaymentDesk;
}

/** Gets quotes and sends vouchers at the desk of a channel's provider, and compares books with each of its answers. */
export class DeskCalls {
  readonly #options: DeskCallsOptions;
  readonly #accounts: SpendingAccounts;
  readonly #caps: SpendingCaps;

  constructor(
    options: DeskCallsOptions,
    { accounts, caps }: { readonly accounts: SpendingAccounts; readonly caps: SpendingCaps },
  ) {
    this.#options = options;
    this.#accounts = accounts;
    this.#caps = caps;
  }

  /** Gets a quote, which is the account's then. Throws `target_misbehaved` when it is not what was asked for. */
  async quote(account: SpendingAccount): Promise<void> {
    const { desk, costTable } = this.#options;
    const { target, channelId } = account.state;
    const sinceVersion = account.version;
    const { quote: signed, account: said } = await desk(target).quote(channelId, this.#call(), { costTable });
    this.#check(account, signed);
    account.change({ quote: signed.quote, quoteSignature: signed.signature });
    this.#reconcile(account, said, sinceVersion);
    await this.#accounts.commit(account);
  }

  /** Sends the newest voucher again if need be, and compares books. */
  async sync(account: SpendingAccount): Promise<void> {
    const { desk } = this.#options;
    const { target, channelId, signed, signature, acknowledged } = account.state;
    const sinceVersion = account.version;
    const said = signature !== undefined && acknowledged < signed
      ? await desk(target).pay({ channelId, cumulative: signed }, signature, this.#call())
      : await desk(target).account(channelId, this.#call());
    this.#reconcile(account, said, sinceVersion);
    await this.#accounts.commit(account);
  }

  /** Pays for `more`, beside what is reserved already. */
  async pay(account: SpendingAccount, more: Wei): Promise<void> {
    const { window: least } = this.#options;
    const wanted = least > more / 10n ? least : more / 10n;
    const room = this.#caps.room(account);
    await this.#send(account, account.nextVoucher(more, wanted < room ? wanted : room));
  }

  /** Pays for what was done on credit, also by tasks whose end this node has not asked for yet; not for what still runs. */
  async payOwed(account: SpendingAccount): Promise<void> {
    await this.sync(account);
    const { state, acknowledged } = account.state;
    if (state === "open" && account.owed > acknowledged) await this.#send(account, account.owed);
  }

  /** Signs a voucher over a sum, stores it, and only then sends it. */
  async #send(account: SpendingAccount, cumulative: Wei): Promise<void> {
    const { key, settlement, desk } = this.#options;
    const { target, channelId } = account.state;
    const voucher = { channelId, cumulative };
    const { signed, signature: before } = account.state;
    const signature = key.signDigest(voucherDigest(settlement, voucher));
    account.change({ signed: cumulative, signature });
    try {
      await this.#accounts.commit(account);
    } catch (error) {
      // What could not be stored must not be sent later either.
      account.unsign({ signed, signature: before });
      throw error;
    }
    const sinceVersion = account.version;
    const said = await desk(target).pay(voucher, signature, this.#call()).catch((error: unknown) => {
      if (toNodeError(error).code === "payment_required") account.isStale = account.isDoubted = true;
      throw error;
    });
    this.#reconcile(account, said, sinceVersion);
    await this.#accounts.commit(account);
    if (account.state.state === "disputed") throw disputed(account);
  }

  #check(account: SpendingAccount, { quote, signature }: SignedQuote): void {
    const { key, settlement, curve, clock, costTable } = this.#options;
    const { target, channelId, provider, token } = account.state;
    const wrong = quote.channelId !== channelId
      ? "it is for another channel"
      : quote.provider !== provider || !isSigner(curve, quoteDigest(settlement, quote), signature, provider)
      ? `it is not signed by ${provider}`
      : quote.requester !== key.nodeId
      ? "it is for another requester"
      : quote.rates.token.toLowerCase() !== token.toLowerCase()
      ? "it is in another token"
      : quote.expiresAt <= clock.now()
      ? "it has expired"
      : undefined;
    if (wrong !== undefined) {
      throw new NodeError("target_misbehaved", `The quote of ${target} is refused: ${wrong}`, { data: { target } });
    }
    if (countsOtherwise(quote, costTable)) {
      throw otherCostTable(target, { provider: costTableOf(quote), requester: costTable });
    }
  }

  #reconcile(account: SpendingAccount, said: SignedAccount, sinceVersion: number): void {
    const { settlement, curve, log } = this.#options;
    const { provider, target, channelId } = account.state;
    if (
      said.receipt.channelId !== channelId ||
      !isSigner(curve, receiptDigest(settlement, said.receipt), said.signature, provider)
    ) {
      throw new NodeError(
        "target_misbehaved",
        `The receipt of ${target} is not signed by ${provider} for ${channelId}`,
        {
          data: { target },
        },
      );
    }
    this.#accounts.reconcile(account, said, sinceVersion);
    if (account.state.state === "disputed") {
      log.warn("A provider charges more than it was asked to do; it is not paid any more", {
        target,
        channelId,
        charged: String(said.receipt.charged),
        spent: String(account.state.spent),
      });
    }
  }

  #call(): CallContext {
    const { key, clock } = this.#options;
    const requestId = currentRequestId() ?? newUlid(clock.now());
    return { requester: key.nodeId, signal: AbortSignal.timeout(30_000), requestId };
  }
}

/** The provider of a channel charged too much on it: no more is paid. */
export function disputed(account: SpendingAccount): NodeError {
  const { target, channelId } = account.state;
  return new NodeError(
    "failed_precondition",
    `${target} charged more on channel ${channelId} than it was asked to do: end the channel (payments exit) and use another provider, or open another one by hand (payments open)`,
    { data: { target, channelId } },
  );
}
