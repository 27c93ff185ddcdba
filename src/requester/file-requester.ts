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
  readCapability,
  type ShardService,
  signCapability,
  SteadyClock,
  type StoredFile,
  type Unshared,
} from "../core/mod.ts";
import { addRecipient, type Identity, openManifest, systemRandom } from "../codec/mod.ts";
import { type BudgetTime, ByteBudget } from "./byte-budget.ts";
import { FileAudit } from "./file-audit.ts";
import { FileBook } from "./file-book.ts";
import { FileEvents } from "./file-events.ts";
import type { FileKeyring } from "./file-keyring.ts";
import type { FileKit } from "./file-kit.ts";
import { listFiles } from "./file-list.ts";
import { importedFile } from "./file-import.ts";
import { FileMetrics } from "./file-metrics.ts";
import type { CustodyHolder, FileStore, ProviderOffer, StorageLedger } from "./file-ports.ts";
import { FilePut } from "./file-put.ts";
import { FileRead } from "./file-read.ts";
import { FileRepair } from "./file-repair.ts";
import { healthOf } from "./file-risk.ts";
import type { FileSettings } from "./file-settings.ts";
import { decodeShare, encodeShare, isShare } from "./file-share.ts";
import { FileUpkeep } from "./file-upkeep.ts";
import { hex, unhex } from "./hex.ts";
import { LeaseRenewal } from "./lease-renewal.ts";
import { manifestOf } from "./manifest-of.ts";
import { openShards } from "./open-file.ts";
import { ProviderPool } from "./provider-pool.ts";
import { ProviderScores, type ProviderScoresOptions } from "./provider-scores.ts";
import { checkName } from "./put-order.ts";
import { refuseShares } from "./refuse-shares.ts";
import { shardIdOf } from "./shard-ids.ts";

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

/** How long others may read a file that was shared with them, in milliseconds. */
const SHARE_MS = 90 * 24 * 3_600_000;
/** How often they may read it whole, and the least that they may read, from each provider. */
const SHARE_READS = 100;
const MIN_SHARE_BYTES = 1 << 30; // 1 GiB

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
  readonly #key: NodeKey | undefined;
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
    this.#key = options.key;
    this.#bandwidth = options.bandwidth;
    this.#repair = new FileRepair(kit, new ByteBudget(settings.repairBytesPerSecond, budgetTime));
    this.#audit = new FileAudit(kit, new ByteBudget(settings.auditBytesPerSecond, budgetTime));
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
    const { book, clock } = this.#kit;
    const file = await book.find(ref);
    if (this.#key === undefined || file.sharedBy !== undefined) {
      throw new NodeError("permission_denied", `Only the owner of file ${file.id} can share it`, {
        data: { id: file.id },
      });
    }
    const { manifest, header, layout, roots } = await openShards(this.#kit, file);
    const shared = addRecipient(manifest.header, {
      fileKey: header.fileKey,
      recipient: { type: "x25519", publicKey: unhex(recipient) },
    });
    // Later than what was taken back, also after the clock was put back.
    const expiresAt = Math.max(clock.now() + SHARE_MS, (file.refusedUpTo ?? 0) + 1);
    const capability = signCapability(this.#key, {
      audience: "",
      shards: roots.map((_, index) => shardIdOf(header, index)),
      actions: ["read", "audit"],
      expiresAt,
      maxBytes: Math.max(SHARE_READS * layout.shardBytes, MIN_SHARE_BYTES),
    });
    const parts = { header: shared, roots, keys: header.keys };
    return await encodeShare({ manifest: manifestOf(file, parts), capability }, header);
  }

  async unshare(ref: FileRef, { signal, requestId }: CallContext): Promise<Unshared> {
    const { book, clock } = this.#kit;
    const file = await book.find(ref);
    if (this.#key === undefined || file.sharedBy !== undefined) {
      throw new NodeError("permission_denied", `Only the owner of file ${file.id} can take its shares back`, {
        data: { id: file.id },
      });
    }
    if (file.phase === "uploading") {
      throw new NodeError("failed_precondition", `File ${file.id} is still uploading and has no shares`, {
        data: { id: file.id },
      });
    }
    // No share that was made so far ends later. Noted first, so that providers are told even when this node stops on the way.
    await book.update(file.id, (now) => ({
      ...now,
      refusedUpTo: Math.max(clock.now() + SHARE_MS, now.refusedUpTo ?? 0),
    }));
    return await inRequest(requestId, () => refuseShares(this.#kit, file.id, this.#within(signal)));
  }

  shareKey(): string {
    return hex(this.#sharePublic);
  }

  async exportManifest(ref: FileRef, _ctx: CallContext): Promise<Uint8Array> {
    const { book, store } = this.#kit;
    const file = await book.find(ref);
    const manifest = await store.manifest(file.id);
    if (manifest !== undefined) return manifest;
    throw new NodeError("failed_precondition", `File ${file.id} is still uploading and has no manifest`, {
      data: { id: file.id },
    });
  }

  async importManifest(bytes: Uint8Array, _ctx: CallContext): Promise<FileRecord> {
    const { book } = this.#kit;
    const { imported, manifest } = await this.#imported(bytes);
    return await book.withName(imported.name, async () => {
      const known = await book.get(imported.id);
      if (known !== undefined) return await this.#restoreManifest(known, manifest);
      const versions = (await book.versions(imported.name)).map(({ version }) => version);
      // The number of a version is its place under its name here, where another may have it by now.
      const version = versions.includes(imported.version) ? Math.max(...versions) + 1 : imported.version;
      const file: StoredFile = { ...imported, version };
      await book.add(file, { manifest });
      return await book.record(file);
    });
  }

  /** Gives a file that has lost its manifest one again, with the places that its record knows. Throws `already_exists` when it has not. */
  async #restoreManifest(known: StoredFile, copy: Uint8Array): Promise<FileRecord> {
    const { book, master, share } = this.#kit;
    const isWhole = await openShards(this.#kit, known).then(() => true, () => false);
    if (isWhole || known.phase !== "kept") {
      throw new NodeError("already_exists", `File ${known.id} is here already`, { data: { id: known.id } });
    }
    const { manifest: { header: headerBytes, shards }, header } = openManifest(
      copy,
      known.sharedBy === undefined ? master : share,
    );
    const roots = shards.map(({ root }) => root);
    const file = await book.update(
      known.id,
      (now) => ({ ...now, dueAt: this.#kit.steady.now() }),
      (now) => ({ manifest: manifestOf(now, { header: headerBytes, roots, keys: header.keys }) }),
    );
    return await book.record(file ?? known);
  }

  /** What a manifest of this node, or a share of another, describes. */
  async #imported(bytes: Uint8Array): Promise<{ readonly imported: StoredFile; readonly manifest: Uint8Array }> {
    const { master, share, steady, settings } = this.#kit;
    const rest = { now: steady.now(), auditIntervalMs: settings.auditIntervalMs };
    if (!isShare(bytes)) return { imported: importedFile(bytes, { identity: master, ...rest }), manifest: bytes };
    const { manifest, capability } = await decodeShare(bytes, (inner) => openManifest(inner, share).header);
    const shared = { by: readCapability(capability).issuer, capability };
    return { imported: importedFile(manifest, { identity: share, shared, ...rest }), manifest };
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
    return healthOf(file, {
      isLatest,
      reliability: ({ providerId }) => providerId === undefined ? 0.5 : scores.of(providerId),
      repairMs: settings.lostAfterMs + settings.auditIntervalMs,
    });
  }
}
