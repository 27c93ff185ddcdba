import type { Clock, PaymentStore, TaskKey } from "../core/mod.ts";
import { Books, fromText } from "./books.ts";
import { EarningAccount, type EarningState, taskOfDue } from "./earning-account.ts";
import { Totals } from "./totals.ts";

/** What charging what is due needs. */
export interface DueParts {
  readonly books: Books;
  readonly totals: Totals;
  readonly clock: Clock;
  /** Whether the end of a task is stored. */
  readonly hasEnded: (task: TaskKey) => Promise<boolean>;
}

/**
 * Charges the tasks of an account that had ended, but were not charged, when the process ended. The others are forgotten: they are run again,
 * and charged then.
 */
export async function chargeDue(account: EarningAccount, { books, totals, clock, hasEnded }: DueParts): Promise<void> {
  const { due, chain } = account.state;
  if (due === undefined) return;
  for (const [task, charge] of Object.entries(due)) {
    if (!await hasEnded(taskOfDue(task))) {
      account.forget(task);
      continue;
    }
    const amount = account.settleDue(task, charge, clock.now());
    totals.add("earned", { peer: chain.payer, token: chain.token, amount, items: 1 });
  }
  await books.touch(account);
}

/**
 * Charges what is due in the books of a node that starts without its chain: it takes no payments then, but while it runs the records of the
 * tasks go, and nothing would be left to tell that they had ended.
 */
export async function chargeDueWithoutChain(
  store: PaymentStore,
  { clock, hasEnded }: Pick<DueParts, "clock" | "hasEnded">,
): Promise<void> {
  const accounts = (await store.entries("earning")).map(([, text]) => new EarningAccount(fromText<EarningState>(text)));
  if (!accounts.some(({ state }) => state.due !== undefined)) return;
  const books = new Books(store);
  const totals = new Totals(books, clock);
  await totals.load(store);
  for (const account of accounts) await chargeDue(account, { books, totals, clock, hasEnded });
  await books.close();
}
