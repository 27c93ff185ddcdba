import { NodeError, type StoredFile, type StoredShard, type Unshared } from "../core/mod.ts";
import type { FileKit } from "./file-kit.ts";
import { isHealthy, withShard } from "./file-state.ts";
import { openShards } from "./open-file.ts";
import { shardIdOf } from "./shard-ids.ts";
import { withTimeout } from "./with-timeout.ts";

/** Whether a provider of a file's shards is still to be told that shares were taken back. */
export function owesRefusals(file: StoredFile): boolean {
  return file.phase === "kept" && file.sharedBy === undefined && file.shards.some((shard) => isOwed(file, shard));
}

/**
 * Tells the providers of a file's shards, where they do not know it yet, up to which end they are to refuse capabilities, and notes who does. Those that
 * cannot be reached are told with a later audit, new ones of a repair right after it.
 */
export async function refuseShares(kit: FileKit, id: string, signal: AbortSignal): Promise<Unshared> {
  const { book, pool, settings, log } = kit;
  const file = await book.find({ id });
  const upTo = file.refusedUpTo ?? 0;
  const { header } = await openShards(kit, file);
  const pending = new Set<string>();
  await Promise.all(file.shards.map(async (shard, index) => {
    if (!isOwed(file, shard)) return;
    const { target, providerId } = shard;
    const limit = { timeoutMs: settings.stallMs, what: `Taking shares back at ${target}` };
    try {
      await withTimeout(
        signal,
        limit,
        (limited) => pool.at(target, providerId).refuse(shardIdOf(header, index), upTo, pool.call(limited)),
      );
    } catch (error) {
      signal.throwIfAborted();
      // A shard that is gone cannot be read either; the next audit notes it.
      if (error instanceof NodeError && error.code === "not_found") return;
      log.warn("A provider could not be told that shares were taken back; it is tried again with the next audit", {
        fileId: id,
        shard: index,
        provider: target,
        error: (error as Error).message,
      });
      pending.add(target);
      return;
    }
    await book.update(id, (now) => {
      const old = now.shards[index]!;
      return old.target === target ? withShard(now, index, { ...old, refusedUpTo: upTo }) : undefined;
    });
  }));
  const told = new Set(file.shards.filter(isSomewhere).map(({ target }) => target));
  return { told: [...told].filter((target) => !pending.has(target)), pending: [...pending] };
}

function isOwed({ refusedUpTo = 0 }: StoredFile, shard: StoredShard): boolean {
  return isSomewhere(shard) && (shard.refusedUpTo ?? 0) < refusedUpTo;
}

function isSomewhere(shard: StoredShard): boolean {
  return shard.target !== "" && isHealthy(shard);
}
