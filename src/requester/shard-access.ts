import { type ByteSpan, inRequest, type NodeError, type StoredShard, toNodeError } from "../core/mod.ts";
import type { ShardPiece, ShardReader } from "../codec/mod.ts";
import type { FileKit } from "./file-kit.ts";
import { isHealthy } from "./file-state.ts";
import type { OpenedShards } from "./open-file.ts";
import type { ReadPace } from "./read-pace.ts";
import { shardIdOf } from "./shard-ids.ts";
import { withTimeout } from "./with-timeout.ts";

/**
 * Readers of the shards of a file that are there, at their places, without those that are not to be read; for a request, or for the one that is being
 * worked for.
 */
export function shardReaders(
  kit: FileKit,
  opened: OpenedShards,
  { pace, requestId, without = [] }: {
    readonly pace: ReadPace;
    readonly requestId?: string;
    readonly without?: readonly number[];
  },
): (ShardReader | undefined)[] {
  const { file, header } = opened;
  const present = file.shards.map((shard, index) =>
    isHealthy(shard) && shard.target !== "" && !without.includes(index)
  );
  // One that failed a moment ago only takes time, as long as others will do.
  const rested = file.shards.map((shard, index) =>
    present[index]! && !(shard.providerId !== undefined && kit.scores.isResting(shard.providerId))
  );
  const used = count(rested) >= file.policy.dataShards ? rested : present;
  return file.shards.map((shard, index) =>
    used[index]
      ? readerOf(kit, shard, { id: shardIdOf(header, index), pace, requestId, capability: file.capability })
      : undefined
  );
}

function readerOf(
  { pool, settings }: FileKit,
  { target, providerId }: StoredShard,
  { id, pace, requestId, capability }: {
    id: string;
    pace: ReadPace;
    requestId: string | undefined;
    capability: string | undefined;
  },
): ShardReader {
  const shards = pool.at(target, providerId);
  return {
    read: (span: ByteSpan, signal: AbortSignal): Promise<ShardPiece> => {
      const limit = { timeoutMs: 3 * settings.stallMs, what: `Reading from ${target}` };
      const get = (): Promise<ShardPiece> =>
        withTimeout(signal, limit, (limited) => shards.get(id, span, pool.call(limited, capability)));
      // Who reads on may work for nobody known.
      return pace.timed(() => requestId === undefined ? get() : inRequest(requestId, get));
    },
  };
}

/** A shard could not be read, or was read wrong: its provider's score falls, and the file is looked after at once. */
export function noteReadFailure(kit: FileKit, opened: OpenedShards, index: number, cause: unknown): void {
  const { book, scores, steady, metrics, log } = kit;
  const { file } = opened;
  const shard = file.shards[index]!;
  const error = toNodeError(cause);
  let isFault = false;
  if (error.code === "canceled" || error.code === "shutting_down") return;
  metrics.shardFailures.add(1, { during: "get" });
  if (shard.providerId !== undefined) {
    scores.bad({ nodeId: shard.providerId, target: shard.target }, error.message, isLie(error) ? 10 : 1);
  }
  log.warn("A shard could not be read", {
    fileId: file.id,
    shard: index,
    provider: shard.target,
    code: error.code,
    error: error.message,
  });
  book.update(file.id, (now) => {
    const old = now.shards[index]!;
    // It may have been repaired meanwhile.
    if (now.phase !== "kept" || old.target !== shard.target || !isHealthy(old)) return undefined;
    isFault = isLie(error) && old.faulted !== true && file.sharedBy === undefined;
    const noted: StoredShard = {
      ...old,
      state: "suspect",
      lastError: error.message,
      failingSince: old.failingSince ?? steady.now(),
      ...(isFault && { faulted: true }),
    };
    return { ...now, shards: now.shards.map((one, place) => place === index ? noted : one), dueAt: steady.now() };
  }, { durable: false }).then(async () => {
    if (!isFault) return;
    await scores.load();
    noteFault(kit, shard);
  }).catch(() => {});
}

/** A provider lost a shard of an own file, or gave wrong bytes for it. */
export function noteFault({ scores, log }: Pick<FileKit, "scores" | "log">, { providerId, target }: StoredShard): void {
  if (providerId === undefined || !scores.fault({ nodeId: providerId, target })) return;
  log.warn("A provider lost shards or gave wrong bytes too often; what it has moves to others", {
    provider: target,
    providerId,
  });
}

/**
 * Whether a provider gave wrong bytes, and not nothing. One that only breaks the protocol, as `target_misbehaved` says, may be starting, dying in the
 * middle of a call, or behind a balancer that answers for it: that proves nothing about what it keeps.
 */
export function isLie({ code }: NodeError): boolean {
  return code === "data_corrupt";
}

function count(flags: readonly boolean[]): number {
  return flags.filter((flag) => flag).length;
}
