import { type LeftoverShard, NodeError, type StoredFile, type StoredShard, toNodeError } from "../core/mod.ts";
import { LEAF_BYTES, verifyRange } from "../codec/mod.ts";
import type { ByteBudget } from "./byte-budget.ts";
import type { FileKit } from "./file-kit.ts";
import { isHealthy, recovered, withShard } from "./file-state.ts";
import { type OpenedShards, openShards } from "./open-file.ts";
import { isLie, noteFault } from "./shard-access.ts";
import { shardIdOf } from "./shard-ids.ts";
import { withTimeout } from "./with-timeout.ts";

const DIGEST_BYTES = 32;

/** Challenges providers to prove that they have their shards, with leaves that nobody can foresee. Nothing is downloaded but those. */
export class FileAudit {
  readonly #kit: FileKit;
  readonly #budget: ByteBudget;

  constructor(kit: FileKit, budget: ByteBudget) {
    this.#kit = kit;
    this.#budget = budget;
  }

  /** Audits every shard that is somewhere, or only some of them, and returns the file afterwards. */
  async audit(file: StoredFile, signal: AbortSignal, only?: readonly number[]): Promise<StoredFile | undefined> {
    await this.#kit.scores.load();
    const opened = await openShards(this.#kit, file);
    const results = await Promise.all(file.shards.map(async (shard, index) => {
      if (only?.includes(index) === false) return undefined;
      if (shard.target === "" || shard.state === "pending") return undefined;
      return await this.#auditShard(opened, index, signal);
    }));
    const isThere = results.includes("proven");
    for (const [index, result] of results.entries()) {
      // When nobody has any of it, its owner may have removed it itself, as after the restore of an old backup.
      if (result === "wrong" || (result === "gone" && isThere)) noteFault(this.#kit, file.shards[index]!);
    }
    return await this.#kit.book.get(file.id);
  }

  /** Audits a shard. Returns whether it was proven; else, when its provider is to blame for it for the first time, what is proven of that. */
  async #auditShard(
    opened: OpenedShards,
    index: number,
    signal: AbortSignal,
  ): Promise<"proven" | "wrong" | "gone" | undefined> {
    const { book, scores, metrics, clock, steady } = this.#kit;
    const { id } = opened.file;
    const shard = opened.file.shards[index]!;
    let failure: NodeError | undefined;
    try {
      await this.prove(opened, { index, ...shard }, signal);
    } catch (cause) {
      signal.throwIfAborted();
      failure = toNodeError(cause);
    }
    const now = clock.now();
    let stands = false;
    let isLost = false;
    let isFault = false;
    await book.update(id, (file) => {
      const old = file.shards[index]!;
      // The file may have been removed meanwhile, and its shards freed, or this one moved.
      stands = file.phase === "kept" && old.target === shard.target;
      if (!stands) return undefined;
      const next = failure === undefined ? proven(old, now) : this.#failing(old, { failure, now: steady.now() });
      isLost = next.state === "lost";
      // What was known to be lost or wrong, was promised for no longer, or is another's, proves nothing more.
      isFault = failure !== undefined && isGone(failure) && isHealthy(old) && old.faulted !== true &&
        (old.leaseExpiresAt ?? 0) > steady.now() &&
        file.sharedBy === undefined;
      return withShard(file, index, next);
    }, { durable: false });
    if (isLost && shard.providerId !== undefined) {
      await this.#kit.custody?.lost(shard.providerId, shardIdOf(opened.header, index));
    }
    // Nobody is blamed for not having what it was told to drop.
    if (!stands && failure !== undefined) return undefined;
    metrics.audits.add(1, { result: failure === undefined ? "proven" : isGone(failure) ? "lost" : "unreachable" });
    if (shard.providerId !== undefined) {
      const place = { nodeId: shard.providerId, target: shard.target };
      if (failure === undefined) scores.good(place, 0.1);
      else scores.bad(place, failure.message, isLie(failure) ? 10 : 1);
    }
    if (!stands) return undefined;
    const told = failure === undefined ? "proved its shard" : `failed an audit: ${failure.message}`;
    book.publish({ type: "audit", fileId: id, message: `${shard.target} ${told}` });
    if (failure === undefined) return "proven";
    if (!isFault) return undefined;
    return isLie(failure) ? "wrong" : "gone";
  }

  /**
   * Has a provider prove that it has a shard, also one that was replaced there: draws leaves and verifies the answer against the root that the manifest
   * holds. Throws what went wrong; {@link isGone} tells whether the shard is.
   */
  async prove(
    { file, header, layout, roots }: OpenedShards,
    { index, target, providerId }: Pick<LeftoverShard, "index" | "target" | "providerId">,
    signal: AbortSignal,
  ): Promise<void> {
    const { pool, settings, random, metrics } = this.#kit;
    const leaves = drawLeaves(random, { count: settings.auditLeaves, leafCount: layout.leafCount });
    await this.#budget.take(leaves.length * (LEAF_BYTES + pathBytes(layout.leafCount)), signal);
    const shards = pool.at(target, providerId);
    const limit = { timeoutMs: 3 * settings.stallMs, what: `An audit of ${target}` };
    const proofs = await withTimeout(
      signal,
      limit,
      (limited) => shards.prove(shardIdOf(header, index), leaves, pool.call(limited, file.capability)),
    );
    const head = { root: roots[index]!, leafCount: layout.leafCount };
    const answered = proofs.length === leaves.length &&
      proofs.every(({ leaf, bytes, proof }, place) =>
        leaf === leaves[place] && verifyRange(head, { firstLeaf: leaf, bytes, proof })
      );
    metrics.auditBytes.add(proofs.reduce((sum, { bytes, proof }) => sum + bytes.length + proof.length, 0));
    if (!answered) {
      throw new NodeError("data_corrupt", `${target} gave a proof of other bytes than it was given to keep`);
    }
  }

  /**
   * A shard whose provider did not prove it: lost at once when it is gone or wrong; when nobody answers, after some audits in a row and some time.
   * Neither is enough alone: many audits can fall into one short outage, and few into a long time in which this node was off.
   */
  #failing(shard: StoredShard, { failure, now }: { failure: NodeError; now: number }): StoredShard {
    const failingSince = shard.failingSince ?? now;
    const failures = (shard.failures ?? 0) + 1;
    const { lostAfterMs, lostAfterAudits } = this.#kit.settings;
    const silent = failures >= lostAfterAudits && now - failingSince >= lostAfterMs;
    const lost = shard.state === "lost" || isGone(failure) || silent;
    return {
      ...shard,
      state: lost ? "lost" : "suspect",
      failingSince,
      failures,
      lastError: failure.message,
    };
  }
}

function proven(shard: StoredShard, now: number): StoredShard {
  return { ...recovered(shard), state: "proven", lastAuditAt: now };
}

/** Whether an answer says that the shard is not there, or not what it was. */
export function isGone(error: NodeError): boolean {
  return isLie(error) || error.code === "not_found";
}

/** The most bytes of a proof of one leaf: a digest for each level of the tree. */
function pathBytes(leafCount: number): number {
  return DIGEST_BYTES * Math.ceil(Math.log2(Math.max(leafCount, 1)));
}

/** Places of leaves, drawn evenly and with repetition, as the estimate of detection assumes. */
function drawLeaves(
  random: (length: number) => Uint8Array,
  { count, leafCount }: { readonly count: number; readonly leafCount: number },
): number[] {
  const bytes = Buffer.from(random(count * 6));
  return Array.from({ length: Math.min(count, leafCount) }, (_, i) => bytes.readUIntBE(i * 6, 6) % leafCount);
}
