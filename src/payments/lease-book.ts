import {
  type Clock,
  type Hex32,
  type KeptQuote,
  LEASE_REFUSED,
  MAX_SKEW_MS,
  NodeError,
  type PaymentStore,
  type Quote,
  quoteDigest,
  type Settlement,
  type ShardId,
  type ShardLease,
  shardLeaseDigest,
  type ShardReceipt,
  type SignedQuote,
  toHex,
} from "../core/mod.ts";
import { type Books, fromText, toText } from "./books.ts";
import type { Curve } from "./curve.ts";
import { isSigner } from "./offer-book.ts";

/** A quote as it is stored under its digest; `test/vectors/payments.json` pins the form. */
interface StoredQuote extends SignedQuote {
  readonly v: 1;
  readonly keepUntil: number;
}

/** What a lease must be. */
export interface LeaseTerms {
  /** The provider, as `host:port`. */
  readonly target: string;
  /** By which it may be, the one that was agreed first. */
  readonly quotes: readonly { readonly quote: Quote; readonly signature: Uint8Array }[];
  readonly id: ShardId;
  readonly leaseMs: number;
  /** When it was asked for. */
  readonly askedAt: number;
}

export interface LeaseBookOptions {
  readonly settlement: Settlement;
  readonly curve: Curve;
  readonly clock: Clock;
  readonly store: PaymentStore;
}

/**
 * Checks the leases that providers sign, and keeps the quotes that they name: a lease holds the digest alone, and shows what was agreed only
 * together with its quote.
 */
export class LeaseBook {
  readonly #options: LeaseBookOptions;
  readonly #books: Books;
  /** Until when each quote is kept. */
  readonly #kept = new Map<Hex32, number>();

  constructor(options: LeaseBookOptions, books: Books) {
    this.#options = options;
    this.#books = books;
  }

  /** Reads which quotes are kept, and drops those whose leases are over. */
  async load(): Promise<void> {
    const { store, clock } = this.#options;
    for (const [key, text] of await store.entries("quote")) {
      const { keepUntil } = fromText<StoredQuote>(text);
      if (keepUntil < clock.now()) this.#books.note({ kind: "quote", key, text: () => undefined });
      else this.#kept.set(key as Hex32, keepUntil);
    }
  }

  /**
   * The lease of a receipt, and the quote that it is by; `kept` is when that quote is with the system. Throws `target_misbehaved` when there is none, and when it is another than was agreed:
   * by another quote or key, over another shard, shorter, or granted at another time.
   */
  check(
    receipt: ShardReceipt,
    terms: LeaseTerms,
  ): { readonly lease: ShardLease; readonly quote: Quote; readonly kept: Promise<void> } {
    const { settlement, curve, clock } = this.#options;
    const { lease, record } = receipt;
    const { target, id, leaseMs, askedAt } = terms;
    const refuse = (why: string) =>
      new NodeError("target_misbehaved", `The lease of shard ${id} at ${target} is refused: ${why}`, {
        data: { target, shard: id, reason: LEASE_REFUSED },
      });
    if (lease === undefined) throw refuse("the provider is paid and signed none");
    const by = terms.quotes.find(({ quote }) => toHex(quoteDigest(settlement, quote)) === lease.quote);
    if (by === undefined) throw refuse(`it is by the quote ${lease.quote}, which is not the one that was agreed`);
    if (record.id !== id) throw refuse(`it is for shard ${record.id}`);
    if (lease.startsAt < askedAt - MAX_SKEW_MS || lease.startsAt > clock.now() + MAX_SKEW_MS) {
      throw refuse(`it begins at ${timeText(lease.startsAt)}, and it was asked for at ${timeText(askedAt)}`);
    }
    const lastsMs = record.expiresAt - lease.startsAt;
    if (lastsMs < leaseMs) throw refuse(`it lasts ${lastsMs} ms, and ${leaseMs} ms were asked for`);
    const { provider } = by.quote;
    if (!isSigner(curve, shardLeaseDigest(settlement, record, lease), lease.signature, provider)) {
      throw refuse(`it is not signed by ${provider} over the shard's root, size and time`);
    }
    return { lease, quote: by.quote, kept: this.#keep(lease.quote, by, record.expiresAt) };
  }

  /** The quotes that are kept. */
  async list(): Promise<readonly KeptQuote[]> {
    return (await this.#options.store.entries("quote")).map(([digest, text]) => {
      const { v: _form, ...stored } = fromText<StoredQuote>(text);
      return { ...stored, digest: digest as Hex32 };
    });
  }

  async #keep(
    digest: Hex32,
    { quote, signature }: { readonly quote: Quote; readonly signature: Uint8Array },
    expiresAt: number,
  ): Promise<void> {
    if ((this.#kept.get(digest) ?? 0) >= expiresAt) return;
    // Leases by one quote begin before it ends, so that one entry does for most of them.
    const keepUntil = Math.max(expiresAt, expiresAt + (quote.expiresAt - this.#options.clock.now()));
    const kept: StoredQuote = { v: 1, settlement: this.#options.settlement, quote, signature, keepUntil };
    await this.#books.touch({ kind: "quote", key: digest, text: () => toText(kept) });
    this.#kept.set(digest, keepUntil);
  }
}

/** A time for a message; a provider may claim any number. */
function timeText(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? `${ms} ms` : date.toISOString();
}
