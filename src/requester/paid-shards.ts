import {
  type ByteSpan,
  type CallContext,
  type CustodyRelease,
  type LeafProof,
  LEASE_REFUSED,
  NodeError,
  type NodeId,
  type PutShardOrder,
  QUOTE_EXPIRED,
  type QuoteTerms,
  type ShardBytes,
  type ShardCustody,
  type ShardId,
  type ShardLease,
  type ShardPage,
  type ShardReceipt,
  type ShardRecord,
  type ShardService,
  type ShardUsage,
  toNodeError,
} from "../core/mod.ts";
import type { LeaseOrder, StorageLedger, StorageOrder, StorageReservation } from "./file-ports.ts";

export interface PaidShardsOptions {
  readonly target: string;
  readonly provider: NodeId | undefined;
  readonly shards: ShardService;
  readonly ledger: StorageLedger;
}

/** What a receipt must be beside signed, so that its lease is paid. */
export interface Acceptance {
  /** Throws `target_misbehaved` with the reason {@link LEASE_REFUSED} for a receipt that is over something else than was sent. */
  readonly accept?: (receipt: ShardReceipt) => void;
}

/** What this node knows of a shard whose lease it renews. The provider's word alone would let it be paid for more. */
export interface KnownShard {
  readonly sizeBytes?: number;
  /** When the provider's newest lease of it ends. */
  readonly expiresAt?: number;
}

/** How long a provider may take to take back what is not paid. */
const TAKE_BACK_MS = 10_000;

/** A provider's shards, with the most that each operation may cost set aside before it begins and what was done paid after it. */
export class PaidShards implements ShardService {
  readonly #options: PaidShardsOptions;

  constructor(options: PaidShardsOptions) {
    this.#options = options;
  }

  put(
    source: AsyncIterable<Uint8Array>,
    { accept, ...order }: PutShardOrder & Acceptance,
    ctx: CallContext,
  ): Promise<ShardReceipt> {
    return this.#paid(
      { action: "put", lease: { id: order.id, ctx } },
      // An upload that was interrupted is charged once, whole, when it is finished.
      { bytes: order.maxBytes, durationMs: order.leaseMs },
      async (paid, reservation) => {
        const named = { ...order, ...termsOf(reservation) };
        const answer = await this.#options.shards.put(source, named, ctx);
        accept?.(answer);
        const receipt = checked(reservation, answer, order);
        return paid(receipt, { bytes: receipt.record.sizeBytes, durationMs: order.leaseMs });
      },
    );
  }

  get(id: ShardId, span: ByteSpan, ctx: CallContext): Promise<ShardBytes> {
    return withNewQuote(() =>
      this.#paid({ action: "get" }, { bytes: span.end - span.start, durationMs: 0 }, async (paid) => {
        const piece = await this.#options.shards.get(id, span, ctx);
        return paid(piece, { bytes: piece.bytes.length, durationMs: 0 });
      })
    );
  }

  async renew(
    id: ShardId,
    leaseMs: number,
    ctx: CallContext,
    known: QuoteTerms & Acceptance & KnownShard = {},
  ): Promise<ShardReceipt> {
    const { shards, target } = this.#options;
    const { sizeBytes, expiresAt } = await shards.stat(id, ctx);
    if (sizeBytes !== (known.sizeBytes ?? sizeBytes) || expiresAt < (known.expiresAt ?? 0)) {
      throw new NodeError(
        "target_misbehaved",
        `${target} says that shard ${id} has ${sizeBytes} bytes and is kept until ${expiresAt}, and has signed for ${known.sizeBytes} bytes until ${known.expiresAt}: its lease is not renewed`,
        { data: { target, reason: LEASE_REFUSED } },
      );
    }
    return await withNewQuote(() =>
      this.#paid(
        { action: "renew", lease: { id, ctx } },
        { bytes: sizeBytes, durationMs: leaseMs },
        async (paid, reservation) => {
          const answer = await shards.renew(id, leaseMs, ctx, termsOf(reservation));
          known.accept?.(answer);
          const receipt = checked(reservation, answer, { id, leaseMs });
          // Only the time that is added costs, and no more than was asked for.
          const durationMs = Math.min(leaseMs, Math.max(0, receipt.record.expiresAt - expiresAt));
          return paid(receipt, { bytes: sizeBytes, durationMs });
        },
      )
    );
  }

  refuseLease(id: ShardId, ctx: CallContext): Promise<void> {
    return this.#options.shards.refuseLease(id, ctx);
  }

  uploaded(id: ShardId, ctx: CallContext): Promise<number> {
    return this.#options.shards.uploaded(id, ctx);
  }

  prove(id: ShardId, leaves: readonly number[], ctx: CallContext): Promise<readonly LeafProof[]> {
    return this.#options.shards.prove(id, leaves, ctx);
  }

  refuse(id: ShardId, upTo: number, ctx: CallContext): Promise<void> {
    return this.#options.shards.refuse(id, upTo, ctx);
  }

  remove(
    id: ShardId,
    ctx: CallContext,
    options?: { readonly releases?: readonly CustodyRelease[] },
  ): Promise<void> {
    return this.#options.shards.remove(id, ctx, options);
  }

  custody(id: ShardId, lease: ShardLease, ctx: CallContext): Promise<ShardCustody> {
    return this.#options.shards.custody(id, lease, ctx);
  }

  stat(id: ShardId, ctx: CallContext): Promise<ShardRecord> {
    return this.#options.shards.stat(id, ctx);
  }

  list(page: { readonly pageSize: number; readonly pageToken: string }, ctx: CallContext): Promise<ShardPage> {
    return this.#options.shards.list(page, ctx);
  }

  usage(ctx: CallContext): Promise<ShardUsage> {
    return this.#options.shards.usage(ctx);
  }

  async #paid<T>(
    { action, lease }: {
      readonly action: StorageOrder["action"];
      /** The shard that a lease is given of, by which call. */
      readonly lease?: { readonly id: ShardId; readonly ctx: CallContext };
    },
    most: Used,
    work: (paid: (result: T, used: Used) => Done<T>, reservation: StorageReservation) => Promise<Done<T>>,
  ): Promise<T> {
    const { target, provider, ledger, shards } = this.#options;
    const reservation = await ledger.reserve({ target, provider, action, ...most });
    let done: Done<T>;
    try {
      done = await work((result, used) => ({ result, used }), reservation);
    } catch (error) {
      if (lease === undefined || !isLeaseRefused(error)) reservation.release(error);
      else {
        const ctx = { ...lease.ctx, signal: AbortSignal.timeout(TAKE_BACK_MS) };
        await reservation.refuse(() => shards.refuseLease(lease.id, ctx));
      }
      throw error;
    }
    await reservation.commit(done.used);
    return done.result;
  }
}

/** How often an operation is begun: by the quote that was there, then by one that was asked for, and by another should that be late too. */
export const QUOTE_TRIES = 3;

/** Does again, with money set aside anew within the caps, what a provider refused because the quote for it was over. */
export async function withNewQuote<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1;; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries === QUOTE_TRIES || !isQuoteExpired(error)) throw error;
    }
  }
}

/** Whether a provider refused something because the quote for it was over. */
export function isQuoteExpired(error: unknown): boolean {
  const { code, data } = toNodeError(error);
  return code === "payment_required" && data["reason"] === QUOTE_EXPIRED;
}

/** Whether a receipt is not what was asked for. */
export function isLeaseRefused(error: unknown): boolean {
  return toNodeError(error).data["reason"] === LEASE_REFUSED;
}

function termsOf({ quote }: StorageReservation): QuoteTerms {
  return quote === undefined ? {} : { quote };
}

/** The receipt with the lease that was found good, and with none that nobody has looked at. */
function checked(reservation: StorageReservation, receipt: ShardReceipt, order: LeaseOrder): ShardReceipt {
  const lease = reservation.checkLease(receipt, order);
  const { lease: _unchecked, ...rest } = receipt;
  return lease === undefined ? rest : { ...rest, lease };
}

interface Used {
  readonly bytes: number;
  readonly durationMs: number;
}

interface Done<T> {
  readonly result: T;
  readonly used: Used;
}
