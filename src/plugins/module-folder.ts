import { readdir, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Log, PluginFunction, RequesterId } from "../core/mod.ts";
import { PluginFolder } from "./plugin-folder.ts";

/** What is remembered of a module beside its bytes, so that it need not be compiled before it is used. */
export interface ModuleRecord {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly requester: RequesterId;
  readonly name: string;
  readonly version: string;
  readonly functions: readonly PluginFunction[];
}

const FORMAT = 1;
const FILE = /^([0-9a-f]{64})\.(wasm|json)$/;

/**
 * The folder of uploaded modules: `<sha256>.wasm`, whose time is when it was last used, and `<sha256>.json` with its record. Half of a pair, as a
 * crash can leave, and records of another format are removed: whoever needs the module uploads it again.
 */
export class ModuleFolder {
  readonly #files: PluginFolder;
  readonly #log: Log;

  constructor(path: string, log: Log) {
    this.#files = new PluginFolder(path);
    this.#log = log;
  }

  /** Makes the folder and reads what is in it, the least recently used first. Throws `storage_failed`. */
  async open(): Promise<(ModuleRecord & { readonly lastUsedAt: number })[]> {
    await this.#files.prepare();
    const kinds = new Map<string, Set<string>>();
    for (const file of await readdir(this.#files.path)) {
      const [, sha256, kind] = FILE.exec(file) ?? [];
      if (sha256 !== undefined) kinds.set(sha256, (kinds.get(sha256) ?? new Set()).add(kind!));
    }
    const records: (ModuleRecord & { readonly lastUsedAt: number })[] = [];
    for (const [sha256, { size }] of kinds) {
      const record = size === 2 ? await this.#record(sha256) : undefined;
      if (record !== undefined) {
        records.push(record);
        continue;
      }
      this.#log.warn("An uploaded module is not whole and was removed", { sha256 });
      await this.remove(sha256);
    }
    return records.sort((a, b) => a.lastUsedAt - b.lastUsedAt);
  }

  async write(record: ModuleRecord, bytes: Uint8Array): Promise<void> {
    await this.#files.write(`${record.sha256}.wasm`, bytes);
    await this.#files.write(
      `${record.sha256}.json`,
      new TextEncoder().encode(JSON.stringify({ format: FORMAT, ...record })),
    );
  }

  read(sha256: string): Promise<Uint8Array> {
    return this.#files.read(`${sha256}.wasm`);
  }

  async remove(sha256: string): Promise<void> {
    await this.#files.remove(`${sha256}.json`);
    await this.#files.remove(`${sha256}.wasm`);
  }

  /** Notes when a module was used. That it fails is no harm: it only leaves earlier. */
  async touch(sha256: string, timeMs: number): Promise<void> {
    await utimes(join(this.#files.path, `${sha256}.wasm`), timeMs / 1000, timeMs / 1000).catch(() => {});
  }

  async #record(sha256: string): Promise<ModuleRecord & { readonly lastUsedAt: number } | undefined> {
    try {
      const { format, ...record } = JSON.parse(
        new TextDecoder().decode(await this.#files.read(`${sha256}.json`)),
      ) as ModuleRecord & { readonly format: number };
      const { size, mtimeMs } = await stat(join(this.#files.path, `${sha256}.wasm`));
      const isWhole = format === FORMAT && record.sha256 === sha256 && record.sizeBytes === size &&
        typeof record.requester === "string" && record.functions.length > 0;
      return isWhole ? { ...record, lastUsedAt: mtimeMs } : undefined;
    } catch {
      return undefined;
    }
  }
}
