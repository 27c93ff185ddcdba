import type {
  Bandwidth,
  ByteSpan,
  CallContext,
  PutShardOrder,
  ShardBytes,
  ShardId,
  ShardReceipt,
} from "../core/mod.ts";
import type { ShardProvider } from "./shard-provider.ts";

export interface PacedShardsOptions {
  /** What others may send. */
  readonly in: Bandwidth;
  /** What others may be sent. */
  readonly out: Bandwidth;
}

/** Longer reads wait no longer than this before they begin, in milliseconds: who asks would take the node for gone. */
const MAX_WAIT_MS = 10_000;

/** A provider whose shards come and go no faster than the node's bandwidth allows, together and for each requester. */
export function paceShards(shards: ShardProvider, bandwidth: PacedShardsOptions): ShardProvider {
  return {
    put: (source: AsyncIterable<Uint8Array>, order: PutShardOrder, ctx: CallContext): Promise<ShardReceipt> =>
      shards.put(bandwidth.in.pace(source, { peer: peerOf(ctx), signal: ctx.signal }), order, ctx),
    get: async (id: ShardId, span: ByteSpan, ctx: CallContext): Promise<ShardBytes> => {
      const wanted = span.end - span.start;
      // A wrong range is refused by the provider itself, and takes nothing.
      if (wanted > 0) {
        await bandwidth.out.take(wanted, { peer: peerOf(ctx), signal: ctx.signal, maxWaitMs: MAX_WAIT_MS });
      }
      return await shards.get(id, span, ctx);
    },
    uploaded: (id, ctx) => shards.uploaded(id, ctx),
    prove: (id, leaves, ctx) => shards.prove(id, leaves, ctx),
    renew: (id, leaseMs, ctx, terms) => shards.renew(id, leaseMs, ctx, terms),
    refuseLease: (id, ctx) => shards.refuseLease(id, ctx),
    refuse: (id, upTo, ctx) => shards.refuse(id, upTo, ctx),
    remove: (id, ctx, options) => shards.remove(id, ctx, options),
    custody: (id, lease, ctx) => shards.custody(id, lease, ctx),
    stat: (id, ctx) => shards.stat(id, ctx),
    list: (page, ctx) => shards.list(page, ctx),
    usage: (ctx) => shards.usage(ctx),
    close: () => shards.close(),
  };
}

function peerOf({ requester }: CallContext): string {
  return requester.toLowerCase();
}
