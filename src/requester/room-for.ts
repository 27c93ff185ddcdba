import type { FilePolicy } from "../core/mod.ts";
import { fileLayout, LEAF_BYTES, MAX_FILE_BYTES } from "../codec/mod.ts";
import type { FileKit } from "./file-kit.ts";
import type { Candidate } from "./provider-pool.ts";
import { withTimeout } from "./with-timeout.ts";

export interface RoomOptions {
  readonly policy: FilePolicy;
  /** At each shard's place its provider. */
  readonly providers: readonly Candidate[];
  readonly signal: AbortSignal;
}

/**
 * The size that providers are told of each shard of a file whose length is not known: a provider sets aside what it is told, so it is no more
 * than half of what the fullest of them has free, shared by all shards that go to it.
 */
export async function roomFor(kit: FileKit, { policy, providers, signal }: RoomOptions): Promise<number> {
  const { pool, settings } = kit;
  const wanted = fileLayout(Math.min(settings.unknownSizeBytes, MAX_FILE_BYTES), policy).shardBytes;
  const shards = new Map<string, number>();
  for (const { target } of providers) shards.set(target, (shards.get(target) ?? 0) + 1);
  const rooms = await Promise.all([...shards].map(async ([target, count]) => {
    const limit = { timeoutMs: settings.stallMs, what: `Asking ${target} for room` };
    try {
      const { freeBytes } = await withTimeout(
        signal,
        limit,
        (limited) => pool.at(target, undefined).usage(pool.call(limited)),
      );
      return freeBytes / 2 / count;
    } catch {
      signal.throwIfAborted();
      // Whether it takes the shard will show.
      return Infinity;
    }
  }));
  const room = Math.floor(Math.min(wanted, ...rooms) / LEAF_BYTES) * LEAF_BYTES;
  return Math.max(room, LEAF_BYTES);
}
