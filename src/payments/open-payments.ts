import type { TransactionReceipt } from "viem";
import { type Hex32, type NodeId, type PaymentAdmin, wei } from "../core/mod.ts";
import { Admin } from "./admin.ts";
import { Books } from "./books.ts";
import { Budget } from "./budget.ts";
import { Chain } from "./chain.ts";
import { ChannelCalls } from "./channel-calls.ts";
import { Claims } from "./claims.ts";
import { loadCurve } from "./curve.ts";
import type { CustodyChallenger } from "./custody-challenger.ts";
import type { CustodyHolder } from "./custody-holder.ts";
import type { CustodyKeeper } from "./custody-keeper.ts";
import { Earnings } from "./earnings.ts";
import { openCustody } from "./open-custody.ts";
import type { PaymentsOptions } from "./payments-options.ts";
import { Spendings } from "./spendings.ts";
import { Totals } from "./totals.ts";
import { type Purpose, Transactions } from "./transactions.ts";

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

/** Opens the books, connects to the chain, and takes up what an earlier process left. */
export async function openPayments(options: PaymentsOptions): Promise<Payments> {
  const { store, clock, channels, chainId, exitDelay } = options;
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

  const claims = new Claims({ ...options, earnings, calls, chain, token: options.rates.token });
  const admin = new Admin({ options, earnings, spendings, calls, chain, totals, custody, claims });
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
    claimDue: () => claims.due(),
    close: async () => {
      claims.stop();
      const watching = [custody?.keeper?.close(), custody?.challenger?.close()];
      transactions.close();
      await Promise.all([spendings.close(), ...watching]);
      await claims.settled();
      await books.close();
      chain.close();
    },
  };
}
