import {
  type Clock,
  type FileChange,
  type FileEvent,
  type FileRecord,
  type FileRef,
  KeyedQueue,
  NodeError,
  type StoredFile,
} from "../core/mod.ts";
import type { FileEvents } from "./file-events.ts";
import type { FileStore } from "./file-ports.ts";
import { recordOf, shardHealthOf, stateOf } from "./file-state.ts";

export interface FileBookOptions {
  readonly store: FileStore;
  readonly events: FileEvents;
  readonly clock: Clock;
}

/** How a change of a file is written. */
export interface BookChange {
  readonly manifest?: Uint8Array;
  /** Goes into the same batch. */
  readonly also?: readonly FileChange[];
  readonly durable?: boolean;
}

/** What this node knows of its files: finds them, and changes them one step at a time. */
export class FileBook {
  readonly #store: FileStore;
  readonly #events: FileEvents;
  readonly #clock: Clock;
  readonly #changes = new KeyedQueue();
  readonly #names = new KeyedQueue();

  constructor({ store, events, clock }: FileBookOptions) {
    this.#store = store;
    this.#events = events;
    this.#clock = clock;
  }

  async get(id: string): Promise<StoredFile | undefined> {
    return (await this.#store.getMany([id]))[0];
  }

  /** The version that is meant. Throws `not_found` when it is not there, or was removed. */
  async find(ref: FileRef): Promise<StoredFile> {
    const id = "id" in ref ? ref.id : await this.#idOf(ref);
    const file = id === undefined ? undefined : await this.get(id);
    if (file === undefined || file.phase === "removed") throw notFound(ref);
    return file;
  }

  /** All versions of a name, uploads among them, newest first. */
  async versions(name: string): Promise<StoredFile[]> {
    const found: StoredFile[] = [];
    let after: { name: string; version: number } | undefined;
    for (;;) {
      const page = await this.#store.names({ prefix: name, ...(after && { after }), limit: 100 });
      const ids = page.filter((version) => version.name === name).map(({ id }) => id);
      found.push(...(await this.#store.getMany(ids)).filter((file) => file !== undefined));
      if (ids.length < 100) return found;
      after = page.at(-1)!;
    }
  }

  /** The newest version of a name that is not uploading, or the newest of all when all are. */
  async latestId(name: string): Promise<string | undefined> {
    return await this.#idOf({ name });
  }

  async record(file: StoredFile): Promise<FileRecord> {
    const isLatest = file.phase !== "removed" && await this.latestId(file.name) === file.id;
    return recordOf(file, isLatest);
  }

  /** Runs what gives and takes versions of a name one after the other. */
  withName<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#names.run(name, work);
  }

  /** The same for several names at once. */
  withNames<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    return this.#names.runAll(names, work);
  }

  async add(file: StoredFile, { manifest, also = [], durable = true }: BookChange = {}): Promise<void> {
    await this.#store.write([{ type: "save", file, ...(manifest && { manifest }) }, ...also], { durable });
    await this.#tell("state", file);
  }

  /**
   * Changes a file as it is stored now, after all changes before. When `change` gives nothing, or the file is not there, nothing is written.
   * Returns the file afterwards.
   */
  update(
    id: string,
    change: (file: StoredFile) => StoredFile | undefined,
    options: BookChange | ((file: StoredFile) => BookChange) = {},
  ): Promise<StoredFile | undefined> {
    return this.#changes.run(id, async () => {
      const before = await this.get(id);
      const file = before && change(before);
      if (before === undefined || file === undefined || file === before) return before;
      const { manifest, also = [], durable = true } = typeof options === "function" ? options(file) : options;
      await this.#store.write([{ type: "save", file, before, ...(manifest && { manifest }) }, ...also], { durable });
      await this.#announce(before, file);
      return file;
    });
  }

  /** Changes several files in one batch: all or none. Those that are not there, or for which `change` gives nothing, stay as they are. */
  updateAll(ids: readonly string[], change: (file: StoredFile) => StoredFile | undefined): Promise<void> {
    return this.#changes.runAll(ids, async () => {
      const changed = (await this.#store.getMany(ids)).flatMap((before) => {
        const file = before && change(before);
        return before === undefined || file === undefined ? [] : [{ before, file }];
      });
      if (changed.length === 0) return;
      await this.#store.write(changed.map((one) => ({ type: "save", ...one })), { durable: true });
      for (const { before, file } of changed) await this.#announce(before, file);
    });
  }

  /** Forgets a file. */
  drop(id: string, also: readonly FileChange[] = []): Promise<void> {
    return this.#changes.run(id, async () => {
      const file = await this.get(id);
      if (file === undefined) return;
      await this.#store.write([{ type: "remove", file }, ...also], { durable: true });
    });
  }

  publish(event: Omit<FileEvent, "at">): void {
    this.#events.publish({ ...event, at: this.#clock.now() });
  }

  async #announce(before: StoredFile, file: StoredFile): Promise<void> {
    if (!this.#events.watched) return;
    for (const [index, shard] of file.shards.entries()) {
      const old = before.shards[index];
      if (old?.state === shard.state && old.target === shard.target) continue;
      this.publish({ type: "shard", fileId: file.id, shard: shardHealthOf(shard, index) });
    }
    const removed = file.phase === "removed" && before.phase !== "removed";
    if (removed || stateOf(before) !== stateOf(file)) await this.#tell(removed ? "removed" : "state", file);
  }

  async #tell(type: FileEvent["type"], file: StoredFile): Promise<void> {
    if (this.#events.watched) this.publish({ type, fileId: file.id, record: await this.record(file) });
  }

  async #idOf({ name, version }: { readonly name: string; readonly version?: number }): Promise<string | undefined> {
    let after: { name: string; version: number } | undefined;
    let uploading: string | undefined;
    for (;;) {
      const page = await this.#store.names({ prefix: name, ...(after && { after }), limit: 20 });
      for (const found of page) {
        if (found.name !== name) return uploading;
        if (version !== undefined ? found.version === version : !found.uploading) return found.id;
        if (version === undefined) uploading ??= found.id;
      }
      if (page.length < 20) return uploading;
      after = page.at(-1)!;
    }
  }
}

export function notFound(ref: FileRef): NodeError {
  const shown = "id" in ref
    ? ref.id.slice(0, 64)
    : `${JSON.stringify(ref.name.slice(0, 200))}${ref.version === undefined ? "" : `, version ${ref.version}`}`;
  return new NodeError("not_found", `There is no file ${shown} here; see the list of files for what there is`);
}
