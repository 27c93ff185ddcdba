import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { NodeError, toNodeError } from "../core/mod.ts";
import type { Log, PluginInfo } from "../core/mod.ts";
import { PluginFolder } from "./plugin-folder.ts";
import type { FolderFile, PluginRecord } from "./plugin-folder.ts";
import { moduleSha256, prepareModule } from "./prepare-module.ts";
import type { PreparedModule } from "./prepare-module.ts";
import type { WasmPlugin } from "./wasm-plugin.ts";

export interface RegistryOptions {
  readonly folder: string;
  /** The module that comes with the program; installed once. */
  readonly builtin: Uint8Array;
  readonly maxModuleBytes: number;
  readonly load: (prepared: PreparedModule) => WasmPlugin;
  /** Called after every change of what is here. */
  readonly onChange: () => void;
  readonly log: Log;
}

/** A file of the folder as the registry knows it. */
export interface RegistryEntry {
  readonly file: string;
  readonly stamp: string;
  readonly sizeBytes: number;
  /** Empty when the file could not be read. */
  readonly sha256: string;
  readonly plugin: WasmPlugin | undefined;
  /** Why it cannot run, in words. */
  readonly problem: string | undefined;
}

const RESCAN_DELAY_MS = 100; // a file that is being copied changes many times

/**
 * The WASM plugins of a node: what lies in its folder, whether put there by hand or installed, with what `registry.json` remembers
 * of each. Changes of the folder are picked up while the node runs. A file that is no plugin is listed with the reason.
 */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #folder: PluginFolder;
  #entries: readonly RegistryEntry[] = [];
  #records = new Map<string, PluginRecord>();
  #builtin: string | undefined;
  /** Changes happen one after another. */
  #turn: Promise<unknown> = Promise.resolve();
  #watcher: FSWatcher | undefined;
  #rescanTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  private constructor(options: RegistryOptions) {
    this.#options = options;
    this.#folder = new PluginFolder(options.folder);
  }

  /** Opens the folder, making it when it is not there. Throws `storage_failed` or `storage_full`. */
  static async open(options: RegistryOptions): Promise<Registry> {
    const registry = new Registry(options);
    await registry.#open();
    return registry;
  }

  /** Every file, by name. */
  get entries(): readonly RegistryEntry[] {
    return this.#entries;
  }

  isEnabled({ sha256 }: RegistryEntry): boolean {
    return this.#records.get(sha256)?.enabled ?? true;
  }

  /** How the registry shows a file. `isDefault` is for the host to say. */
  info(entry: RegistryEntry): PluginInfo {
    const { file, sha256, sizeBytes, plugin, problem } = entry;
    const enabled = this.isEnabled(entry);
    return {
      name: plugin?.manifest.name ?? file.replace(/\.wasm$/, ""),
      version: plugin?.manifest.version ?? "0.0.0",
      description: plugin?.manifest.description ?? "",
      functions: plugin?.manifest.functions ?? [],
      sha256,
      sizeBytes,
      runtime: "wasm",
      isDefault: false,
      enabled,
      ready: enabled && problem === undefined,
      ...problem !== undefined ? { problem } : !enabled && { problem: "It is disabled" },
    };
  }

  /** Looks into the folder now. */
  rescan(): Promise<void> {
    return this.#next(() => this.#scan());
  }

  /**
   * Installs a module. The same bytes again change nothing. Throws `module_invalid`, `input_too_large`, or `already_exists` when another
   * module has the same name and version.
   */
  install(bytes: Uint8Array, origin: string): Promise<RegistryEntry> {
    return this.#next(async () => {
      const { maxModuleBytes } = this.#options;
      if (bytes.length > maxModuleBytes) throw new NodeError("input_too_large", tooLarge(bytes.length, maxModuleBytes));
      const sha256 = moduleSha256(bytes);
      const known = this.#bySha256(sha256);
      if (known !== undefined) return known;
      const short = sha256.slice(0, 12);
      const unnamed = `plugin-${short}`;
      const { manifest } = await prepareModule(bytes, unnamed);
      const rival = this.#entries.find(({ plugin }) =>
        plugin?.manifest.name === manifest.name && plugin.manifest.version === manifest.version
      );
      if (rival !== undefined) {
        throw new NodeError(
          "already_exists",
          `${manifest.name}@${manifest.version} is installed here with other content (${rival.sha256}); remove that one first, or ` +
            "give the new one another version",
          { data: { plugin: `${manifest.name}@${manifest.version}`, sha256: rival.sha256 } },
        );
      }
      await this.#record(sha256, { enabled: true, origin });
      // A module without a manifest is named after its file, so the file must bear the name that was just checked.
      const name = manifest.name === unnamed ? unnamed : `${manifest.name}-${manifest.version}-${short}`;
      await this.#folder.write(`${name}.wasm`, bytes);
      await this.#scan();
      return this.#bySha256(sha256)!;
    });
  }

  setEnabled(entry: RegistryEntry, enabled: boolean): Promise<void> {
    return this.#next(async () => {
      if (this.isEnabled(entry) === enabled) return;
      await this.#record(entry.sha256, { enabled, origin: this.#records.get(entry.sha256)?.origin ?? "file" });
      this.#options.onChange();
    });
  }

  /** Removes the file. Calls that run come to their end. */
  remove(entry: RegistryEntry): Promise<void> {
    return this.#next(async () => {
      await this.#folder.remove(entry.file);
      await this.#scan();
      if (this.#records.has(entry.sha256)) {
        this.#records.delete(entry.sha256);
        await this.#save();
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#rescanTimer);
    this.#watcher?.close();
    await this.#turn.catch(() => {});
    for (const { plugin } of this.#entries) plugin?.close();
  }

  #next<T>(action: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(action);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #open(): Promise<void> {
    await this.#folder.prepare();
    const { builtin, plugins } = await this.#folder.readRegistry();
    this.#builtin = builtin;
    this.#records = new Map(plugins);
    this.#watch();
    await this.rescan();
    await this.#installBuiltin();
  }

  /** Puts the built-in module in, unless this very one was put in before: somebody may have removed it since. */
  async #installBuiltin(): Promise<void> {
    const { builtin, log } = this.#options;
    const sha256 = moduleSha256(builtin);
    if (this.#builtin === sha256) return;
    try {
      const former = this.#builtin === undefined ? undefined : this.#bySha256(this.#builtin);
      // An older version of the program put it there; this one brings its own.
      if (former !== undefined && this.#records.get(former.sha256)?.origin === "builtin") await this.remove(former);
      await this.install(builtin, "builtin");
    } catch (error) {
      // Such as a plugin of the same name and version that the operator put in: that one stays.
      if (toNodeError(error).code !== "already_exists") throw error;
      log.warn("The built-in plugin was not installed", { error });
    }
    this.#builtin = sha256;
    await this.#next(() => this.#save());
  }

  #watch(): void {
    const { log } = this.#options;
    try {
      this.#watcher = watch(this.#folder.path, { persistent: false }, () => this.#rescanSoon());
      this.#watcher.on("error", (error) => log.warn("The plugin folder is no longer watched", { error }));
    } catch (error) {
      log.warn("The plugin folder cannot be watched; plugins put into it are found at the next start", { error });
    }
  }

  #rescanSoon(): void {
    if (this.#closed) return;
    clearTimeout(this.#rescanTimer);
    this.#rescanTimer = setTimeout(() => {
      this.rescan().catch((error: unknown) => this.#options.log.warn("The plugin folder cannot be read", { error }));
    }, RESCAN_DELAY_MS);
    this.#rescanTimer.unref?.();
  }

  async #scan(): Promise<void> {
    if (this.#closed) return;
    const before = new Map(this.#entries.map((entry) => [entry.file, entry]));
    const files = await this.#folder.list();
    const same = files.length === before.size && files.every(({ name, stamp }) => before.get(name)?.stamp === stamp);
    if (same) return;
    const entries: RegistryEntry[] = [];
    for (const file of files) {
      const old = before.get(file.name);
      entries.push(old?.stamp === file.stamp ? old : await this.#load(file));
    }
    this.#entries = withoutRivals(entries);
    const kept = new Set(this.#entries.map(({ plugin }) => plugin));
    for (const { plugin } of before.values()) if (!kept.has(plugin)) plugin?.close();
    this.#options.onChange();
  }

  async #load({ name: file, stamp, sizeBytes }: FolderFile): Promise<RegistryEntry> {
    const { maxModuleBytes, load, log } = this.#options;
    let sha256 = "";
    try {
      if (sizeBytes > maxModuleBytes) throw new NodeError("input_too_large", tooLarge(sizeBytes, maxModuleBytes));
      const bytes = await this.#folder.read(file);
      sha256 = moduleSha256(bytes);
      const plugin = load(await prepareModule(bytes, file.replace(/\.wasm$/, "")));
      return { file, stamp, sizeBytes, sha256, plugin, problem: undefined };
    } catch (error) {
      const problem = toNodeError(error).message;
      log.warn("A file in the plugin folder is no plugin that can run", { file, problem });
      return { file, stamp, sizeBytes, sha256, plugin: undefined, problem };
    }
  }

  #bySha256(sha256: string): RegistryEntry | undefined {
    return this.#entries.find((entry) => entry.sha256 === sha256 && entry.plugin !== undefined);
  }

  async #record(sha256: string, record: PluginRecord): Promise<void> {
    const before = this.#records.get(sha256);
    this.#records.set(sha256, record);
    try {
      await this.#save();
    } catch (error) {
      if (before === undefined) this.#records.delete(sha256);
      else this.#records.set(sha256, before);
      throw error;
    }
  }

  #save(): Promise<void> {
    return this.#folder.writeRegistry({
      ...this.#builtin !== undefined && { builtin: this.#builtin },
      plugins: this.#records,
    });
  }
}

/** Marks all but the first of several files that hold the same name and version: a reference must mean one thing. */
function withoutRivals(entries: readonly RegistryEntry[]): RegistryEntry[] {
  const first = new Map<string, string>();
  return entries.map((entry) => {
    if (entry.plugin === undefined) return entry;
    const id = `${entry.plugin.manifest.name}@${entry.plugin.manifest.version}`;
    const rival = first.get(id);
    if (rival === undefined) first.set(id, entry.file);
    const problem = rival === undefined ? undefined : `${id} is also in the file ${rival}; remove one of the two`;
    return entry.problem === problem ? entry : { ...entry, problem };
  });
}

function tooLarge(sizeBytes: number, maxBytes: number): string {
  return `The module has ${sizeBytes} bytes, and this node takes at most ${maxBytes} (plugins.maxModuleBytes)`;
}
