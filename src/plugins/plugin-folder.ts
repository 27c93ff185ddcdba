import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../core/mod.ts";

/** What the node remembers of a module beside its file. */
export interface PluginRecord {
  readonly enabled: boolean;
  /** `builtin`, `file` for one that was put into the folder, `upload`, or the URL it came from. */
  readonly origin: string;
}

/** The content of `registry.json`: records by SHA-256. */
export interface RegistryFile {
  /** The built-in module that was installed last; it is not installed again when somebody removed it. */
  readonly builtin?: string;
  readonly plugins: ReadonlyMap<string, PluginRecord>;
}

/** A module's file as a look into the folder finds it. */
export interface FolderFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Differs when the file was written again. */
  readonly stamp: string;
}

const REGISTRY = "registry.json";
const SCRATCH = ".tmp-";

/** The folder in which modules and `registry.json` lie. Every file is written whole under another name first, then renamed. */
export class PluginFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Makes the folder and clears what a crash in the middle of a write left. Throws `storage_failed`. */
  async prepare(): Promise<void> {
    await this.#guard("make", async () => {
      await mkdir(this.path, { recursive: true });
      const left = (await readdir(this.path)).filter((name) => name.startsWith(SCRATCH));
      await Promise.all(left.map((name) => rm(join(this.path, name), { force: true })));
    });
  }

  /** The modules, by name. Throws `storage_failed`. */
  list(): Promise<FolderFile[]> {
    return this.#guard("read", async () => {
      const files: FolderFile[] = [];
      for (const name of (await readdir(this.path)).sort()) {
        if (!name.endsWith(".wasm") || name.startsWith(".")) continue;
        // A file can be gone between the two looks.
        const found = await stat(join(this.path, name)).catch(() => undefined);
        if (found?.isFile()) {
          files.push({ name, sizeBytes: found.size, stamp: `${found.size}/${found.mtimeMs}/${found.ino}` });
        }
      }
      return files;
    });
  }

  read(name: string): Promise<Uint8Array> {
    return this.#guard("read", () => readFile(join(this.path, name)));
  }

  write(name: string, bytes: Uint8Array): Promise<void> {
    return this.#guard("write to", () => this.#replace(name, bytes));
  }

  remove(name: string): Promise<void> {
    return this.#guard("remove from", () => rm(join(this.path, name), { force: true }));
  }

  /** Throws `storage_failed` when the file is not what this program writes. */
  async readRegistry(): Promise<RegistryFile> {
    const path = join(this.path, REGISTRY);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return { plugins: new Map() };
      throw this.#failed("read", error);
    }
    try {
      return parseRegistry(JSON.parse(text));
    } catch (cause) {
      // Going on without it would enable what somebody disabled.
      throw new NodeError(
        "storage_failed",
        `${path} is damaged: ${
          (cause as Error).message
        }. Mend it, or delete it to have every plugin in the folder enabled`,
        { cause, data: { path } },
      );
    }
  }

  writeRegistry({ builtin, plugins }: RegistryFile): Promise<void> {
    const document = { version: 1, ...builtin !== undefined && { builtin }, plugins: Object.fromEntries(plugins) };
    return this.write(REGISTRY, new TextEncoder().encode(`${JSON.stringify(document, null, 2)}\n`));
  }

  async #replace(name: string, bytes: Uint8Array): Promise<void> {
    const scratch = join(this.path, `${SCRATCH}${randomUUID()}`);
    try {
      const file = await open(scratch, "wx", 0o600);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(scratch, join(this.path, name));
    } catch (error) {
      await rm(scratch, { force: true }).catch(() => {});
      throw error;
    }
  }

  async #guard<T>(verb: string, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      throw this.#failed(verb, cause);
    }
  }

  #failed(verb: string, cause: unknown): NodeError {
    const full = (cause as NodeJS.ErrnoException).code === "ENOSPC";
    return new NodeError(
      full ? "storage_full" : "storage_failed",
      `Cannot ${verb} the plugin folder ${this.path}: ${(cause as Error).message}. ` +
        (full ? "Free some space on its disk" : "Check that it is a folder that this process may read and write"),
      { cause, data: { path: this.path } },
    );
  }
}

function parseRegistry(document: unknown): RegistryFile {
  const { version, builtin, plugins } = record(document);
  if (version !== 1) throw new Error(`it has version ${JSON.stringify(version)}, and this program reads version 1`);
  if (builtin !== undefined && typeof builtin !== "string") throw new Error('"builtin" must be text');
  const records = new Map<string, PluginRecord>();
  for (const [sha256, value] of Object.entries(record(plugins))) {
    const { enabled, origin } = record(value);
    if (typeof enabled !== "boolean" || typeof origin !== "string") {
      throw new Error(`the plugin ${sha256.slice(0, 80)} must have "enabled" (true or false) and "origin" (text)`);
    }
    records.set(sha256, { enabled, origin });
  }
  return { ...builtin !== undefined && { builtin }, plugins: records };
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${JSON.stringify(value)?.slice(0, 80)} must be an object`);
}
