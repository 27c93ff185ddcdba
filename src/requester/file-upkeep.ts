import { NodeError, type StoredFile, type StoredShard, toNodeError } from "../core/mod.ts";
import { type OpenedHeader, openHeader } from "../codec/mod.ts";
import type { FileAudit } from "./file-audit.ts";
import type { FileKit } from "./file-kit.ts";
import type { FileRepair } from "./file-repair.ts";
import { isHealthy, withShard } from "./file-state.ts";
import { unhex } from "./hex.ts";
import { openShards } from "./open-file.ts";
import { shardIdOf } from "./shard-ids.ts";
import { withTimeout } from "./with-timeout.ts";

export interface FileUpkeepOptions extends FileKit {
  readonly audit: FileAudit;
  readonly repair: FileRepair;
}

/** How often it is looked for files that something is due for. */
const EVERY_MS = 10_000;
const BATCH = 64;
/** How long after a provider could not be reached it is tried again. */
const RETRY_MS = 600_000;

/** Looks after files: audits, renews leases, repairs, frees what is not wanted any more, and forgets uploads that nobody goes on with. */
export class FileUpkeep {
  readonly #options: FileUpkeepOptions;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();

  constructor(options: FileUpkeepOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), EVERY_MS);
    this.#timer.unref();
    this.wake();
  }

  /** Looks now, after the round that is under way. */
  wake(): void {
    this.#round = this.#round.then(() => this.#run());
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#round;
  }

  async #run(): Promise<void> {
    const { store, clock, closing, busy, log } = this.#options;
    if (closing.aborted) return;
    try {
      for (const file of await store.due(clock.now(), BATCH)) {
        if (closing.aborted) return;
        if (busy.has(file.id)) continue;
        await this.#lookAfter(file).catch(async (error: unknown) => {
          if (closing.aborted) return;
          log.warn("A file could not be looked after; it is tried again", {
            fileId: file.id,
            error: toNodeError(error).message,
          });
          await this.#later(file.id, RETRY_MS);
        });
      }
    } catch (error) {
      if (!closing.aborted) log.error("Files could not be looked after", { error });
    }
  }

  async #lookAfter(file: StoredFile): Promise<void> {
    const { book, clock, settings, busy } = this.#options;
    if (file.phase === "removed") return await this.#free(file);
    if (file.phase === "uploading") {
      await book.update(file.id, (now) => {
        // A put may have begun to go on with it meanwhile.
        if (now.phase !== "uploading" || busy.has(now.id)) return undefined;
        const over = clock.now() - now.touchedAt >= settings.uploadTtlMs;
        return over
          ? { ...now, phase: "removed", dueAt: clock.now() }
          : { ...now, dueAt: now.touchedAt + settings.uploadTtlMs };
      });
      return;
    }
    await this.#keep(file);
  }

  /** A file that is wanted. Only a shard that was proven just now is renewed: no proof, no money. */
  async #keep(file: StoredFile): Promise<void> {
    const { audit, repair, book, settings, closing } = this.#options;
    const audited = await audit.audit(file, closing);
    if (audited !== undefined && file.sharedBy === undefined) await this.#renew(audited);
    const lost = audited?.shards.some((shard) => !isHealthy(shard)) === true;
    const after = lost && file.sharedBy === undefined ? await repair.rebuild(file.id, closing) : audited;
    if (after !== undefined && after.leftovers.length > 0) {
      await repair.apart(file.id, async () => {
        const now = await book.get(file.id);
        if (now !== undefined) await this.#freeLeftovers(now);
      });
    }
    const whole = after?.shards.every(({ state }) => state === "proven" || state === "stored") === true;
    await this.#later(file.id, whole ? settings.auditIntervalMs : Math.min(RETRY_MS, settings.auditIntervalMs));
  }

  async #renew(file: StoredFile): Promise<void> {
    const { settings, clock, book, closing, pool, log } = this.#options;
    const due = clock.now() + settings.leaseMs * settings.renewBelow;
    const { header } = await openShards(this.#options, file);
    await Promise.all(file.shards.map(async (shard, index) => {
      if (shard.state !== "proven" || (shard.leaseExpiresAt ?? 0) > due) return;
      try {
        const { record } = await this.#timed(
          shard,
          (signal) =>
            pool.at(shard.target, shard.providerId).renew(
              shardIdOf(header, index),
              settings.leaseMs,
              pool.call(signal),
            ),
        );
        await book.update(file.id, (now) => {
          const old = now.shards[index]!;
          return old.target === shard.target
            ? withShard(now, index, { ...old, leaseExpiresAt: record.expiresAt })
            : undefined;
        }, { durable: false });
      } catch (error) {
        closing.throwIfAborted();
        // It is tried again after the next audit, which finds out whether the shard is still there.
        log.warn("A lease could not be renewed", {
          fileId: file.id,
          provider: shard.target,
          error: toNodeError(error).message,
        });
      }
    }));
  }

  /** Frees the shards of a removed file, and forgets it when all are. */
  async #free(file: StoredFile): Promise<void> {
    const { book } = this.#options;
    const header = file.sharedBy === undefined ? await this.#headerOf(file) : undefined;
    const places = header === undefined ? [] : [
      ...file.shards.flatMap(({ target, providerId }, index) => target === "" ? [] : [{ index, target, providerId }]),
      ...file.leftovers,
    ];
    const left = (await Promise.all(places.map((place) => this.#remove(header!, place)))).some((freed) => !freed);
    if (left) await this.#later(file.id, RETRY_MS);
    else await book.drop(file.id);
  }

  async #freeLeftovers(file: StoredFile): Promise<void> {
    const header = await this.#headerOf(file);
    if (header === undefined) return;
    const freed = await Promise.all(file.leftovers.map((place) => this.#remove(header, place)));
    await this.#options.book.update(file.id, (now) => ({
      ...now,
      leftovers: now.leftovers.filter((one) =>
        !file.leftovers.some((old, i) => freed[i] === true && old.index === one.index && old.target === one.target)
      ),
    }), { durable: false });
  }

  async #remove(
    header: OpenedHeader,
    { index, target, providerId }: { index: number; target: string; providerId?: StoredShard["providerId"] },
  ): Promise<boolean> {
    const { pool, closing } = this.#options;
    try {
      await this.#timed(
        { target },
        (signal) => pool.at(target, providerId).remove(shardIdOf(header, index), pool.call(signal)),
      );
      return true;
    } catch {
      closing.throwIfAborted();
      return false;
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
    const { book, clock } = this.#options;
    await book.update(id, (file) => ({ ...file, dueAt: clock.now() + delayMs }), { durable: false });
  }
}
