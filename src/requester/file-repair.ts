import {
  KeyedQueue,
  type LeftoverShard,
  NodeError,
  type NodeId,
  type StoredFile,
  type StoredShard,
  toNodeError,
} from "../core/mod.ts";
import { deriveMaskKey, LEAF_BYTES, rebuildShards } from "../codec/mod.ts";
import { avoidedShards } from "./avoided-shards.ts";
import type { ByteBudget } from "./byte-budget.ts";
import type { FileAudit } from "./file-audit.ts";
import type { FileKit } from "./file-kit.ts";
import { isHealthy, pendingAt, recovered } from "./file-state.ts";
import { leased } from "./lease-end.ts";
import { manifestOf } from "./manifest-of.ts";
import { type OpenedShards, openShards } from "./open-file.ts";
import { RegionCounts, warningsOf } from "./place-shards.ts";
import type { Candidate } from "./provider-pool.ts";
import { ReadPace } from "./read-pace.ts";
import { owesRefusals, refuseShares } from "./refuse-shares.ts";
import { isLie, noteReadFailure, shardReaders } from "./shard-access.ts";
import { shardIdOf } from "./shard-ids.ts";
import { ShardLane } from "./shard-lane.ts";
import { hasDoubles, type ShardMove, spreadMoves } from "./spread-moves.ts";

/** How often a shard is tried at ever another provider within one repair. */
const ROUNDS = 3;
/** A provider whose chance to do the next thing right is below this gets a shard only when there is no other. */
const DISTRUSTED = 0.2;

/** Rebuilds the shards that a file lacks from those it has, at providers that have none of it, or else as little as may be. */
export class FileRepair {
  readonly #kit: FileKit;
  readonly #budget: ByteBudget;
  readonly #audit: Pick<FileAudit, "prove">;
  readonly #pace: ReadPace;
  readonly #rebuilds = new Set<Promise<unknown>>();
  readonly #queue = new KeyedQueue();
  /** What ends the repairs that are under way, by their files. */
  readonly #stops = new Map<string, AbortController>();

  constructor(
    kit: FileKit,
    { budget, audit }: { readonly budget: ByteBudget; readonly audit: Pick<FileAudit, "prove"> },
  ) {
    this.#kit = kit;
    this.#budget = budget;
    this.#audit = audit;
    this.#pace = new ReadPace({ maxHedgeMs: kit.settings.stallMs / 2 });
  }

  /**
   * Rebuilds all shards that are lost or were never stored, and returns the file afterwards, whose shards tell how far it got. Throws `shards_missing`
   * when fewer than k can be read.
   */
  async rebuild(id: string, cancel: AbortSignal): Promise<StoredFile | undefined> {
    const rebuilding = this.#rebuild(id, cancel);
    this.#rebuilds.add(rebuilding);
    try {
      return await rebuilding;
    } finally {
      this.#rebuilds.delete(rebuilding);
    }
  }

  /** Resolves when no shard that is lost or was never stored is being rebuilt. */
  async quiet(): Promise<void> {
    while (this.#rebuilds.size > 0) await Promise.allSettled(this.#rebuilds);
  }

  #rebuild(id: string, cancel: AbortSignal): Promise<StoredFile | undefined> {
    return this.#work(id, cancel, async (signal) => {
      const { book, log } = this.#kit;
      const failed = new Set<NodeId>();
      for (let round = 0; round < ROUNDS; round++) {
        const file = await book.get(id);
        const wanted = file?.shards.flatMap((shard, index) => isHealthy(shard) ? [] : [index]) ?? [];
        if (file === undefined || file.phase === "removed" || wanted.length === 0) return file;
        const opened = await openShards(this.#kit, file);
        const providers = await this.#providersFor(file, { count: wanted.length, failed, signal });
        if (providers.length === 0) {
          log.warn("A file lacks shards and no provider answers that could take them; it is tried again later", {
            fileId: id,
          });
          return file;
        }
        await this.#rebuildAt(
          opened,
          wanted.slice(0, providers.length).map((index, i) => ({ index, provider: providers[i]! })),
          { failed, signal },
        );
      }
      return await book.get(id);
    });
  }

  /**
   * Moves shards from nodes that have several of a file to nodes that have fewer, until they are even, as {@link #move} does. Throws
   * `shards_missing` when fewer than k others can be read.
   */
  spread(id: string, cancel: AbortSignal): Promise<StoredFile | undefined> {
    return this.#move(id, cancel, {
      isWanted: hasDoubles,
      movesOf: ({ shards }, candidates) => spreadMoves(shards, candidates),
    });
  }

  /**
   * Moves shards from providers that are avoided to others that have none of the file, as {@link #move} does; those for which there is no such
   * provider stay. Throws `shards_missing` when fewer than k others can be read.
   */
  evacuate(id: string, cancel: AbortSignal): Promise<StoredFile | undefined> {
    const { scores } = this.#kit;
    return this.#move(id, cancel, {
      isWanted: (file) => avoidedShards(file, scores).length > 0,
      movesOf: (file, candidates) => {
        const leaving = avoidedShards(file, scores);
        const holders = new Set(file.shards.map(({ providerId }) => providerId));
        const regions = new RegionCounts(file.shards.filter((_, index) => !leaving.includes(index)));
        const others = candidates.filter(({ nodeId }) => !holders.has(nodeId))
          .sort((a, b) => regions.near(a) - regions.near(b));
        return leaving.slice(0, others.length).map((index, i) => ({ index, provider: others[i]! }));
      },
    });
  }

  /**
   * Moves shards to providers that can be trusted for as long as there are moves: rebuilt at the new one from others and proven there, then left to be
   * freed at the old one. Does nothing for a file that lacks shards, which comes first, nor for one without parity, which has nothing to rebuild from.
   */
  #move(id: string, cancel: AbortSignal, { isWanted, movesOf }: {
    readonly isWanted: (file: StoredFile) => boolean;
    readonly movesOf: (file: StoredFile, candidates: readonly Candidate[]) => readonly ShardMove[];
  }): Promise<StoredFile | undefined> {
    return this.#work(id, cancel, async (signal) => {
      const { book, pool, scores } = this.#kit;
      const failed = new Set<NodeId>();
      for (;;) {
        const file = await book.get(id);
        const isWhole = file?.phase === "kept" && file.sharedBy === undefined && file.shards.every(isHealthy);
        if (!isWhole || file.policy.parityShards === 0 || !isWanted(file)) return file;
        const { candidates } = await pool.survey(file.targets, signal);
        const trusted = candidates.filter(({ nodeId }) =>
          !failed.has(nodeId) && !scores.isResting(nodeId) && !this.#isDistrusted(nodeId)
        );
        // Those that are moved are not read, so at least k must stay.
        const moves = movesOf(file, trusted).slice(0, file.policy.parityShards);
        if (moves.length === 0) return file;
        const failedBefore = failed.size;
        await this.#rebuildAt(await openShards(this.#kit, file), moves, { failed, signal });
        const after = await book.get(id);
        const moved = moves.some(({ index, provider }) => after?.shards[index]?.providerId === provider.nodeId);
        if (!moved && failed.size === failedBefore) return after;
      }
    });
  }

  /**
   * Runs work on a file while no repair of it is under way, and none while the work is: what frees a shard at a provider must not meet a repair
   * that puts it there again.
   */
  apart<T>(id: string, work: () => Promise<T>): Promise<T> {
    return this.#queue.run(id, work);
  }

  /** The same for a file that is removed: a repair of it that is under way is ended. */
  apartFromNow<T>(id: string, work: () => Promise<T>): Promise<T> {
    this.#stops.get(id)?.abort(new NodeError("canceled", `File ${id} was removed`));
    return this.#queue.run(id, work);
  }

  #work<T>(id: string, cancel: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#queue.run(id, async () => {
      const stop = new AbortController();
      this.#stops.set(id, stop);
      try {
        return await work(AbortSignal.any([cancel, stop.signal]));
      } finally {
        this.#stops.delete(id);
      }
    });
  }

  /**
   * For each of `count` shards a provider, of those that the put named or else of all: first those without a shard of the file; when there are not
   * enough, as with a single target, those that have least. Of these the ones whose regions have least of the file come first. One that failed in
   * this repair is not tried again.
   */
  async #providersFor(
    file: StoredFile,
    { count, failed, signal }: {
      readonly count: number;
      readonly failed: ReadonlySet<NodeId>;
      readonly signal: AbortSignal;
    },
  ): Promise<Candidate[]> {
    const { pool, scores } = this.#kit;
    const { candidates } = await pool.survey(file.targets, signal);
    const left = candidates.filter(({ nodeId }) => !failed.has(nodeId)).map((candidate) => ({
      candidate,
      // One that is known to fail would only lose it again: it comes behind those that have some.
      held: file.shards.filter((shard) => isHealthy(shard) && shard.providerId === candidate.nodeId).length +
        (this.#isDistrusted(candidate.nodeId) ? file.shards.length : 0),
      resting: scores.isResting(candidate.nodeId),
    }));
    const regions = new RegionCounts(file.shards.filter(isHealthy));
    const rank = ({ held, resting, candidate }: (typeof left)[number]) =>
      [held, resting ? 1 : 0, regions.near(candidate)] as const;
    const chosen: Candidate[] = [];
    while (left.length > 0 && chosen.length < count) {
      // The survey's order decides between those that are as good.
      const best = left.reduce((a, b) => isBefore(rank(b), rank(a)) ? b : a);
      best.held++;
      regions.add(best.candidate);
      chosen.push(best.candidate);
    }
    return chosen;
  }

  #isDistrusted(provider: NodeId): boolean {
    const { scores } = this.#kit;
    return scores.isAvoided(provider) || scores.of(provider) < DISTRUSTED;
  }

  async #rebuildAt(
    opened: OpenedShards,
    moves: readonly { readonly index: number; readonly provider: Candidate }[],
    { failed, signal }: { readonly failed: Set<NodeId>; readonly signal: AbortSignal },
  ): Promise<void> {
    const { pool, clock, steady, settings, metrics, log } = this.#kit;
    const { file, header, layout, roots } = opened;
    if (!await this.#announce(file.id, moves)) return;
    const lanes = moves.map(({ index, provider }) =>
      new ShardLane({
        index,
        id: shardIdOf(header, index),
        provider,
        at: ({ target, nodeId }) => pool.at(target, nodeId),
        call: (limited) => pool.call(limited),
        maxBytes: layout.shardBytes,
        leaseMs: settings.leaseMs,
        stallMs: settings.stallMs,
        resumes: false,
        replace: () => Promise.resolve(undefined),
      })
    );
    const stop = () => lanes.forEach((lane) => lane.fail(new NodeError("canceled", "The repair was canceled")));
    signal.addEventListener("abort", stop);
    /** For each byte that is written so many were read. */
    const readBytes = file.policy.dataShards / moves.length;
    const writers = lanes.map((lane) => ({
      shard: lane.index,
      writer: {
        write: async (bytes: Uint8Array) => {
          await this.#budget.take(bytes.length * (1 + readBytes), signal);
          metrics.repairBytes.add(bytes.length * readBytes);
          // Writers that fail are passed over: one bad provider must not end the repair of the other shards. With none left nothing more is read.
          await lane.write(bytes).catch((error: unknown) => {
            if (lanes.every(({ failure }) => failure !== undefined)) throw error;
          });
        },
      },
    }));
    try {
      await rebuildShards({
        layout,
        roots,
        readers: shardReaders(this.#kit, opened, { pace: this.#pace, without: moves.map(({ index }) => index) }),
        maskKeys: roots.map((_, index) => deriveMaskKey(header.fileKey, header.fileId, index)),
        wanted: writers,
        hedge: this.#pace.hedge,
        onShardFailed: (shard, error) => noteReadFailure(this.#kit, opened, shard, error),
        signal,
      });
      for (const lane of lanes) lane.end({ root: roots[lane.index]!, leafCount: layout.shardBytes / LEAF_BYTES });
    } catch (error) {
      const isRefused = !signal.aborted && lanes.every(({ failure }) => failure !== undefined);
      if (!isRefused) {
        lanes.forEach((lane) => lane.fail(toNodeError(error)));
        metrics.repairs.add(moves.length, { result: "failed" });
        throw error;
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
    await Promise.all(lanes.map(async (lane) => {
      try {
        const receipt = await lane.done;
        const isMove = isHealthy(file.shards[lane.index]!);
        const { target, nodeId: providerId } = lane.provider;
        // What is there is not given up for a promise.
        if (isMove) await this.#audit.prove(opened, { index: lane.index, target, providerId }, signal);
        await this.#settle(opened, lane.index, {
          ...pendingAt(lane.provider),
          ...(isMove ? { state: "proven", lastAuditAt: clock.now() } : { state: "stored" }),
          ...leased(receipt, { clock, steady, leaseMs: settings.leaseMs }),
        });
        this.#kit.scores.good(lane.provider);
        metrics.repairs.add(1, { result: "rebuilt" });
        metrics.repairBytes.add(layout.shardBytes);
        log.info("A shard was rebuilt", { fileId: file.id, shard: lane.index, provider: lane.provider.target });
      } catch (cause) {
        signal.throwIfAborted();
        const error = toNodeError(cause);
        failed.add(lane.provider.nodeId);
        metrics.repairs.add(1, { result: "failed" });
        this.#kit.scores.bad(lane.provider, error.message, isLie(error) ? 10 : 1);
        log.warn("A shard could not be rebuilt at a provider", {
          fileId: file.id,
          shard: lane.index,
          provider: lane.provider.target,
          error: error.message,
        });
      }
    }));
    // A share that was taken back must not come to life again at a new provider.
    const now = await this.#kit.book.get(file.id);
    if (now !== undefined && owesRefusals(now)) await refuseShares(this.#kit, file.id, signal);
  }

  /**
   * Notes where shards are about to be put, as places to be freed: whatever ends the repair before a shard is settled there, this process
   * included, what the provider has of it by then is not forgotten. Returns whether the file is still wanted.
   */
  async #announce(
    id: string,
    moves: readonly { readonly index: number; readonly provider: Candidate }[],
  ): Promise<boolean> {
    const places = moves.map(({ index, provider: { target, nodeId } }) => ({ index, target, providerId: nodeId }));
    const noted = await this.#kit.book.update(id, (file) => {
      // Where the shard is meant to be anyway, it is not forgotten.
      const others = places.filter((place) => !isAt(place, file.shards[place.index]!));
      const isOther = (one: LeftoverShard) => !others.some((place) => place.index === one.index && isAt(place, one));
      return { ...file, leftovers: [...file.leftovers.filter(isOther), ...others] };
    }, { durable: false });
    return noted !== undefined && noted.phase !== "removed";
  }

  /** Notes where a shard is now, in record and manifest at once. What an earlier provider may still have of it is to be freed. */
  async #settle(
    { file: { id }, manifest, header, roots }: OpenedShards,
    index: number,
    shard: StoredShard,
  ): Promise<void> {
    const { book } = this.#kit;
    let done = "";
    await book.update(id, (file) => {
      const old = file.shards[index]!;
      done = isHealthy(old) ? "moved to" : "rebuilt at";
      const leftover = old.target === "" || isAt(old, shard)
        ? []
        : [{ index, target: old.target, ...(old.providerId === undefined ? {} : { providerId: old.providerId }) }];
      const shards = file.shards.map((one, place) => place === index ? recovered(shard) : one);
      return {
        ...file,
        shards,
        // The new lease may end before those that are known.
        renewAt: 0,
        warnings: warningsOf(shards.map(({ target, providerId = target }) => ({ target, nodeId: providerId }))),
        // The new provider may once have failed with the same shard.
        leftovers: [...file.leftovers.filter((one) => one.index !== index || !isAt(one, shard)), ...leftover],
      };
    }, (file) => ({ manifest: manifestOf(file, { header: manifest.header, roots, keys: header.keys }) }));
    book.publish({ type: "repair", fileId: id, message: `Shard ${index} was ${done} ${shard.target}` });
  }
}

/** Whether two shards are at one provider, under whatever address. */
function isAt(a: Pick<StoredShard, "target" | "providerId">, b: Pick<StoredShard, "target" | "providerId">): boolean {
  return a.target === b.target || (a.providerId !== undefined && a.providerId === b.providerId);
}

/** Whether the first numbers that differ are less in `a`. */
function isBefore(a: readonly number[], b: readonly number[]): boolean {
  const place = a.findIndex((value, i) => value !== b[i]);
  return place >= 0 && a[place]! < b[place]!;
}
