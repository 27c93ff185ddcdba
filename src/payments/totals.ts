import { type Clock, type DayTotal, NATIVE_TOKEN, type NodeId, type PaymentStore, wei } from "../core/mod.ts";
import { type Books, fromText, toText } from "./books.ts";

type Direction = DayTotal["direction"];

const DAY_MS = 24 * 3_600_000;

/** What was spent and earned, by day, peer and token. */
export class Totals {
  readonly #books: Books;
  readonly #clock: Clock;
  readonly #totals = new Map<string, DayTotal>();
  readonly #tokens = new Set<NodeId>([NATIVE_TOKEN]);
  /** The day that was asked for last, in days since 1970 and as it is shown. */
  #day = { number: NaN, text: "" };

  constructor(books: Books, clock: Clock) {
    this.#books = books;
    this.#clock = clock;
  }

  async load(store: PaymentStore): Promise<void> {
    for (const [key, text] of await store.entries("total")) {
      // Entries of earlier versions name no token.
      const total: DayTotal = { token: NATIVE_TOKEN, ...fromText<Omit<DayTotal, "token">>(text) };
      this.#totals.set(key, total);
      this.#tokens.add(total.token);
    }
  }

  /** Counts an amount today, which may be negative when an earlier one is corrected, and has it written within moments. */
  add(
    direction: Direction,
    entry: { readonly peer: NodeId; readonly token: NodeId; readonly amount: bigint; readonly items: number },
  ): void {
    const { peer, token, amount, items } = entry;
    const day = this.today();
    const key = keyOf({ day, direction, peer, token });
    this.#tokens.add(token);
    const old = this.#totals.get(key);
    const sum = (old?.amount ?? 0n) + amount;
    this.#totals.set(key, {
      day,
      direction,
      peer,
      token,
      amount: wei(sum < 0n ? 0n : sum),
      items: Math.max(0, (old?.items ?? 0) + items),
    });
    this.#books.note("total", key, () => toText(this.#totals.get(key)));
  }

  /** Today's sum with one peer, as caps count: the smallest units of all tokens alike. */
  of(direction: Direction, peer: NodeId): bigint {
    const day = this.today();
    let sum = 0n;
    for (const token of this.#tokens) sum += this.#totals.get(keyOf({ day, direction, peer, token }))?.amount ?? 0n;
    return sum;
  }

  /** Today's sum with all peers, as caps count. */
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
    const number = Math.floor(this.#clock.now() / DAY_MS);
    if (number !== this.#day.number) {
      this.#day = { number, text: new Date(number * DAY_MS).toISOString().slice(0, 10) };
    }
    return this.#day.text;
  }
}

/** Entries in the chain's coin have the keys of earlier versions. */
function keyOf({ day, direction, peer, token }: Omit<DayTotal, "amount" | "items">): string {
  const key = `${day}!${direction}!${peer}`;
  return token === NATIVE_TOKEN ? key : `${key}!${token}`;
}
