import {
  CUSTODY_NOT_RELEASED,
  inRequest,
  type LeftoverShard,
  newUlid,
  NodeError,
  type StoredFile,
  type StoredShard,
  toNodeError,
} from "../core/mod.ts";
import { type OpenedHeader, openHeader } from "../codec/mod.ts";
import { avoidedShards } from "./avoided-shards.ts";
import { dropPieces } from "./check-files.ts";
import { DuePool } from "./due-pool.ts";
import { EvacuationQueue } from "./evacuation-queue.ts";
import { EvacuationSweep } from "./evacuation-sweep.ts";
import { type FileAudit, isGone } from "./file-audit.ts";
import type { FileKit } from "./file-kit.ts";
import type { FileRepair } from "./file-repair.ts";
import { isHealthy } from "./file-state.ts";
import { unhex } from "./hex.ts";
import { openShards } from "./open-file.ts";
import { owesRefusals, refuseShares } from "./refuse-shares.ts";
import { shardIdOf } from "./shard-ids.ts";
import { hasDoubles } from "./spread-moves.ts";
import { withTimeout } from "./with-timeout.ts";

export interface FileUpkeepOptions extends FileKit {
  readonly audit: FileAudit;
  readonly repair: FileRepair;
  /** Keeps the steady clock's time for the next start. */
  readonly keepTime?: (nowMs: number) => Promise<void>;
}

/** How often it is looked for files that something is due for, and for providers that became avoided. */
const EVERY_MS = 10_000;
/** How long after a provider could not be reached it is tried again, unless audits are more frequent. */
const RETRY_MS = 600_000;
/** How often the steady clock's time is kept. */
const KEEP_TIME_MS = 60_000;

/** Looks after files: audits, repairs, frees what is not wanted any more, and forgets uploads that nobody goes on with. */
export class FileUpkeep {
  readonly #options: FileUpkeepOptions;
  readonly #pool: DuePool;
  readonly #evacuation: EvacuationQueue;
  readonly #sweep: EvacuationSweep;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FileUpkeepOptions) {
    const { store, scores, clock, steady, settings, busy, closing, log } = options;
    this.#options = options;
    this.#evacuation = new EvacuationQueue({
      quiet: () => options.repair.quiet(),
      work: (id) => inRequest(newUlid(clock.now()), () => this.#evacuate(id)),
      closing,
    });
    this.#sweep = new EvacuationSweep({ store, scores, queue: this.#evacuation, everyMs: EVERY_MS, closing, log });
    this.#pool = new DuePool({
      due: (limit) => store.due(steady.now(), limit),
      work: (file) => inRequest(newUlid(clock.now()), () => this.#lookAfter(file)),
      failed: (file) => this.#later(file.id, this.#retryMs),
      busy,
      parallel: settings.parallel,
      everyMs: EVERY_MS,
      what: "files",
      closing,
      log,
    });
  }

  start(): void {
    const { keepTime, steady } = this.#options;
    if (keepTime !== undefined) {
      // What is lost of it is felt again: the time only runs a minute late.
      this.#timer = setInterval(() => void keepTime(steady.now()).catch(() => {}), KEEP_TIME_MS);
      this.#timer.unref();
    }
    this.#pool.start();
    this.#sweep.start();
  }

  /** Looks now. */
  wake(): void {
    this.#pool.wake();
  }

  /** Waits until nothing is due, and files have left providers that are avoided by then. */
  async settle(): Promise<void> {
    await this.#pool.settle();
    // Some may be avoided since an audit just now.
    this.#sweep.look();
    await this.#sweep.settle();
    await this.#evacuation.settle();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#pool.stop();
    await this.#sweep.stop();
    await this.#evacuation.settle();
  }

  get #retryMs(): number {
    return Math.min(RETRY_MS, this.#options.settings.auditIntervalMs);
  }

  async #lookAfter(file: StoredFile): Promise<void> {
    const { book, steady, settings, busy } = this.#options;
    if (file.phase === "removed") return await this.#free(file.id);
    if (file.phase === "uploading") {
      await book.update(file.id, (now) => {
        // A put may have begun to go on with it meanwhile.
        if (now.phase !== "uploading" || busy.has(now.id)) return undefined;
        const over = steady.now() - now.touchedAt >= settings.uploadTtlMs;
        return over
          ? { ...now, phase: "removed", dueAt: steady.now() }
          : { ...now, dueAt: now.touchedAt + settings.uploadTtlMs };
      });
      return;
    }
    await this.#keep(file);
  }

  /** A file that is wanted. */
  async #keep(file: StoredFile): Promise<void> {
    const { audit, repair, scores, settings, closing } = this.#options;
    const audited = await audit.audit(file, closing);
    const lost = audited?.shards.filter((shard) => !isHealthy(shard)).length ?? 0;
    const wanted = lost >= Math.max(1, Math.min(settings.repairAt, file.policy.parityShards));
    const repaired = wanted && file.sharedBy === undefined ? await repair.rebuild(file.id, closing) : audited;
    const after = repaired !== undefined && hasDoubles(repaired) ? await repair.spread(file.id, closing) : repaired;
    if (after !== undefined) await this.#freeMoved(after);
    const owes = after !== undefined && owesRefusals(after);
    const pending = owes ? (await refuseShares(this.#options, file.id, closing)).pending.length : 0;
    const whole = pending === 0 &&
      after?.shards.every(({ state }) => state === "proven" || state === "stored") === true;
    await this.#later(file.id, whole ? settings.auditIntervalMs : this.#retryMs);
    if (after !== undefined && avoidedShards(after, scores).length > 0) this.#evacuation.add(file.id);
  }

  /** Has shards leave providers that are avoided. */
  async #evacuate(id: string): Promise<void> {
    const { repair, log, closing } = this.#options;
    try {
      const after = await repair.evacuate(id, closing);
      if (after !== undefined) await this.#freeMoved(after);
    } catch (cause) {
      if (closing.aborted) return;
      log.warn("Shards could not be moved away from a provider; it is tried again after the next audit", {
        fileId: id,
        error: toNodeError(cause).message,
      });
    }
  }

  /** Frees what a repair or a move has left behind. */
  async #freeMoved({ id, leftovers }: StoredFile): Promise<void> {
    const { repair, book } = this.#options;
    if (leftovers.length === 0) return;
    await repair.apart(id, async () => {
      const now = await book.get(id);
      if (now !== undefined) await this.#freeLeftovers(now);
    });
  }

  /** Frees the shards of a removed file, and forgets it with what its upload noted when all are. */
  #free(id: string): Promise<void> {
    return this.#options.repair.apartFromNow(id, async () => {
      const file = await this.#options.book.get(id);
      if (file !== undefined) await this.#freeNow(file);
    });
  }

  async #freeNow(file: StoredFile): Promise<void> {
    const { book, store } = this.#options;
    const header = file.sharedBy === undefined ? await this.#headerOf(file) : undefined;
    const places = header === undefined ? [] : [
      ...file.shards.flatMap(({ target, providerId, state }, index) =>
        target === ""
          ? []
          : [{ place: { index, target, ...(providerId && { providerId }) }, doubted: state === "suspect" }]
      ),
      ...file.leftovers.map((place) => ({ place, doubted: true })),
    ];
    const freed = await Promise.all(
      places.map(async ({ place, doubted }) =>
        (!doubted || await this.#isKnown(file, header!, place)) && await this.#remove(header!, place)
      ),
    );
    const left = freed.includes(false);
    if (left) await this.#later(file.id, this.#retryMs);
    else await book.drop(file.id, [await dropPieces(store, file.id)]);
  }

  async #freeLeftovers(file: StoredFile): Promise<void> {
    const header = await this.#headerOf(file);
    if (header === undefined) return;
    const freed = await Promise.all(
      file.leftovers.map(async (place) =>
        await this.#isKnown(file, header, place) && await this.#remove(header, place)
      ),
    );
    await this.#options.book.update(file.id, (now) => ({
      ...now,
      leftovers: now.leftovers.filter((one) =>
        !file.leftovers.some((old, i) => freed[i] === true && old.index === one.index && old.target === one.target)
      ),
    }), { durable: false });
  }

  /**
   * Before a provider is released from the stake that it has put on a shard, it proves that it has it: one that was replaced while it did not answer may have
   * lost it. Returns whether that is known.
   */
  async #isKnown(file: StoredFile, header: OpenedHeader, place: LeftoverShard): Promise<boolean> {
    const { custody, audit, book, closing } = this.#options;
    const { index, target, providerId } = place;
    if (custody === undefined || providerId === undefined) return true;
    const id = shardIdOf(header, index);
    if (custody.releases(providerId, id).length === 0) return true;
    try {
      await audit.prove(await openShards(this.#options, file), place, closing);
    } catch (cause) {
      closing.throwIfAborted();
      const error = toNodeError(cause);
      if (!isGone(error)) return false;
      await custody.lost(providerId, id);
      const message = `${target} is not released from shard ${index}, which it was to keep: ${error.message}`;
      book.publish({ type: "audit", fileId: file.id, message });
    }
    return true;
  }

  async #remove(
    header: OpenedHeader,
    { index, target, providerId }: { index: number; target: string; providerId?: StoredShard["providerId"] },
  ): Promise<boolean> {
    const { pool, custody, closing } = this.#options;
    const id = shardIdOf(header, index);
    try {
      const releases = providerId === undefined ? [] : custody?.releases(providerId, id) ?? [];
      await this.#timed(
        { target },
        (signal) => pool.at(target, providerId).remove(id, pool.call(signal), { releases }),
      );
      return true;
    } catch (error) {
      closing.throwIfAborted();
      // One that is not released drops it by itself when the lease is over.
      return toNodeError(error).data?.["reason"] === CUSTODY_NOT_RELEASED;
    }
  }

  /** The header of a file, from its manifest or from its upload; nothing when neither opens, so that its shards cannot be named. */
  async #headerOf(file: StoredFile): Promise<OpenedHeader | undefined> {
    try {
      if (file.upload !== undefined) return openHeader(unhex(file.upload.header), this.#options.master);
      return (await openShards(this.#options, file)).header;
    } catch (error) {
      if (error instanceof NodeError) return undefined;
      throw error;
    }
  }

  #timed<T>({ target }: Pick<StoredShard, "target">, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { closing, settings } = this.#options;
    return withTimeout(closing, { timeoutMs: settings.stallMs, what: `A call to ${target}` }, work);
  }

  async #later(id: string, delayMs: number): Promise<void> {
    const { book, steady } = this.#options;
    await book.update(id, (file) => ({ ...file, dueAt: steady.now() + delayMs }), { durable: false });
  }
}
