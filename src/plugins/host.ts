import { join } from "node:path";
import { isModuleRef, moduleNotHere, NodeError, OutboundRules, readAsset, systemClock } from "../core/mod.ts";
import type {
  Clock,
  Log,
  Metrics,
  PluginCall,
  PluginInfo,
  PluginOutcome,
  RequesterId,
  ResolvedFunction,
} from "../core/mod.ts";
import { connectExternalPlugin } from "./external-plugin.ts";
import type { ExternalPlugin, ExternalPluginOptions } from "./external-plugin.ts";
import { Places } from "./external-places.ts";
import { fetchModule } from "./fetch-module.ts";
import { GpuQueue } from "./gpu-queue.ts";
import { HostServices } from "./host-services.ts";
import { KvFolder } from "./kv-folder.ts";
import { ModuleCache } from "./module-cache.ts";
import type { PluginFiles } from "./plugin-files.ts";
import { compareVersions } from "./plugin-manifest.ts";
import { PluginMeters } from "./plugin-meters.ts";
import { type Candidate, PluginReferences } from "./plugin-references.ts";
import { WorkerPool } from "./pool.ts";
import { moduleSha256 } from "./prepare-module.ts";
import { Registry } from "./registry.ts";
import type { RegistryEntry } from "./registry.ts";
import { WasmPlugin } from "./wasm-plugin.ts";

/** Modules that requesters bring. */
export interface ModuleOptions {
  readonly folder: string;
  readonly maxBytes: number;
  readonly bytesPerRequester: number;
  /** The node itself, which may always run them. */
  readonly self: RequesterId;
  /** Whether others may now. */
  readonly accepts: () => boolean;
}

export interface PluginHostOptions {
  /** Where WASM plugins lie; made when it is not there. */
  readonly folder: string;
  /** What an empty plugin name means, as a reference; empty for nothing. */
  readonly defaultPlugin: string;
  /** Threads that run WASM plugins. */
  readonly workers: number;
  /** What WASM plugins may take of the machine together, in percent of one core; 0 is no limit. */
  readonly cpuPercent?: number | undefined;
  readonly maxModuleBytes: number;
  readonly maxInputBytes: number;
  readonly allowUrlInstall: boolean;
  /** Where URLs of installs and of plugins may lead; to public addresses only by default. */
  readonly outbound?: OutboundRules;
  /** What WASM plugins may ask of the node, as `plugin:permission`; nothing by default. */
  readonly grants?: readonly string[];
  /** What each may keep in its key-value store. */
  readonly kvQuotaBytes?: number;
  /** The files that they may reach; absent on a node that keeps none. */
  readonly files?: () => PluginFiles | undefined;
  readonly clock?: Clock;
  /** Without it there are no modules of requesters. */
  readonly brought?: ModuleOptions;
  /** Plugins that run outside the node. */
  readonly external: readonly Pick<
    ExternalPluginOptions,
    "name" | "address" | "protocol" | "command" | "cwd" | "env" | "startTimeoutMs"
  >[];
  /** The most calls that wait for the GPU, of which one has it. */
  readonly maxGpuWaiting?: number;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** The plugins of a node: runs them, lists them, installs and removes them. */
export interface Plugins {
  /**
   * What a call would run: `plugin` is `name` (its highest version that is enabled), `name@version`, a SHA-256 in hex, or empty for the default;
   * an empty `fn` is the first function. A SHA-256 of no plugin may be that of a module that a requester brought, for those who may run such.
   * Throws `plugin_not_found` or `function_not_found`.
   */
  resolve(plugin: string, fn: string, requester?: RequesterId): ResolvedFunction;
  /** Runs a function. Throws as {@link resolve} does, and what the run ended with; see {@link PluginRuntime.execute}. */
  execute(call: PluginCall): Promise<PluginOutcome>;
  /** Keeps a module that a requester brought from making room for others until what this returns is called, once. Other plugins stay by themselves. */
  keep(plugin: string): () => void;
  /** Every plugin, ready or not, by name and version. */
  list(): readonly PluginInfo[];
  /** Throws `plugin_not_found`. */
  get(ref: string): PluginInfo;
  /** Installs a module and enables it. The same module again changes nothing. */
  installBytes(bytes: Uint8Array, options?: { readonly sha256?: string }): Promise<PluginInfo>;
  /** Downloads a module and installs it if its SHA-256 is the given one. */
  installUrl(url: string, options: { readonly sha256: string; readonly signal: AbortSignal }): Promise<PluginInfo>;
  setEnabled(ref: string, enabled: boolean): Promise<PluginInfo>;
  remove(ref: string): Promise<void>;
  /** The modules that requesters brought; they are not in {@link list}. */
  readonly modules: ModuleCache | undefined;
  /** Looks for new and removed files now, without waiting for the folder's watch. */
  rescan(): Promise<void>;
  /** Ends every call and thread. */
  close(): Promise<void>;
}

const DOWNLOAD_TIMEOUT_MS = 60_000;
/** For each worker. Every requester has its own, so that there are more than plugins. */
const WARM_INSTANCES = 256;
const WARM_BYTES = 256 << 20; // 256 MiB
const MAX_GPU_WAITING = 16;
const KV_QUOTA_BYTES = 1 << 20; // 1 MiB

/** Opens the plugins of a node. Throws `storage_failed` when the folder cannot be used. */
export async function openPluginHost(options: PluginHostOptions): Promise<Plugins> {
  const { log, metrics, workers, cpuPercent, maxInputBytes } = options;
  const pool = new WorkerPool({
    workers,
    cpuPercent,
    warmInstances: WARM_INSTANCES,
    warmBytes: WARM_BYTES,
    log,
    metrics,
  });
  const gpu = new GpuQueue({ maxWaiting: options.maxGpuWaiting ?? MAX_GPU_WAITING, metrics });
  const external = options.external.map((plugin) => connectExternalPlugin({ ...plugin, maxInputBytes, gpu, log }));
  const { grants = [], kvQuotaBytes = KV_QUOTA_BYTES, files = () => undefined, clock = systemClock } = options;
  const { outbound = new OutboundRules() } = options;
  const kv = new KvFolder(join(options.folder, "kv"), kvQuotaBytes);
  const services = new HostServices({ kv, clock, files, outbound });
  const host = new Host(options, { pool, external });
  const streamPlaces = new Places();
  // One worker is left to calls that wait for nobody.
  streamPlaces.size = Math.max(1, workers - 1);
  try {
    host.registry = await Registry.open({
      folder: options.folder,
      builtin: readAsset("wasm-plugins/demo/demo.wasm"),
      maxModuleBytes: options.maxModuleBytes,
      load: (prepared) => new WasmPlugin(prepared, { pool, maxInputBytes, services, grants, streamPlaces }),
      onChange: () => host.forgetReferences(),
      log,
    });
    if (options.brought !== undefined) {
      host.modules = await ModuleCache.open({
        ...options.brought,
        load: (prepared) => new WasmPlugin(prepared, { pool, maxInputBytes, services, grants: [], streamPlaces }),
        clock,
        log,
        metrics,
      });
    }
  } catch (error) {
    await host.close();
    throw error;
  }
  return host;
}

class Host implements Plugins {
  /** Set once it is open. */
  registry: Registry | undefined;
  modules: ModuleCache | undefined;
  readonly #options: PluginHostOptions;
  readonly #pool: WorkerPool;
  readonly #external: readonly Candidate[];
  readonly #calls;
  readonly #meters = new PluginMeters();
  readonly #references: PluginReferences;

  constructor(options: PluginHostOptions, parts: { pool: WorkerPool; external: readonly ExternalPlugin[] }) {
    this.#options = options;
    this.#pool = parts.pool;
    this.#external = parts.external.map((external) => ({
      info: () => external.info(),
      execute: (call, fn) => external.execute(call, fn),
      external,
    }));
    this.#references = new PluginReferences({
      defaultPlugin: options.defaultPlugin,
      candidates: () => this.#candidates(),
      module: (ref, requester) => this.#module(ref, requester),
    });
    this.#calls = options.metrics.counter("velas_plugin_calls_total", "Plugin calls by runtime and outcome", [
      "runtime",
      "outcome",
    ]);
  }

  forgetReferences(): void {
    this.#references.forget();
  }

  resolve(plugin: string, fn: string, requester?: RequesterId): ResolvedFunction {
    const { candidate, resolved } = this.#references.resolve(plugin, fn, requester);
    return candidate.info().gpu === undefined ? resolved : { ...resolved, gpu: true };
  }

  async execute(call: PluginCall): Promise<PluginOutcome> {
    let { candidate, resolved } = this.#references.resolve(call.plugin, call.function, call.requester);
    if (candidate.external !== undefined && candidate.info().functions.length === 0) {
      await candidate.external.settled();
      ({ candidate, resolved } = this.#references.resolve(call.plugin, call.function, call.requester));
    }
    const runtime = candidate.external === undefined ? "wasm" : "grpc";
    try {
      const outcome = await candidate.execute(call, resolved.function);
      this.#calls.add(1, { runtime, outcome: "ok" });
      this.#meters.succeeded(resolved.plugin, outcome);
      return outcome;
    } catch (error) {
      this.#calls.add(1, { runtime, outcome: error instanceof NodeError ? error.code : "internal" });
      this.#meters.failed(resolved.plugin);
      throw error;
    }
  }

  keep(plugin: string): () => void {
    return isModuleRef(plugin) ? this.modules?.keep(plugin.toLowerCase()) ?? nothing : nothing;
  }

  list(): readonly PluginInfo[] {
    const byDefault = this.#references.default();
    return this.#candidates()
      .map((candidate) => this.#show(candidate, byDefault))
      .sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : compareVersions(a.version, b.version));
  }

  get(ref: string): PluginInfo {
    return this.#show(this.#references.find(ref));
  }

  async installBytes(bytes: Uint8Array, { sha256 }: { readonly sha256?: string } = {}): Promise<PluginInfo> {
    if (sha256 !== undefined) checkDigest(bytes, sha256);
    return await this.#install(bytes, "upload");
  }

  async installUrl(
    url: string,
    { sha256, signal }: { readonly sha256: string; readonly signal: AbortSignal },
  ): Promise<PluginInfo> {
    if (!this.#options.allowUrlInstall) {
      throw new NodeError(
        "permission_denied",
        "This node does not install plugins from URLs (plugins.allowUrlInstall); upload the file instead",
      );
    }
    checkDigestForm(sha256);
    const bytes = await fetchModule(url, {
      maxBytes: this.#options.maxModuleBytes,
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
      outbound: this.#options.outbound ?? new OutboundRules(),
      signal,
    });
    checkDigest(bytes, sha256);
    return this.#install(bytes, withoutPassword(url));
  }

  async setEnabled(ref: string, enabled: boolean): Promise<PluginInfo> {
    const { entry } = this.#inFolder(ref, enabled ? "enabled" : "disabled");
    if (entry.sha256 === "") {
      throw new NodeError("failed_precondition", `The file of ${ref} cannot be read: ${entry.problem}`);
    }
    await this.#open.setEnabled(entry, enabled);
    return this.#show(this.#ofEntry(entry));
  }

  async remove(ref: string): Promise<void> {
    const { entry } = this.#inFolder(ref, "removed");
    const { name, version } = this.#open.info(entry);
    await this.#open.remove(entry);
    this.#meters.forget(`${name}@${version}`);
  }

  rescan(): Promise<void> {
    return this.#open.rescan();
  }

  async close(): Promise<void> {
    await Promise.all([
      this.registry?.close(),
      this.modules?.close(),
      this.#pool.close(),
      ...this.#external.map(({ external }) => external?.close()),
    ]);
  }

  get #open(): Registry {
    return this.registry!;
  }

  async #install(bytes: Uint8Array, origin: string): Promise<PluginInfo> {
    return this.#show(this.#ofEntry(await this.#open.install(bytes, origin)));
  }

  /** The module of a requester that a reference means to somebody. What the operator installed, or disabled, comes first. */
  #module(ref: string, requester: RequesterId | undefined): Candidate | undefined {
    const { modules } = this;
    if (modules === undefined || !isModuleRef(ref) || !this.#runsModulesFor(requester)) return undefined;
    const sha256 = ref.toLowerCase();
    if (this.#open.entries.some((entry) => entry.sha256 === sha256)) return undefined;
    const info = modules.plugin(sha256);
    if (info === undefined) throw moduleNotHere(sha256);
    return { info: () => info, execute: (call, fn) => modules.execute(sha256, call, fn), isModule: true };
  }

  #runsModulesFor(requester: RequesterId | undefined): boolean {
    const { brought } = this.#options;
    return brought !== undefined && (requester === brought.self || brought.accepts());
  }

  #inFolder(ref: string, what: string): { entry: RegistryEntry } {
    const { entry } = this.#references.find(ref);
    if (entry !== undefined) return { entry };
    throw new NodeError(
      "failed_precondition",
      `The plugin ${ref} runs outside the node and cannot be ${what} here; change plugins.external in the configuration`,
    );
  }

  #show(candidate: Candidate, byDefault = this.#references.default()): PluginInfo {
    const info = candidate.info();
    const used = this.#meters.of(`${info.name}@${info.version}`);
    return { ...info, isDefault: isSame(candidate, byDefault), ...(used !== undefined && { used }) };
  }

  #candidates(): Candidate[] {
    return [...this.#open.entries.map((entry) => this.#ofEntry(entry)), ...this.#external];
  }

  #ofEntry(entry: RegistryEntry): Candidate {
    return {
      entry,
      info: () => this.#open.info(entry),
      execute: (call, fn) => entry.plugin!.execute(call, fn),
    };
  }
}

function isSame(a: Candidate, b: Candidate | undefined): boolean {
  return b !== undefined && (a.external ?? a.entry?.file) === (b.external ?? b.entry?.file);
}

/** Where a module came from is shown to those who list plugins. */
function withoutPassword(address: string): string {
  const url = new URL(address);
  if (url.username === "" && url.password === "") return address;
  url.username = url.password = "";
  return url.href;
}

function checkDigestForm(sha256: string): void {
  if (/^[0-9a-f]{64}$/i.test(sha256)) return;
  throw new NodeError("invalid_argument", `A SHA-256 is 64 hex digits, not "${sha256.slice(0, 80)}"`);
}

function checkDigest(bytes: Uint8Array, sha256: string): void {
  checkDigestForm(sha256);
  const actual = moduleSha256(bytes);
  if (actual === sha256.toLowerCase()) return;
  throw new NodeError("invalid_argument", `The module has the SHA-256 ${actual}, not ${sha256.toLowerCase()}`, {
    data: { expected: sha256.toLowerCase(), actual },
  });
}

function nothing(): void {}
