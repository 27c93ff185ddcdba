import type {
  ByteSpan,
  CallContext,
  LeafProof,
  NodeId,
  PutShardOrder,
  ShardBytes,
  ShardId,
  ShardPage,
  ShardReceipt,
  ShardRecord,
  ShardService,
  ShardUsage,
} from "../core/mod.ts";
import type { StorageLedger, StorageOrder } from "./file-ports.ts";

export interface PaidShardsOptions {
  readonly target: string;
  readonly provider: NodeId | undefined;
  readonly shards: ShardService;
  readonly ledger: StorageLedger;
}

/** A provider's shards, with the most that each operation may cost set aside before it begins and what was done paid after it. */
export class PaidShards implements ShardService {
  readonly #options: PaidShardsOptions;

  constructor(options: PaidShardsOptions) {
    this.#options = options;
  }

  put(source: AsyncIterable<Uint8Array>, order: PutShardOrder, ctx: CallContext): Promise<ShardReceipt> {
    return this.#paid(
      "put",
      { bytes: order.maxBytes - (order.offset ?? 0), durationMs: order.leaseMs },
      async (paid) => {
        const receipt = await this.#options.shards.put(source, order, ctx);
        return paid(receipt, receipt.record.sizeBytes - (order.offset ?? 0));
      },
    );
  }

  get(id: ShardId, span: ByteSpan, ctx: CallContext): Promise<ShardBytes> {
    return this.#paid("get", { bytes: span.end - span.start, durationMs: 0 }, async (paid) => {
      const piece = await this.#options.shards.get(id, span, ctx);
      return paid(piece, piece.bytes.length);
    });
  }

  async renew(id: ShardId, leaseMs: number, ctx: CallContext): Promise<ShardReceipt> {
    const { shards } = this.#options;
    const { sizeBytes } = await shards.stat(id, ctx);
    return await this.#paid("renew", { bytes: sizeBytes, durationMs: leaseMs }, async (paid) => {
      const receipt = await shards.renew(id, leaseMs, ctx);
      return paid(receipt, receipt.record.sizeBytes);
    });
  }

  uploaded(id: ShardId, ctx: CallContext): Promise<number> {
    return this.#options.shards.uploaded(id, ctx);
  }

  prove(id: ShardId, leaves: readonly number[], ctx: CallContext): Promise<readonly LeafProof[]> {
    return this.#options.shards.prove(id, leaves, ctx);
  }

  remove(id: ShardId, ctx: CallContext): Promise<void> {
    return this.#options.shards.remove(id, ctx);
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
    action: StorageOrder["action"],
    most: { readonly bytes: number; readonly durationMs: number },
    work: (paid: (result: T, bytes: number) => { result: T; bytes: number }) => Promise<{ result: T; bytes: number }>,
  ): Promise<T> {
    const { target, provider, ledger } = this.#options;
    const reservation = ledger.reserve({ target, provider, action, ...most });
    let done: { result: T; bytes: number };
    try {
      done = await work((result, bytes) => ({ result, bytes }));
    } catch (error) {
      reservation.release();
      throw error;
    }
    await reservation.commit({ bytes: done.bytes, durationMs: most.durationMs });
    return done.result;
  }
}
