import { moduleNotHere, NodeError, toNodeError } from "../core/mod.ts";
import type {
  CachedModule,
  Clock,
  Log,
  Metrics,
  ModuleKeeping,
  PluginCall,
  PluginInfo,
  PluginOutcome,
  RequesterId,
} from "../core/mod.ts";
import { ModuleFolder } from "./module-folder.ts";
import type { ModuleRecord } from "./module-folder.ts";
import { moduleSha256, prepareModule } from "./prepare-module.ts";
import type { PreparedModule } from "./prepare-module.ts";
import type { WasmPlugin } from "./wasm-plugin.ts";

export interface ModuleCacheOptions {
  readonly folder: string;
  /** What all modules may take together. */
  readonly maxBytes: number;
  /** What those of one requester may take; {@link self} has the whole cache. */
  readonly bytesPerRequester: number;
  /** The node's own id. */
  readonly self: RequesterId | undefined;
  readonly load: (prepared: PreparedModule) => WasmPlugin;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

interface Entry {
  readonly record: ModuleRecord;
  lastUsedAt: number;
  /** As the file's time says it. */
  notedAt: number;
  running: number;
  /** Tasks that run or wait and are to find it. */
  kept: number;
  plugin: Promise<WasmPlugin> | undefined;
}

/** What a module takes beside its bytes: its record, and its place in the memory. */
export const MODULE_OVERHEAD_BYTES = 64 << 10;
/** Modules that are compiled at the same time, by the size of their files. Others are compiled again when they are used. */
const COMPILED_BYTES = 64 << 20;
const NOTE_INTERVAL_MS = 60_000;

/**
 * Modules that requesters brought, by SHA-256. When there is no room for another, those that were not used for longest go: of its requester over
 * the requester's quota, of all over the cache's size. One that a task runs or waits for stays. A module is compiled when it is first needed; what it may do is for
 * `load` to say.
 */
export class ModuleCache implements ModuleKeeping {
  readonly #options: ModuleCacheOptions;
  readonly #folder: ModuleFolder;
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>();
  readonly #evictions;
  readonly #bytes;
  #totalBytes = 0;
  /** Changes happen one after another. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: ModuleCacheOptions) {
    const { folder, log, metrics } = options;
    this.#options = options;
    this.#folder = new ModuleFolder(folder, log);
    this.#evictions = metrics.counter(
      "velas_module_evictions_total",
      "Modules of requesters that had to make room for others",
    );
    this.#bytes = metrics.gauge("velas_module_cache_bytes", "What modules of requesters take of the disk, in bytes");
  }

  /** Opens the folder, making it when it is not there. Throws `storage_failed`. */
  static async open(options: ModuleCacheOptions): Promise<ModuleCache> {
    const cache = new ModuleCache(options);
    await cache.#open();
    return cache;
  }

  list(): readonly CachedModule[] {
    return [...this.#entries.values()].map(shown);
  }

  get(sha256: string): CachedModule | undefined {
    const entry = this.#entries.get(sha256);
    return entry && shown(entry);
  }

  /** The module as a plugin; undefined when it is not here. */
  plugin(sha256: string): PluginInfo | undefined {
    const entry = this.#entries.get(sha256);
    if (entry === undefined) return undefined;
    const { requester: _, ...record } = entry.record;
    return { ...record, description: "", runtime: "wasm", isDefault: false, enabled: true, ready: true };
  }

  /** As {@link get}; the module counts as used. */
  use(sha256: string): CachedModule | undefined {
    const entry = this.#entries.get(sha256);
    if (entry === undefined) return undefined;
    this.#used(entry);
    return shown(entry);
  }

  async read(sha256: string): Promise<Uint8Array> {
    const entry = this.#entries.get(sha256);
    if (entry === undefined) throw moduleNotHere(sha256);
    this.#used(entry);
    return await this.#read(entry);
  }

  /** Throws `storage_full` when a module of this size would find no room, however many were evicted. */
  checkRoom(sizeBytes: number, requester: RequesterId): void {
    this.#victims(sizeBytes, requester);
  }

  /** Takes a module in; one that is here changes nothing. Throws `module_invalid`, `storage_full`, `storage_failed`. */
  add(bytes: Uint8Array, requester: RequesterId): Promise<CachedModule> {
    return this.#next(async () => {
      const sha256 = moduleSha256(bytes);
      const known = this.use(sha256);
      if (known !== undefined) return known;
      this.checkRoom(bytes.length, requester);
      const prepared = await prepareModule(bytes, `module-${sha256.slice(0, 12)}`);
      const victims = this.#victims(bytes.length, requester);
      // All at once, before anything is awaited: no task begins with one that is about to go.
      for (const victim of victims) this.#forget(victim);
      for (const { record } of victims) {
        this.#options.log.info("An uploaded module makes room", { sha256: record.sha256 });
        this.#evictions.add();
        await this.#folder.remove(record.sha256);
      }
      const { name, version, functions } = prepared.manifest;
      const record = { sha256, sizeBytes: bytes.length, requester, name, version, functions };
      await this.#folder.write(record, bytes);
      const now = this.#options.clock.now();
      await this.#folder.touch(sha256, now);
      const plugin = Promise.resolve(this.#options.load(prepared));
      const entry = { record, lastUsedAt: now, notedAt: now, running: 0, kept: 0, plugin };
      this.#entries.set(sha256, entry);
      this.#count(sizeOf(entry));
      this.#letGo(entry);
      return shown(entry);
    });
  }

  remove(sha256: string): Promise<void> {
    return this.#next(async () => {
      const entry = this.#entries.get(sha256);
      if (entry === undefined) throw moduleNotHere(sha256);
      const tasks = Math.max(entry.running, entry.kept);
      if (tasks > 0) {
        throw new NodeError(
          "failed_precondition",
          `${tasks} tasks run the module ${sha256} now or wait to: cancel them, or wait for their end`,
        );
      }
      this.#forget(entry);
      await this.#folder.remove(sha256);
    });
  }

  /** Keeps a module from making room, and from being removed, until what this returns is called, once; undefined when it is not here. */
  keep(sha256: string): (() => void) | undefined {
    const entry = this.#entries.get(sha256);
    if (entry === undefined) return undefined;
    entry.kept++;
    return () => {
      entry.kept--;
    };
  }

  /** Runs a function of a module. Throws `plugin_not_found` when the module is not here (any more), and what the run ended with. */
  async execute(sha256: string, call: PluginCall, fn: string): Promise<PluginOutcome> {
    const entry = this.#entries.get(sha256);
    if (entry === undefined) throw moduleNotHere(sha256);
    entry.running++;
    this.#used(entry);
    try {
      return await (await this.#compiled(entry)).execute(call, fn);
    } finally {
      entry.running--;
    }
  }

  /** Notes when modules were used, and lets go of those that are compiled. */
  async close(): Promise<void> {
    await this.#turn.catch(() => {});
    for (const entry of this.#entries.values()) {
      closePlugin(entry);
      if (entry.notedAt !== entry.lastUsedAt) await this.#folder.touch(entry.record.sha256, entry.lastUsedAt);
    }
  }

  async #open(): Promise<void> {
    for (const { lastUsedAt, ...record } of await this.#folder.open()) {
      const entry = { record, lastUsedAt, notedAt: lastUsedAt, running: 0, kept: 0, plugin: undefined };
      this.#entries.set(record.sha256, entry);
      this.#count(sizeOf(entry));
    }
    // The operator may have made the cache smaller.
    for (const entry of this.#entries.values()) {
      if (this.#totalBytes <= this.#options.maxBytes) break;
      this.#forget(entry);
      await this.#folder.remove(entry.record.sha256);
    }
  }

  /** Those that make room for a module. Throws `storage_full` when there are not enough. */
  #victims(sizeBytes: number, requester: RequesterId): Entry[] {
    const { maxBytes, bytesPerRequester, self } = this.#options;
    const needed = sizeBytes + MODULE_OVERHEAD_BYTES;
    const victims = new Set<Entry>();
    const evict = (overBytes: number, from: readonly Entry[]): number => {
      let over = overBytes;
      for (const entry of from) {
        if (over <= 0) break;
        if (entry.running > 0 || entry.kept > 0 || victims.has(entry)) continue;
        victims.add(entry);
        over -= sizeOf(entry);
      }
      return over;
    };
    const all = [...this.#entries.values()];
    const own = all.filter(({ record }) => record.requester === requester);
    if (requester !== self && evict(needed + bytesOf(own) - bytesPerRequester, own) > 0) {
      throw noRoom(needed, { maxBytes: bytesPerRequester, setting: "plugins.moduleBytesPerRequester" });
    }
    if (evict(needed + this.#totalBytes - bytesOf(victims) - maxBytes, all) > 0) {
      throw noRoom(needed, { maxBytes, setting: "plugins.moduleCacheBytes" });
    }
    return [...victims];
  }

  /** From here on nobody finds it. Its files are still to be removed. */
  #forget(entry: Entry): void {
    this.#entries.delete(entry.record.sha256);
    this.#count(-sizeOf(entry));
    closePlugin(entry);
  }

  #used(entry: Entry): void {
    const { sha256 } = entry.record;
    entry.lastUsedAt = this.#options.clock.now();
    this.#entries.delete(sha256);
    this.#entries.set(sha256, entry);
    if (entry.lastUsedAt - entry.notedAt < NOTE_INTERVAL_MS) return;
    entry.notedAt = entry.lastUsedAt;
    void this.#next(() => this.#folder.touch(sha256, entry.notedAt));
  }

  #compiled(entry: Entry): Promise<WasmPlugin> {
    if (entry.plugin !== undefined) return entry.plugin;
    const { sha256 } = entry.record;
    const loading = this.#read(entry)
      .then((bytes) => prepareModule(bytes, `module-${sha256.slice(0, 12)}`))
      .then((prepared) => {
        this.#letGo(entry);
        return this.#options.load(prepared);
      });
    entry.plugin = loading;
    loading.catch(() => {
      if (entry.plugin === loading) entry.plugin = undefined;
    });
    return loading;
  }

  async #read(entry: Entry): Promise<Uint8Array> {
    const { sha256 } = entry.record;
    try {
      const bytes = await this.#folder.read(sha256);
      if (moduleSha256(bytes) === sha256) return bytes;
      throw new NodeError("data_corrupt", "its bytes have changed on the disk");
    } catch (cause) {
      this.#options.log.warn("An uploaded module cannot be read and was removed", {
        sha256,
        problem: toNodeError(cause).message,
      });
      await this.#next(async () => {
        if (this.#entries.get(sha256) !== entry) return;
        this.#forget(entry);
        await this.#folder.remove(sha256);
      }).catch(() => {});
      throw moduleNotHere(sha256, cause);
    }
  }

  /** Lets go of compiled modules that are too many, but for one. */
  #letGo(kept: Entry): void {
    const compiled = [...this.#entries.values()].filter(({ plugin }) => plugin !== undefined);
    let bytes = bytesOf(compiled);
    for (const entry of compiled) {
      if (bytes <= COMPILED_BYTES) return;
      if (entry === kept || entry.running > 0) continue;
      closePlugin(entry);
      bytes -= sizeOf(entry);
    }
  }

  #count(bytes: number): void {
    this.#totalBytes += bytes;
    this.#bytes.set(this.#totalBytes);
  }

  #next<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => {});
    return result;
  }
}

function closePlugin(entry: Entry): void {
  entry.plugin?.then((plugin) => plugin.close(), () => {});
  entry.plugin = undefined;
}

function shown({ record, lastUsedAt, running }: Entry): CachedModule {
  return { ...record, functions: record.functions.map(({ name }) => name), lastUsedAt, running };
}

function sizeOf({ record }: Entry): number {
  return record.sizeBytes + MODULE_OVERHEAD_BYTES;
}

function bytesOf(entries: Iterable<Entry>): number {
  let bytes = 0;
  for (const entry of entries) bytes += sizeOf(entry);
  return bytes;
}

function noRoom(needed: number, { maxBytes, setting }: { readonly maxBytes: number; readonly setting: string }) {
  const never = needed > maxBytes;
  return new NodeError(
    "storage_full",
    `The module would take ${needed} bytes where at most ${maxBytes} are (${setting})` +
      (never ? "" : ", and tasks run or wait for what else is there: upload it when they have ended"),
    { data: { needed, maxBytes, setting }, retryable: !never },
  );
}
