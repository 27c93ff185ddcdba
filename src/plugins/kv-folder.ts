import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NodeError } from "../core/mod.ts";

const KEY_BYTES = 1024;

/**
 * Values that plugins keep on this node: one folder a plugin, whatever its version, and one file a value, named by the SHA-256 of its
 * key and written whole under another name first. What a plugin may keep is bounded.
 */
export class KvFolder {
  readonly #path: string;
  readonly #quotaBytes: number;
  /** Sizes of the values, by plugin; read from the folder once. */
  readonly #sizes = new Map<string, Promise<Map<string, number>>>();
  /** Changes of a plugin's values happen one after another. */
  readonly #turns = new Map<string, Promise<unknown>>();

  constructor(path: string, quotaBytes: number) {
    this.#path = path;
    this.#quotaBytes = quotaBytes;
  }

  /** The value, or undefined. */
  async get(plugin: string, key: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(join(this.#path, plugin, fileOf(key)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw this.#failed(error);
    }
  }

  /** Sets a value, or removes it when there is none. Throws `storage_full` over the quota. */
  set(plugin: string, key: string, value: Uint8Array | undefined): Promise<void> {
    const turn = (this.#turns.get(plugin) ?? Promise.resolve()).then(() => this.#set(plugin, key, value));
    this.#turns.set(plugin, turn.catch(() => {}));
    return turn;
  }

  async #set(plugin: string, key: string, value: Uint8Array | undefined): Promise<void> {
    const file = fileOf(key);
    const folder = join(this.#path, plugin);
    let sizes = this.#sizes.get(plugin);
    if (sizes === undefined) this.#sizes.set(plugin, sizes = readSizes(folder));
    const held = await sizes;
    try {
      if (value === undefined) {
        await rm(join(folder, file), { force: true });
        held.delete(file);
        return;
      }
      // A key costs too: else values of no length would be free.
      const others = [...held].reduce((sum, [name, size]) => name === file ? sum : sum + size + KEY_BYTES, 0);
      if (others + value.length + KEY_BYTES > this.#quotaBytes) {
        throw new NodeError(
          "storage_full",
          `The plugin ${plugin} wants to keep more than the ${this.#quotaBytes} bytes that it may (plugins.kvQuotaBytes; a key ` +
            `counts ${KEY_BYTES}): let it remove what it no longer needs`,
        );
      }
      await mkdir(folder, { recursive: true });
      const scratch = join(folder, `.tmp-${randomUUID()}`);
      await writeFile(scratch, value, { mode: 0o600 });
      await rename(scratch, join(folder, file));
      held.set(file, value.length);
    } catch (error) {
      if (error instanceof NodeError) throw error;
      throw this.#failed(error);
    }
  }

  #failed(cause: unknown): NodeError {
    return new NodeError("storage_failed", `Cannot use ${this.#path}: ${(cause as Error).message}`, { cause });
  }
}

async function readSizes(folder: string): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (name.startsWith(".tmp-")) await rm(join(folder, name), { force: true });
    else sizes.set(name, (await stat(join(folder, name))).size);
  }
  return sizes;
}

function fileOf(key: string): string {
  if (Buffer.byteLength(key) > KEY_BYTES) {
    throw new NodeError("invalid_argument", `A key of a plugin has at most ${KEY_BYTES} bytes`);
  }
  return createHash("sha256").update(key).digest("hex");
}
