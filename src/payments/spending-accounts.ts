import {
  countsOtherwise,
  type Hex32,
  type NodeId,
  type PaymentStore,
  type SignedAccount,
  type Wei,
  ZERO_WEI,
} from "../core/mod.ts";
import { type Books, changeOf, fromText } from "./books.ts";
import type { Held } from "./budget.ts";
import { SpendingAccount, type SpendingState } from "./spending-account.ts";
import type { Totals } from "./totals.ts";

/** The accounts of all channels that this node pays on, in the books; what moves them is counted in the totals. */
export class SpendingAccounts {
  readonly #books: Books;
  readonly #totals: Totals;
  /** By target, the one that it is paid on. */
  readonly #current = new Map<string, SpendingAccount>();
  /** Channels that were used before with a target, or that ended. */
  readonly #old = new Map<Hex32, SpendingAccount>();
  /** Those that an earlier process left, and whose books were not found equal to the provider's since. */
  readonly #loaded = new Set<SpendingAccount>();

  constructor({ books, totals }: { readonly books: Books; readonly totals: Totals }) {
    this.#books = books;
    this.#totals = totals;
  }

  /** Reads the books. A quote from before this node came to count by `costTable`, or kept its signature, is asked for again. */
  async load(store: PaymentStore, costTable: number): Promise<void> {
    for (const [, text] of await store.entries("spending")) {
      const { quote, quoteSignature, ...books } = fromText<SpendingState>(text);
      const isGood = quote !== undefined && quoteSignature !== undefined && !countsOtherwise(quote, costTable);
      const account = new SpendingAccount(isGood ? { ...books, quote, quoteSignature } : books);
      const { state, target, channelId } = account.state;
      this.#loaded.add(account);
      if (state === "open" && !this.#current.has(target)) this.#current.set(target, account);
      else this.#old.set(channelId, account);
    }
  }

  /** The account that a target is paid on. */
  of(target: string): SpendingAccount | undefined {
    return this.#current.get(target);
  }

  find(channelId: Hex32): SpendingAccount | undefined {
    for (const account of this.#current.values()) if (account.state.channelId === channelId) return account;
    return this.#old.get(channelId);
  }

  /** Those that targets are paid on, as they are while this is gone through. */
  current(): Iterable<readonly [target: string, account: SpendingAccount]> {
    return this.#current;
  }

  all(): readonly SpendingAccount[] {
    return [...this.#current.values(), ...this.#old.values()];
  }

  /** An account on which this provider charged too much. */
  cheatedBy(provider: NodeId): SpendingAccount | undefined {
    return this.all().find(({ state }) => state.cheated === true && state.provider === provider);
  }

  /** One that is open and pays this provider in this token, at whatever address. */
  openWith(provider: NodeId, token: NodeId): SpendingAccount | undefined {
    return [...this.#current.values()].find(({ state }) =>
      state.provider === provider && state.state === "open" && state.token === token
    );
  }

  /** Takes a channel into the books, as the one to pay a target on. */
  async adopt(
    target: string,
    channel: Pick<SpendingState, "channelId" | "provider" | "token" | "deposit">,
  ): Promise<void> {
    if (this.find(channel.channelId) !== undefined) return;
    const account = new SpendingAccount({
      ...channel,
      target,
      signed: ZERO_WEI,
      acknowledged: ZERO_WEI,
      spent: ZERO_WEI,
      items: 0,
      state: "open",
    });
    await this.commit(account);
    this.#payOn(account, target);
  }

  /** Has a target paid on the account of another, which is the same node. */
  async move(account: SpendingAccount, target: string): Promise<void> {
    this.#current.delete(account.state.target);
    account.change({ target });
    this.#payOn(account, target);
    await this.commit(account);
  }

  /** Has a target paid on this account from now on; the one before stays in the books. */
  #payOn(account: SpendingAccount, target: string): void {
    const before = this.#current.get(target);
    if (before !== undefined && before !== account) this.#old.set(before.state.channelId, before);
    this.#current.set(target, account);
  }

  /** What is held for all other channels than this one's. */
  heldBeside(account: SpendingAccount): Held {
    let [peer, all] = [0n, 0n];
    for (const accounts of [this.#current, this.#old]) {
      for (const other of accounts.values()) {
        if (other === account) continue;
        const held = other.held(0n);
        all += held;
        if (other.state.provider === account.state.provider) peer += held;
      }
    }
    return { peer, all };
  }

  /** Notes that work for which `max` was set aside cost `charge`. */
  spend(account: SpendingAccount, max: Wei, charge: Wei): void {
    const amount = account.commit(max, charge);
    const { provider: peer, token } = account.state;
    this.#totals.add("spent", { peer, token, amount: account.hasEnded ? 0n : amount, items: 1 });
    // What a crash loses of it the provider's next receipt tells; nothing beyond what was signed can be lost.
    this.#books.note(account);
  }

  /** Compares books with the provider's word, as {@link SpendingAccount.reconcile} does. The caller commits. */
  reconcile(account: SpendingAccount, said: SignedAccount, sinceVersion: number): void {
    const moved = account.reconcile(said, { afterRestart: this.#loaded.has(account), sinceVersion });
    if (moved === undefined) return;
    this.#loaded.delete(account);
    if (moved === 0n || account.hasEnded) return;
    const { provider, token } = account.state;
    this.#totals.add("spent", { peer: provider, token, amount: moved, items: 0 });
  }

  /**
   * Notes and commits what the chain says of a channel. Of one that ends what was signed counts as spent: what was paid ahead is the provider's,
   * and more it never gets.
   */
  async note(account: SpendingAccount, changes: Pick<Partial<SpendingState>, "deposit" | "state">): Promise<void> {
    const { signed, spent, provider, token } = account.state;
    if (!account.hasEnded && (changes.state === "exiting" || changes.state === "closed")) {
      this.#totals.add("spent", { peer: provider, token, amount: signed - spent, items: 0 });
    }
    account.change(changes);
    await this.commit(account);
  }

  /** Writes an account, so that it survives a power cut. */
  commit(account: SpendingAccount): Promise<void> {
    return this.#books.commit([changeOf(account)]);
  }
}
