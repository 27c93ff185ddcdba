import {
  type Bandwidth,
  type CallContext,
  type Clock,
  type FileEvent,
  type FileHealth,
  type FilePage,
  type FileQuery,
  type FileRecord,
  type FileRef,
  type FileService,
  inRequest,
  type Log,
  type Metrics,
  NodeError,
  type NodeId,
  type NodeKey,
  type OpenedFile,
  type PeerDirectory,
  type PutFileOptions,
  type ShardService,
  SteadyClock,
  type StoredFile,
  type Unshared,
} from "../core/mod.ts";
import { type Identity, systemRandom } from "../codec/mod.ts";
import { avoidedWarnings } from "./avoided-shards.ts";
import { type BudgetTime, ByteBudget } from "./byte-budget.ts";
import { FileAudit } from "./file-audit.ts";
import { FileBook } from "./file-book.ts";
import { FileEvents } from "./file-events.ts";
import type { FileKeyring } from "./file-keyring.ts";
import type { FileKit } from "./file-kit.ts";
import { listFiles } from "./file-list.ts";
import { FileMetrics } from "./file-metrics.ts";
import type { CustodyHolder, FileStore, ProviderOffer, StorageLedger } from "./file-ports.ts";
import { FilePut } from "./file-put.ts";
import { FileRead } from "./file-read.ts";
import { FileRepair } from "./file-repair.ts";
import { healthOf } from "./file-risk.ts";
import type { FileSettings } from "./file-settings.ts";
import { FileSharing } from "./file-sharing.ts";
import { FileUpkeep } from "./file-upkeep.ts";
import { hex } from "./hex.ts";
import { LeaseRenewal } from "./lease-renewal.ts";
import { exportManifest, importManifest } from "./manifest-exchange.ts";
import { ProviderPool } from "./provider-pool.ts";
import { ProviderScores, type ProviderScoresOptions } from "./provider-scores.ts";
import { checkName } from "./put-order.ts";

export interface FileRequesterOptions {
  readonly store: FileStore;
  readonly dial: (target: string) => ShardService;
  readonly peers: PeerDirectory;
  /** The nodes that may be asked to keep shards. */
  readonly providers: () => readonly ProviderOffer[] | Promise<readonly ProviderOffer[]>;
  readonly ledger: StorageLedger;
  /** Keeps what providers put at stake on shards. */
  readonly custody?: CustodyHolder;
  /** Hears how providers keep and prove shards. */
  readonly onOutcome?: ProviderScoresOptions["onOutcome"];
  readonly self: NodeId;
  /** Signs what others are allowed; without it nothing can be shared. */
  readonly key?: NodeKey;
  readonly keys: FileKeyring;
  /** How fast files come and go; without it as fast as they can. Audits and repairs have limits of their own. */
  readonly bandwidth?: { readonly in: Bandwidth; readonly out: Bandwidth };
  readonly settings: FileSettings;
  readonly clock: Clock;
  /** By default one that begins with the clock's time. */
  readonly steady?: Clock;
  /** Keeps the steady clock's time for the next start. */
  readonly keepTime?: (nowMs: number) => Promise<void>;
  /** By which the bandwidth of audits and repairs is measured; by default the machine's. */
  readonly budgetTime?: BudgetTime;
  readonly log: Log;
  readonly metrics: Metrics;
  /** 0 to below 1; by default the system's. */
  readonly random?: () => number;
}

/** A file service that looks after its files by itself. */
export interface FileRequester extends FileService {
  /** Begins to look after files. */
  start(): void;
  /** Looks after them now; resolves when nothing is due any more. */
  look(): Promise<void>;
  /** Stops uploads, audits and repairs; what was acknowledged is safe, uploads can go on after the next start. */
  close(): Promise<void>;
}

/** How long a node may take to say who it is, in milliseconds. */
const INFO_TIMEOUT_MS = 5000;

export function createFileRequester(options: FileRequesterOptions): FileRequester {
  return new Requester(options);
}

class Requester implements FileRequester {
  readonly #kit: FileKit;
  readonly #events = new FileEvents();
  readonly #closing = new AbortController();
  readonly #put: FilePut;
  readonly #read: FileRead;
  readonly #audit: FileAudit;
  readonly #repair: FileRepair;
  readonly #upkeep: FileUpkeep;
  readonly #renewal: LeaseRenewal;
  readonly #sharePublic: Uint8Array;
  readonly #sharing: FileSharing;
  readonly #bandwidth: FileRequesterOptions["bandwidth"];

  constructor(options: FileRequesterOptions) {
    const { store, clock, log, settings, keys, self, dial, peers, providers, ledger, random = Math.random } = options;
    const { steady = new SteadyClock({ clock }), keepTime, onOutcome, budgetTime } = options;
    const scores = new ProviderScores({
      store,
      clock,
      halfLifeMs: settings.scoreHalfLifeMs,
      ...(onOutcome !== undefined && { onOutcome }),
    });
    const kit: FileKit = {
      store,
      book: new FileBook({ store, events: this.#events, clock }),
      pool: new ProviderPool({
        dial,
        peers,
        providers,
        ledger,
        scores,
        self,
        clock,
        random,
        infoTimeoutMs: INFO_TIMEOUT_MS,
      }),
      scores,
      clock,
      steady,
      log,
      metrics: new FileMetrics(options.metrics),
      settings,
      random: systemRandom,
      master: { type: "master", key: keys.masterKey } satisfies Identity,
      share: { type: "x25519", secretKey: keys.shareSecret } satisfies Identity,
      ...(options.custody !== undefined && { custody: options.custody }),
      busy: new Set(),
      closing: this.#closing.signal,
    };
    this.#kit = kit;
    options.custody?.onChallenge?.((event) => kit.book.publish({ type: "audit", ...event }));
    this.#sharePublic = keys.sharePublic;
    this.#sharing = new FileSharing(kit, options.key);
    this.#bandwidth = options.bandwidth;
    this.#audit = new FileAudit(kit, new ByteBudget(settings.auditBytesPerSecond, budgetTime));
    this.#repair = new FileRepair(kit, {
      budget: new ByteBudget(settings.repairBytesPerSecond, budgetTime),
      audit: this.#audit,
    });
    this.#put = new FilePut({ ...kit, rebuild: (id, signal) => this.#repair.rebuild(id, signal) });
    this.#read = new FileRead(kit);
    this.#upkeep = new FileUpkeep({
      ...kit,
      audit: this.#audit,
      repair: this.#repair,
      ...(keepTime !== undefined && { keepTime }),
    });
    this.#renewal = new LeaseRenewal({
      ...kit,
      self,
      audit: new FileAudit(kit, new ByteBudget(settings.auditBytesPerSecond, budgetTime)),
    });
  }

  start(): void {
    this.#upkeep.start();
    this.#renewal.start();
  }

  async look(): Promise<void> {
    this.#upkeep.wake();
    this.#renewal.wake();
    await Promise.all([this.#upkeep.settle(), this.#renewal.settle()]);
  }

  async close(): Promise<void> {
    this.#closing.abort(new NodeError("shutting_down", "The node is shutting down"));
    await Promise.all([this.#upkeep.stop(), this.#renewal.stop()]);
  }

  async put(source: AsyncIterable<Uint8Array>, options: PutFileOptions, ctx: CallContext): Promise<FileRecord> {
    return await inRequest(ctx.requestId, () => this.#put.put(this.#paced(source, options, ctx), options, ctx));
  }

  async open(ref: FileRef, { requestId }: CallContext): Promise<OpenedFile> {
    const opened = await this.#read.open(await this.#kit.book.find(ref), requestId);
    const bandwidth = this.#bandwidth?.in;
    if (bandwidth === undefined) return opened;
    return { ...opened, read: (range, signal) => bandwidth.pace(opened.read(range, signal), { signal }) };
  }

  async stat(ref: FileRef, _ctx: CallContext): Promise<FileRecord> {
    const { book } = this.#kit;
    return await book.record(await book.find(ref));
  }

  async list(query: FileQuery, _ctx: CallContext): Promise<FilePage> {
    return await listFiles(this.#kit.store, query);
  }

  async rename(ref: FileRef, name: string, _ctx: CallContext): Promise<FileRecord> {
    const { book } = this.#kit;
    checkName(name);
    for (;;) {
      const file = await book.find(ref);
      if (file.name === name) return await book.record(file);
      const renamed = await book.withNames([file.name, name], async () => {
        // It may have got another name while this waited.
        if ((await book.get(file.id))?.name !== file.name) return undefined;
        if ((await book.versions(name)).length > 0) {
          throw new NodeError(
            "already_exists",
            `The name ${JSON.stringify(name.slice(0, 200))} is taken; choose another`,
            { data: { field: "name" } },
          );
        }
        const ids = (await book.versions(file.name)).map(({ id }) => id);
        await book.updateAll(ids, (old) => ({ ...old, name }));
        return await this.stat({ id: file.id }, _ctx);
      });
      if (renamed !== undefined) return renamed;
    }
  }

  async remove(ref: FileRef, _ctx: CallContext): Promise<void> {
    const { book, steady } = this.#kit;
    const file = await book.find(ref);
    const whole = "name" in ref && ref.version === undefined;
    await book.withName(file.name, async () => {
      const ids = (whole ? await book.versions(file.name) : [file]).map(({ id }) => id);
      await book.updateAll(ids, (old) => ({ ...old, phase: "removed", dueAt: steady.now() }));
    });
    this.#upkeep.wake();
  }

  async health(ref: FileRef, _ctx: CallContext): Promise<FileHealth> {
    await this.#kit.scores.load();
    return await this.#health(await this.#kit.book.find(ref));
  }

  async audit(ref: FileRef, { signal, requestId }: CallContext): Promise<FileHealth> {
    const file = await this.#kit.book.find(ref);
    const audited = await inRequest(requestId, () => this.#audit.audit(file, this.#within(signal)));
    return await this.#health(audited ?? file);
  }

  /** Shards that do not answer now count as lost here: who asks for a repair does not want to wait until they do. */
  async repair(ref: FileRef, ctx: CallContext): Promise<FileHealth> {
    return await inRequest(ctx.requestId, () => this.#repairNow(ref, ctx));
  }

  async #repairNow(ref: FileRef, { signal }: CallContext): Promise<FileHealth> {
    const { book } = this.#kit;
    const within = this.#within(signal);
    const file = await book.find(ref);
    await this.#audit.audit(file, within);
    await book.update(file.id, (now) => ({
      ...now,
      shards: now.shards.map((shard) => shard.state === "suspect" ? { ...shard, state: "lost" } : shard),
    }));
    const after = await this.#repair.rebuild(file.id, within);
    return await this.#health(after ?? await book.find({ id: file.id }));
  }

  async share(ref: FileRef, recipient: string, _ctx: CallContext): Promise<Uint8Array> {
    return await this.#sharing.share(ref, recipient);
  }

  async unshare(ref: FileRef, { signal, requestId }: CallContext): Promise<Unshared> {
    return await inRequest(requestId, () => this.#sharing.unshare(ref, this.#within(signal)));
  }

  shareKey(): string {
    return hex(this.#sharePublic);
  }

  async exportManifest(ref: FileRef, _ctx: CallContext): Promise<Uint8Array> {
    return await exportManifest(this.#kit, ref);
  }

  async importManifest(bytes: Uint8Array, _ctx: CallContext): Promise<FileRecord> {
    return await importManifest(this.#kit, bytes);
  }

  watch(fileId: string | undefined, { signal }: CallContext): AsyncIterable<FileEvent> {
    return this.#events.watch(fileId, AbortSignal.any([signal, this.#closing.signal]));
  }

  /** A source of which pieces come as fast as the shards that they become may leave. */
  #paced(
    source: AsyncIterable<Uint8Array>,
    options: PutFileOptions,
    { signal }: CallContext,
  ): AsyncIterable<Uint8Array> {
    const { dataShards, parityShards } = options.policy ?? this.#kit.settings.defaultPolicy;
    const weight = (dataShards + parityShards) / dataShards;
    return this.#bandwidth?.out.pace(source, { signal, weight }) ?? source;
  }

  #within(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#closing.signal]);
  }

  async #health(file: StoredFile): Promise<FileHealth> {
    const { book, scores, settings } = this.#kit;
    const { isLatest } = await book.record(file);
    await scores.load();
    return healthOf({ ...file, warnings: [...file.warnings, ...avoidedWarnings(file, scores)] }, {
      isLatest,
      reliability: ({ providerId }) => providerId === undefined ? 0.5 : scores.of(providerId),
      repairMs: settings.lostAfterMs + settings.auditIntervalMs,
    });
  }
}
