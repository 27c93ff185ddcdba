import type { TransactionReceipt } from "viem";
import {
  type ChannelView,
  type CustodyView,
  type DayTotal,
  type Hex32,
  type KeptQuote,
  type MinedTransaction,
  NATIVE_TOKEN,
  NodeError,
  type NodeId,
  type Offer,
  parseNodeId,
  parseTarget,
  type PaymentAdmin,
  type PaymentSummary,
  type RegistryProfile,
  type Settlement,
  type SignedOffer,
  type TokenInfo,
  toNodeError,
  type Wei,
  wei,
} from "../core/mod.ts";
import type { Chain } from "./chain.ts";
import type { ChannelCalls } from "./channel-calls.ts";
import type { Claims } from "./claims.ts";
import type { Earnings } from "./earnings.ts";
import type { CustodyParts } from "./open-custody.ts";
import type { PaymentsOptions } from "./payments-options.ts";
import type { Spendings } from "./spendings.ts";
import { Tokens } from "./tokens.ts";
import type { Totals } from "./totals.ts";

export interface AdminParts {
  readonly options: PaymentsOptions;
  readonly earnings: Earnings;
  readonly spendings: Spendings;
  readonly calls: ChannelCalls;
  readonly chain: Chain;
  readonly totals: Totals;
  readonly claims: Claims;
  readonly custody: CustodyParts | undefined;
}

/** What the owner of a node sees of its money, and does with it. */
export class Admin implements PaymentAdmin {
  readonly settlement: Settlement;
  readonly #parts: AdminParts;
  readonly #tokens: Tokens;

  constructor(parts: AdminParts) {
    const { chain, options: { chainId, channels, clock } } = parts;
    this.settlement = { chainId, channels };
    this.#parts = parts;
    this.#tokens = new Tokens({ chain, clock });
  }

  channels(): readonly ChannelView[] {
    const { spendings, earnings } = this.#parts;
    return [...spendings.views(), ...earnings.views()];
  }

  totals(): readonly DayTotal[] {
    return this.#parts.totals.list();
  }

  quotes(): Promise<readonly KeptQuote[]> {
    return this.#parts.spendings.quotes();
  }

  async offer(): Promise<SignedOffer | undefined> {
    const { earnings } = this.#parts;
    return earnings.isFree ? undefined : await earnings.offer();
  }

  async summary(): Promise<PaymentSummary> {
    const { chain, calls, options: { key, rates } } = this.#parts;
    const creditOf = async (token: NodeId) => ({ token, amount: wei(await calls.credit(token)) });
    const [balance, ...credits] = await Promise.all([
      chain.read(() => chain.client.getBalance({ address: key.nodeId })),
      ...this.#dealtIn().map(creditOf),
    ]);
    const own = parseNodeId(rates.token);
    return {
      ...this.settlement,
      account: key.nodeId,
      balance: wei(balance),
      credit: credits.find(({ token }) => token === own)!.amount,
      credits,
      head: chain.head,
      healthy: chain.healthy(),
    };
  }

  async tokens(): Promise<readonly TokenInfo[]> {
    const others = this.#dealtIn().filter((token) => token !== NATIVE_TOKEN);
    return await Promise.all(others.map((token) => this.#tokens.of(token)));
  }

  async token(address: NodeId): Promise<TokenInfo> {
    return await this.#tokens.of(parseNodeId(address));
  }

  offerOf(target: string, signal: AbortSignal): Promise<Offer | undefined> {
    return this.#parts.spendings.offerOf(target, signal);
  }

  open(target: string, amount: Wei, how: Parameters<PaymentAdmin["open"]>[2]): Promise<ChannelView> {
    return this.#parts.spendings.open(target, amount, how);
  }

  async topUp(channelId: Hex32, amount: Wei): Promise<MinedTransaction> {
    const { token } = this.#find(channelId);
    return shown(await this.#parts.calls.topUp(channelId, { token, amount }));
  }

  async claim(channelId?: Hex32): Promise<MinedTransaction | undefined> {
    const { earnings, claims } = this.#parts;
    await earnings.refreshAll();
    const receipt = await claims.claim(({ voucher }) => channelId === undefined || voucher.channelId === channelId);
    return receipt && shown(receipt);
  }

  async close(channelId: Hex32): Promise<MinedTransaction> {
    const { earnings, calls, claims } = this.#parts;
    this.#find(channelId, "payee");
    return await claims.inTurn(async () => {
      await earnings.setClosing(channelId, true);
      try {
        const last = earnings.claimable().find(({ voucher }) => voucher.channelId === channelId);
        return shown(await calls.close(channelId, last));
      } catch (error) {
        // While the node stops, the transaction may still be mined.
        if (toNodeError(error).code !== "shutting_down") await earnings.setClosing(channelId, false);
        throw error;
      } finally {
        await earnings.refreshAll();
      }
    });
  }

  async exit(channelId: Hex32): Promise<MinedTransaction> {
    const { spendings, calls, chain, options: { clock } } = this.#parts;
    const { target, state } = this.#find(channelId, "payer");
    // What was done on credit is paid while it can be; a provider that is away hinders nobody.
    if (state === "open" && target !== undefined) await spendings.settleUp(target).catch(() => {});
    const known = await chain.channelOf(channelId);
    if (known === undefined) {
      await spendings.note(channelId, { state: "closed" });
      throw new NodeError("failed_precondition", `Channel ${channelId} has ended already`);
    }
    if (known.exitAt === 0) {
      // From here on nothing is signed for it.
      await spendings.note(channelId, { state: "exiting" });
      return shown(await calls.startExit(channelId));
    }
    // The contract goes by the chain's time, which may be ahead of this node's clock; a chain without new blocks stands still.
    const { timestamp } = await chain.read(() => chain.client.getBlock({ blockTag: "latest" }));
    if (known.exitAt * 1000 > Math.max(clock.now(), Number(timestamp) * 1000)) {
      throw new NodeError(
        "failed_precondition",
        `Channel ${channelId} can be ended from ${new Date(known.exitAt * 1000).toISOString()} on`,
        { data: { exitAt: known.exitAt } },
      );
    }
    const receipt = await calls.finishExit(channelId);
    await spendings.note(channelId, { state: "closed" });
    return shown(receipt);
  }

  async register({ target, region, stake }: RegistryProfile): Promise<MinedTransaction> {
    if (!/^[\x20-\x7e]{0,32}$/.test(region)) {
      throw new NodeError("invalid_argument", "A region is up to 32 printable ASCII characters, such as eu-west");
    }
    return shown(await this.#parts.calls.register({ target: parseTarget(target).name, region, stake }));
  }

  custody(): readonly CustodyView[] {
    return this.#parts.custody?.book.views() ?? [];
  }

  async challenge(id: Hex32): Promise<MinedTransaction & { readonly deadline: number }> {
    const { receipt, deadline } = await this.#custody().holder.challenge(id);
    return { ...shown(receipt), deadline };
  }

  async slash(id: Hex32): Promise<MinedTransaction> {
    return shown(await this.#custody().holder.slash(id));
  }

  async pledge(until: number): Promise<MinedTransaction> {
    return shown(await this.#custody().calls.pledge(until));
  }

  async withdraw(
    token: NodeId,
    { amount, to = this.#parts.options.key.nodeId, from = "channels" }: Parameters<PaymentAdmin["withdraw"]>[1],
  ): Promise<MinedTransaction> {
    const { calls } = this.#parts;
    const contract = await this.#contractOf(from);
    if (contract === undefined) {
      throw new NodeError("failed_precondition", `The contract is not configured: set payments.${from}`);
    }
    const held = await calls.credit(token, contract);
    if (held === 0n) {
      throw new NodeError(
        "failed_precondition",
        `There is nothing to withdraw${from === "channels" ? ": claim first" : ` from ${from}`}`,
      );
    }
    return shown(await calls.withdraw(token, to, { amount: amount ?? wei(held), contract }));
  }

  async #contractOf(name: "channels" | "audit" | "registry"): Promise<NodeId | undefined> {
    const { options, custody } = this.#parts;
    if (name === "channels") return options.channels;
    if (name === "audit") return options.custody?.audit;
    return await custody?.calls.registry() ?? options.registry;
  }

  /** The chain's coin, and every token of prices, channels and totals. */
  #dealtIn(): readonly NodeId[] {
    const { options, totals } = this.#parts;
    const all = [options.rates, ...this.channels(), ...totals.list()].map(({ token }) => parseNodeId(token));
    return [...new Set([NATIVE_TOKEN, ...all])];
  }

  #find(channelId: Hex32, role?: ChannelView["role"]): ChannelView {
    const found = this.channels().find((view) =>
      view.channelId === channelId && (role === undefined || view.role === role)
    );
    if (found !== undefined) return found;
    throw new NodeError(
      "not_found",
      `No channel ${channelId} ${role === "payee" ? "pays this node" : "is in the books"}`,
    );
  }

  #custody(): CustodyParts {
    const { custody } = this.#parts;
    if (custody !== undefined) return custody;
    throw new NodeError("failed_precondition", "No Audit contract is configured: set payments.audit");
  }
}

function shown({ transactionHash, gasUsed }: TransactionReceipt): MinedTransaction {
  return { hash: transactionHash, gasUsed };
}
