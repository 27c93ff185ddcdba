import {
  type Clock,
  type DayTotal,
  NATIVE_TOKEN,
  type NodeId,
  type PaymentStore,
  type Wei,
  wei,
  ZERO_WEI,
} from "../core/mod.ts";
import { type BookEntry, type Books, fromText, toText } from "./books.ts";

type Direction = DayTotal["direction"];

const DAY_MS = 24 * 3_600_000;

/** What was spent on one day with one peer in one token, or earned. */
class Total implements BookEntry {
  readonly kind = "total";
  readonly key: string;
  readonly #of: Pick<DayTotal, "day" | "direction" | "peer" | "token">;
  amount: Wei;
  items: number;

  constructor({ amount, items, ...of }: DayTotal) {
    this.key = keyOf(of);
    this.#of = of;
    this.amount = amount;
    this.items = items;
  }

  get view(): DayTotal {
    return { ...this.#of, amount: this.amount, items: this.items };
  }

  text(): string {
    return toText(this.view);
  }
}

/** The present day's, with one peer. */
interface PeerDay {
  /** As caps count: the smallest units of all tokens alike. */
  sum: bigint;
  readonly byToken: Map<NodeId, Total>;
}

interface Today {
  /** With all peers, as caps count. */
  sum: bigint;
  readonly byPeer: Map<NodeId, PeerDay>;
}

/** What was spent and earned, by day, peer and token. */
export class Totals {
  readonly #books: Books;
  readonly #clock: Clock;
  readonly #totals = new Map<string, Total>();
  /** The day that was asked for last, in days since 1970 and as it is shown. */
  #day = { number: NaN, text: "" };
  #today: Readonly<Record<Direction, Today>> = { spent: emptyDay(), earned: emptyDay() };

  constructor(books: Books, clock: Clock) {
    this.#books = books;
    this.#clock = clock;
  }

  async load(store: PaymentStore): Promise<void> {
    for (const [, text] of await store.entries("total")) {
      // Entries of earlier versions name no token.
      const total = new Total({ token: NATIVE_TOKEN, ...fromText<Omit<DayTotal, "token">>(text) });
      this.#totals.set(total.key, total);
    }
    this.#begin(this.#day.number);
  }

  /** Counts an amount today, which may be negative when an earlier one is corrected, and has it written within moments. */
  add(
    direction: Direction,
    { peer, token, amount, items }: {
      readonly peer: NodeId;
      readonly token: NodeId;
      readonly amount: bigint;
      readonly items: number;
    },
  ): void {
    const today = this.#now()[direction];
    const withPeer = today.byPeer.get(peer) ?? peerOf(today, peer);
    const total = withPeer.byToken.get(token) ?? this.#open({ day: this.#day.text, direction, peer, token });
    const before = total.amount;
    const sum = before + amount;
    total.amount = wei(sum < 0n ? 0n : sum);
    total.items = Math.max(0, total.items + items);
    const moved = total.amount - before;
    withPeer.sum += moved;
    today.sum += moved;
    this.#books.note(total);
  }

  /** Today's sum with one peer, as caps count: the smallest units of all tokens alike. */
  of(direction: Direction, peer: NodeId): bigint {
    return this.#now()[direction].byPeer.get(peer)?.sum ?? 0n;
  }

  /** Today's sum with all peers, as caps count. */
  sum(direction: Direction): bigint {
    return this.#now()[direction].sum;
  }

  /** All of them, the newest day first. */
  list(): readonly DayTotal[] {
    return Array.from(this.#totals.values(), ({ view }) => view).sort((a, b) =>
      b.day.localeCompare(a.day) || a.peer.localeCompare(b.peer)
    );
  }

  #now(): Readonly<Record<Direction, Today>> {
    const number = Math.floor(this.#clock.now() / DAY_MS);
    if (number !== this.#day.number) this.#begin(number);
    return this.#today;
  }

  /** Sums up what is there of a day, which is the present one from now on. */
  #begin(number: number): void {
    this.#day = { number, text: Number.isNaN(number) ? "" : new Date(number * DAY_MS).toISOString().slice(0, 10) };
    this.#today = { spent: emptyDay(), earned: emptyDay() };
    for (const total of this.#totals.values()) {
      if (total.view.day === this.#day.text) this.#count(total);
    }
  }

  #open(of: Pick<DayTotal, "day" | "direction" | "peer" | "token">): Total {
    const total = new Total({ ...of, amount: ZERO_WEI, items: 0 });
    this.#totals.set(total.key, total);
    this.#count(total);
    return total;
  }

  #count(total: Total): void {
    const { direction, peer, token } = total.view;
    const today = this.#today[direction];
    const withPeer = peerOf(today, peer);
    withPeer.byToken.set(token, total);
    withPeer.sum += total.amount;
    today.sum += total.amount;
  }
}

function emptyDay(): Today {
  return { sum: 0n, byPeer: new Map() };
}

function peerOf({ byPeer }: Today, peer: NodeId): PeerDay {
  let found = byPeer.get(peer);
  if (found === undefined) byPeer.set(peer, found = { sum: 0n, byToken: new Map() });
  return found;
}

/** Entries in the chain's coin have the keys of earlier versions. */
function keyOf({ day, direction, peer, token }: Omit<DayTotal, "amount" | "items">): string {
  const key = `${day}!${direction}!${peer}`;
  return token === NATIVE_TOKEN ? key : `${key}!${token}`;
}
