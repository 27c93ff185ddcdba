/**
 * What the books of payments hold: channels that pay this node and that it pays, totals by day and peer, transactions, and the quotes that
 * leases of this node's shards are by, custody statements, and how far the challenges of them were read.
 */
export type PaymentKind = "earning" | "spending" | "total" | "transaction" | "quote" | "custody" | "audit";

/** One change of the books; without a text the entry goes. */
export interface PaymentChange {
  readonly kind: PaymentKind;
  readonly key: string;
  readonly text: string | undefined;
}

/** Keeps the books of payments, as JSON texts by kind and key. */
export interface PaymentStore {
  /** All entries of a kind, in the order of their keys. */
  entries(kind: PaymentKind): Promise<[key: string, text: string][]>;
  /** Applies changes, all or none, after all earlier ones. With `durable` it returns when they would survive a power cut. */
  write(changes: readonly PaymentChange[], options: { readonly durable: boolean }): Promise<void>;
}
