import { type Clock, type DayTotal, type NodeId, type PaymentStore, wei, ZERO_WEI } from "../core/mod.ts";
import { type Books, fromText, toText } from "./books.ts";

type Direction = DayTotal["direction"];

/** What was spent and earned, by day and peer. */
export class Totals {
  readonly #books: Books;
  readonly #clock: Clock;
  readonly #totals = new Map<string, DayTotal>();

  constructor(books: Books, clock: Clock) {
    this.#books = books;
    this.#clock = clock;
  }

  async load(store: PaymentStore): Promise<void> {
    for (const [key, text] of await store.entries("total")) this.#totals.set(key, fromText(text));
  }

  /** Counts an amount today, which may be negative when an earlier one is corrected, and has it written within moments. */
  add(
    direction: Direction,
    entry: { readonly peer: NodeId; readonly amount: bigint; readonly items: number },
  ): void {
    const { peer, amount, items } = entry;
    const day = this.today();
    const key = `${day}!${direction}!${peer}`;
    const old = this.#totals.get(key);
    const sum = (old?.amount ?? 0n) + amount;
    this.#totals.set(key, {
      day,
      direction,
      peer,
      amount: wei(sum < 0n ? 0n : sum),
      items: (old?.items ?? 0) + items,
    });
    this.#books.note("total", key, () => toText(this.#totals.get(key)));
  }

  /** Today's sum with one peer. */
  of(direction: Direction, peer: NodeId) {
    return this.#totals.get(`${this.today()}!${direction}!${peer}`)?.amount ?? ZERO_WEI;
  }

  /** Today's sum with all peers. */
  sum(direction: Direction): bigint {
    const day = this.today();
    let sum = 0n;
    for (const total of this.#totals.values()) {
      if (total.day === day && total.direction === direction) sum += total.amount;
    }
    return sum;
  }

  /** All of them, the newest day first. */
  list(): readonly DayTotal[] {
    return [...this.#totals.values()].sort((a, b) => b.day.localeCompare(a.day) || a.peer.localeCompare(b.peer));
  }

  today(): string {
    return new Date(this.#clock.now()).toISOString().slice(0, 10);
  }
}
