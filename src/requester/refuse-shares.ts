import { type LeftoverShard, NodeError, type StoredFile, type StoredShard, type Unshared } from "../core/mod.ts";
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
  const tell = async ({ index, target, providerId }: LeftoverShard): Promise<boolean> => {
    const limit = { timeoutMs: settings.stallMs, what: `Taking shares back at ${target}` };
    try {
      await withTimeout(
        signal,
        limit,
        (limited) => pool.at(target, providerId).refuse(shardIdOf(header, index), upTo, pool.call(limited)),
      );
      return true;
    } catch (error) {
      signal.throwIfAborted();
      // A shard that is gone cannot be read either; the next audit notes it.
      if (error instanceof NodeError && error.code === "not_found") return false;
      log.warn("A provider could not be told that shares were taken back; it is tried again with the next audit", {
        fileId: id,
        shard: index,
        provider: target,
        error: (error as Error).message,
      });
      pending.add(target);
      return false;
    }
  };
  const shards = file.shards.map(async (shard, index) => {
    if (!isOwed(file, shard) || !await tell({ ...shard, index })) return;
    await book.update(id, (now) => {
      const old = now.shards[index]!;
      return old.target === shard.target ? withShard(now, index, { ...old, refusedUpTo: upTo }) : undefined;
    });
  });
  // What a provider still has of a shard that was moved away from it is freed by the next audit, and may be read until then.
  await Promise.all([...shards, ...file.leftovers.map(tell)]);
  const places = [...file.shards.filter(isSomewhere), ...file.leftovers];
  const told = new Set(places.map(({ target }) => target));
  return { told: [...told].filter((target) => !pending.has(target)), pending: [...pending] };
}

function isOwed({ refusedUpTo = 0 }: StoredFile, shard: StoredShard): boolean {
  return isSomewhere(shard) && (shard.refusedUpTo ?? 0) < refusedUpTo;
}

function isSomewhere(shard: StoredShard): boolean {
  return shard.target !== "" && isHealthy(shard);
}
