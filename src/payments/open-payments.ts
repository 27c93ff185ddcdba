import type { TransactionReceipt } from "viem";
import {
  type ChannelView,
  type Clock,
  type Hex32,
  type Log,
  type Metrics,
  type MinedTransaction,
  NATIVE_TOKEN,
  NodeError,
  type NodeId,
  type NodeKey,
  noMetrics,
  parseNodeId,
  parseTarget,
  type PaymentAdmin,
  type PaymentDesk,
  type PaymentStore,
  type PaymentSummary,
  type Rates,
  type Settlement,
  toNodeError,
  type Wei,
  wei,
} from "../core/mod.ts";
import { Books } from "./books.ts";
import { AuditCalls } from "./audit-calls.ts";
import { Budget, type Caps } from "./budget.ts";
import { Chain, type ChainOptions } from "./chain.ts";
import { ChannelCalls } from "./channel-calls.ts";
import { type Curve, loadCurve } from "./curve.ts";
import { CustodyBook } from "./custody-book.ts";
import { CustodyChallenger } from "./custody-challenger.ts";
import { CustodyHolder } from "./custody-holder.ts";
import { CustodyKeeper } from "./custody-keeper.ts";
import { type CreditRule, Earnings, type EarningsOptions } from "./earnings.ts";
import { Spendings } from "./spendings.ts";
import { Tokens } from "./tokens.ts";
import { Totals } from "./totals.ts";
import { type Purpose, Transactions } from "./transactions.ts";

export interface PaymentsOptions extends Omit<ChainOptions, "clock" | "log"> {
  readonly key: NodeKey;
  readonly store: PaymentStore;
  readonly rates: Rates;
  readonly credit: CreditRule;
  readonly caps: Caps;
  readonly window: Wei;
  /** The deposit of channels that are opened when needed; 0 opens none. */
  readonly deposit: Wei;
  /** The exit delay of channels that this node opens, and the least of those that it takes, in seconds. */
  readonly exitDelay: number;
  readonly offerMs: number;
  readonly limits: EarningsOptions["limits"];
  /** The version of the cost table that this node counts instructions by. */
  readonly costTable: number;
  /** In a token other than the chain's coin, what is claimed at once when this much is unclaimed. */
  readonly claimAt: Wei;
  readonly claimEveryMs: number;
  /** Stake on shards, where the Audit contract is known: what this node puts on one, and the least that it asks of others; 0 is none. */
  readonly custody?: {
    readonly audit: NodeId;
    readonly penalty: Wei;
    readonly least: Wei;
    /** Whether providers that lost shards are challenged without being told to. */
    readonly challenges?: boolean;
  };
  readonly retryMs?: number;
  /** After how long a transaction that is not mined is sent again with higher fees. */
  readonly bumpMs?: number;
  readonly desk: (target: string) => PaymentDesk;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Metrics;
}

/** The money of a node. */
export interface Payments {
  readonly earnings: Earnings;
  readonly spendings: Spendings;
  readonly admin: PaymentAdmin;
  readonly chain: Chain;
  readonly calls: ChannelCalls;
  /** Puts stake on the shards that this node keeps, when it is to. */
  readonly keeper?: CustodyKeeper;
  /** Takes what others put on this node's shards, when it is to. */
  readonly holder?: CustodyHolder;
  /** Challenges those that lost some, when it is to. */
  readonly challenger?: CustodyChallenger;
  /** Claims what it is worth to claim, and everything of payers that are leaving. Runs by itself too. */
  claimDue(): Promise<void>;
  close(): Promise<void>;
}

/** Gas of a claim, for deciding when one is worth it. */
const CLAIM_GAS = 45_000n;
/** A claim should move at least this many times what it costs. */
const CLAIM_WORTH = 20n;

/** Opens the books, connects to the chain, and takes up what an earlier process left. */
export async function openPayments(options: PaymentsOptions): Promise<Payments> {
  const { store, clock, log, channels, chainId, exitDelay } = options;
  const settlement = { chainId, channels };
  const [chain, curve] = await Promise.all([Chain.open(options), loadCurve()]);
  const key = options.key.signingWith(curve.sign);
  const books = new Books(store);
  const totals = new Totals(books, clock);
  const shared = { books, totals, budget: new Budget(options.caps, totals) };
  const earnings = new Earnings({ ...options, key, settlement, chain, curve, minExitDelay: exitDelay }, shared);
  const transactions = new Transactions({
    ...options,
    key,
    client: chain.client,
    onMined: (purpose, receipt) => mined(purpose, receipt),
  });
  const calls = new ChannelCalls({ ...options, chain, transactions, self: key.nodeId });
  const spendings = new Spendings({
    ...options,
    key,
    settlement,
    curve,
    chain,
    openChannel: async ({ target, payee, token, amount }) => {
      await calls.open({ payee, token, amount, exitDelay }, { kind: "open", target, payee, token });
    },
  }, shared);

  const mined = async (purpose: Purpose, receipt: TransactionReceipt) => {
    if (purpose.kind === "topup" || purpose.kind === "exit") {
      return await spendings.refresh(purpose["channel"] as Hex32);
    }
    if (purpose.kind !== "open") return;
    const { target, payee, token } = purpose as Purpose & { target: string; payee: NodeId; token: NodeId };
    for (const { id, amount } of await calls.openedIn(receipt)) {
      await spendings.adopt(target, { channelId: id, provider: payee, token, deposit: wei(amount) });
    }
  };

  const custody = openCustody(options, { key, settlement, curve, chain, transactions });
  await Promise.all([
    totals.load(store),
    earnings.load(),
    spendings.load(),
    custody?.book.load(),
    custody?.keeper?.load(),
  ]);
  const resumed = await transactions.resume();
  for (const id of earnings.closing()) {
    if (!resumed.some(({ kind, channel }) => kind === "close" && channel === id)) await earnings.setClosing(id, false);
  }

  let claiming: Promise<unknown> = Promise.resolve();
  const oneAfterTheOther = <T>(work: () => Promise<T>): Promise<T> => {
    const result = claiming.catch(() => {}).then(work);
    claiming = result;
    return result;
  };

  const claim = (which: (one: ReturnType<Earnings["claimable"]>[number]) => boolean) =>
    oneAfterTheOther(async () => {
      const due = earnings.claimable().filter(which);
      if (due.length === 0) return undefined;
      const receipt = await calls.claim(due);
      await earnings.refreshAll();
      return receipt;
    });

  const claimDue = async () => {
    if (!chain.healthy()) return;
    await earnings.refreshAll();
    const gasPrice = await chain.read(() => chain.client.getGasPrice());
    const worth = options.rates.token === NATIVE_TOKEN ? CLAIM_GAS * gasPrice * CLAIM_WORTH : options.claimAt;
    await claim(({ unclaimed, exiting }) => exiting || unclaimed > worth);
  };

  const timer = setInterval(() => {
    claimDue().catch((error) => log.warn("Nothing was claimed", { error: toNodeError(error).message }));
  }, options.claimEveryMs);
  timer.unref();

  const admin = makeAdmin({ options, earnings, spendings, calls, chain, totals, custody, claim, oneAfterTheOther });
  return {
    earnings,
    spendings,
    admin,
    chain,
    calls,
    ...(custody?.keeper !== undefined && { keeper: custody.keeper }),
    // One that asks for none still signs releases of what it was given before.
    ...(custody !== undefined && { holder: custody.holder }),
    ...(custody?.challenger !== undefined && { challenger: custody.challenger }),
    claimDue,
    close: async () => {
      clearInterval(timer);
      const watching = [custody?.keeper?.close(), custody?.challenger?.close()];
      transactions.close();
      await Promise.all([spendings.close(), ...watching]);
      await Promise.allSettled([claiming]);
      await books.close();
      chain.close();
    },
  };
}

interface CustodyParts {
  readonly book: CustodyBook;
  readonly calls: AuditCalls;
  readonly holder: CustodyHolder;
  readonly keeper: CustodyKeeper | undefined;
  readonly challenger: CustodyChallenger | undefined;
}

/** How often at most it is looked how challenges stand: they take a day. */
const CHALLENGES_EVERY_MS = 600_000;

/** Both sides of custody; undefined where no Audit contract is known. */
function openCustody(
  { custody, store, clock, log, confirmations, pollMs, claimEveryMs, metrics = noMetrics }: PaymentsOptions,
  parts: {
    readonly key: NodeKey;
    readonly settlement: Settlement;
    readonly curve: Curve;
    readonly chain: Chain;
    readonly transactions: Transactions;
  },
): CustodyParts | undefined {
  if (custody === undefined) return undefined;
  const { audit, penalty, least, challenges = false } = custody;
  const site = { chainId: parts.settlement.chainId, audit };
  const book = new CustodyBook({ store, clock });
  const calls = new AuditCalls({ ...parts, audit });
  const shared = { ...parts, site, book, calls, store, clock, log, confirmations };
  const holder = new CustodyHolder({ ...shared, least });
  const everyMs = Math.min(CHALLENGES_EVERY_MS, claimEveryMs);
  return {
    book,
    calls,
    holder,
    challenger: challenges ? new CustodyChallenger({ ...shared, holder, metrics, everyMs }) : undefined,
    keeper: penalty === 0n ? undefined : new CustodyKeeper({ ...shared, penalty, watchMs: pollMs }),
  };
}

interface AdminParts {
  readonly custody: CustodyParts | undefined;
  readonly options: PaymentsOptions;
  readonly earnings: Earnings;
  readonly spendings: Spendings;
  readonly calls: ChannelCalls;
  readonly chain: Chain;
  readonly totals: Totals;
  claim(which: (one: ReturnType<Earnings["claimable"]>[number]) => boolean): Promise<TransactionReceipt | undefined>;
  oneAfterTheOther<T>(work: () => Promise<T>): Promise<T>;
}

function makeAdmin(parts: AdminParts): PaymentAdmin {
  const { options, earnings, spendings, calls, chain, totals, custody, claim, oneAfterTheOther } = parts;
  const { key, channels, chainId, clock } = options;
  const views = () => [...spendings.views(), ...earnings.views()];
  const tokens = new Tokens({ chain, clock });
  const dealtIn = () => {
    const all = [options.rates, ...views(), ...totals.list()].map(({ token }) => parseNodeId(token));
    return [...new Set([NATIVE_TOKEN, ...all])];
  };
  const creditOf = async (token: NodeId) => ({ token, amount: wei(await calls.credit(token)) });
  const find = (channelId: Hex32, role?: ChannelView["role"]): ChannelView => {
    const found = views().find((view) => view.channelId === channelId && (role === undefined || view.role === role));
    if (found !== undefined) return found;
    throw new NodeError(
      "not_found",
      `No channel ${channelId} ${role === "payee" ? "pays this node" : "is in the books"}`,
    );
  };
  const audited = () => {
    if (custody !== undefined) return custody;
    throw new NodeError("failed_precondition", "No Audit contract is configured: set payments.audit");
  };
  return {
    settlement: { chainId, channels },
    channels: views,
    totals: () => totals.list(),
    quotes: () => spendings.quotes(),
    offer: () => earnings.isFree ? Promise.resolve(undefined) : earnings.offer(),
    summary: async (): Promise<PaymentSummary> => {
      const [balance, ...credits] = await Promise.all([
        chain.read(() => chain.client.getBalance({ address: key.nodeId })),
        ...dealtIn().map(creditOf),
      ]);
      const own = parseNodeId(options.rates.token);
      return {
        chainId,
        channels,
        account: key.nodeId,
        balance: wei(balance),
        credit: credits.find(({ token }) => token === own)!.amount,
        credits,
        head: chain.head,
        healthy: chain.healthy(),
      };
    },
    tokens: () => Promise.all(dealtIn().filter((token) => token !== NATIVE_TOKEN).map((token) => tokens.of(token))),
    token: (address) => tokens.of(parseNodeId(address)),
    offerOf: (target, signal) => spendings.offerOf(target, signal),
    open: (target, amount, how) => spendings.open(target, amount, how),
    topUp: async (channelId, amount) => {
      const { token } = find(channelId);
      return shown(await calls.topUp(channelId, { token, amount }));
    },
    claim: async (channelId) => {
      await earnings.refreshAll();
      const receipt = await claim(({ voucher }) => channelId === undefined || voucher.channelId === channelId);
      return receipt && shown(receipt);
    },
    close: async (channelId) => {
      find(channelId, "payee");
      return await oneAfterTheOther(async () => {
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
    },
    exit: async (channelId) => {
      const { target, state } = find(channelId, "payer");
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
    },
    register: async ({ target, region, stake }) => {
      if (!/^[\x20-\x7e]{0,32}$/.test(region)) {
        throw new NodeError("invalid_argument", "A region is up to 32 printable ASCII characters, such as eu-west");
      }
      return shown(await calls.register({ target: parseTarget(target).name, region, stake }));
    },
    custody: () => custody?.book.views() ?? [],
    challenge: async (id) => {
      const { receipt, deadline } = await audited().holder.challenge(id);
      return { ...shown(receipt), deadline };
    },
    slash: async (id) => shown(await audited().holder.slash(id)),
    pledge: async (until) => shown(await audited().calls.pledge(until)),
    withdraw: async (token, { amount, to = key.nodeId, from = "channels" }) => {
      const contract = from === "channels"
        ? channels
        : from === "audit"
        ? options.custody?.audit
        : await custody?.calls.registry() ?? options.registry;
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
    },
  };
}

function shown({ transactionHash, gasUsed }: TransactionReceipt): MinedTransaction {
  return { hash: transactionHash, gasUsed };
}
