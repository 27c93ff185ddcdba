import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createReadStream } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type Clock, NodeError, type UploadOrder, type UploadRecord, type UploadSpool } from "../core/mod.ts";
import { storageError } from "./storage-errors.ts";

export interface UploadSpoolOptions {
  /** Where the bytes lie; made when it is not there. */
  readonly folder: string;
  /** Room for all uploads together, in bytes: what came, or what was announced where that is more. */
  readonly maxBytes: number;
  /** How long an upload waits for its next byte. */
  readonly ttlMs: number;
  readonly clock: Clock;
}

/** What is written down of an upload, beside its bytes. */
interface Note {
  readonly version: 1;
  readonly order: UploadOrder;
  readonly createdAt: number;
  readonly touchedAt: number;
  /** Bytes that are on the disk for sure. */
  readonly synced: number;
  readonly fileId?: string;
}

interface Entry extends Omit<Note, "version" | "synced" | "touchedAt"> {
  readonly id: string;
  offset: number;
  touchedAt: number;
  fileId?: string;
  sending?: { readonly controller: AbortController; readonly ended: Promise<unknown> };
}

const ID = /^[0-9a-f]{32}$/;
const MAX_UPLOADS = 1000;
/** Bytes between two flushes to the disk: what a power cut can cost a sender. */
const SYNC_BYTES = 16 << 20; // 16 MiB
const SWEEP_MS = 60_000;

/**
 * Uploads as two files each: `<id>.part` with the bytes and `<id>.json` with what they are to become. The note never tells of bytes that are not
 * on the disk yet, and after a start an upload has the bytes that its note tells of.
 */
export class FolderSpool implements UploadSpool {
  readonly maxBytes: number;
  readonly #options: UploadSpoolOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #timer: ReturnType<typeof setInterval>;
  #closed = false;

  private constructor(options: UploadSpoolOptions) {
    this.#options = options;
    this.maxBytes = options.maxBytes;
    this.#timer = setInterval(() => void this.sweep().catch(() => {}), SWEEP_MS);
    this.#timer.unref();
  }

  /** Takes up what an earlier run left. Throws `storage_failed` when the folder cannot be used. */
  static async open(options: UploadSpoolOptions): Promise<FolderSpool> {
    const { folder } = options;
    const spool = new FolderSpool(options);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      const names = await readdir(folder);
      for (const name of names) {
        const id = name.replace(/\.json$/, "");
        if (name.endsWith(".json") && ID.test(id)) await spool.#load(id);
      }
      const known = (name: string) => spool.#entries.has(name.slice(0, 32)) && /^\.(json|part)$/.test(name.slice(32));
      for (const name of names) {
        if (!known(name)) await rm(join(folder, name), { force: true, recursive: true });
      }
      await spool.sweep();
      return spool;
    } catch (error) {
      clearInterval(spool.#timer);
      throw storageError(folder, error);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const entry of this.#entries.values()) await this.#stop(entry);
  }

  async create(order: UploadOrder): Promise<UploadRecord> {
    await this.sweep();
    const now = this.#options.clock.now();
    if (this.#entries.size >= MAX_UPLOADS) {
      throw new NodeError("overloaded", `${MAX_UPLOADS} uploads wait already; finish or delete some (GET /v1/uploads)`);
    }
    this.#checkRoom(order.sizeBytes ?? 0);
    const entry: Entry = { id: randomBytes(16).toString("hex"), order, createdAt: now, touchedAt: now, offset: 0 };
    this.#entries.set(entry.id, entry);
    try {
      await (await open(this.#path(entry.id, "part"), "wx", 0o600)).close();
      await this.#note(entry);
    } catch (error) {
      await this.#drop(entry);
      throw storageError(this.#options.folder, error);
    }
    return this.#record(entry);
  }

  get(id: string): UploadRecord {
    return this.#record(this.#entry(id));
  }

  list(): readonly UploadRecord[] {
    return [...this.#entries.values()].sort((a, b) => a.createdAt - b.createdAt).map((entry) => this.#record(entry));
  }

  async settle(id: string): Promise<UploadRecord> {
    await this.#stop(this.#entry(id));
    return this.get(id);
  }

  async append(id: string, offset: number, source: AsyncIterable<Uint8Array>): Promise<UploadRecord> {
    const entry = this.#entry(id);
    // Several may have waited for the same one to end.
    while (entry.sending !== undefined) await this.#stop(entry);
    if (this.#entries.get(id) !== entry) throw unknownUpload(id);
    if (this.#closed) {
      throw new NodeError("shutting_down", "The node is stopping; the upload can go on after its start");
    }
    if (entry.fileId !== undefined) {
      throw new NodeError("failed_precondition", `The upload ${id} is complete already: it became ${entry.fileId}`, {
        data: { fileId: entry.fileId },
      });
    }
    if (offset !== entry.offset) {
      throw new NodeError(
        "failed_precondition",
        `The upload ${id} goes on at byte ${entry.offset}, not at ${offset}; ask for its offset (HEAD) and send from there`,
        { data: { expectedOffset: entry.offset, providedOffset: offset } },
      );
    }
    const controller = new AbortController();
    const work = this.#take(entry, source, controller.signal);
    entry.sending = { controller, ended: work.catch(() => {}) };
    try {
      await work;
    } finally {
      delete entry.sending;
    }
    return this.#record(entry);
  }

  async *read(id: string): AsyncGenerator<Uint8Array> {
    const { offset } = this.#entry(id);
    if (offset === 0) return;
    const path = this.#path(id, "part");
    try {
      yield* createReadStream(path, { end: offset - 1, highWaterMark: 1 << 18 }) as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw storageError(path, error);
    }
  }

  async finish(id: string, fileId: string): Promise<UploadRecord> {
    const entry = this.#entry(id);
    entry.fileId = fileId;
    entry.touchedAt = this.#options.clock.now();
    await this.#note(entry);
    await rm(this.#path(id, "part"), { force: true });
    return this.#record(entry);
  }

  async remove(id: string): Promise<void> {
    const entry = this.#entry(id);
    await this.#stop(entry);
    await this.#drop(entry);
  }

  /** Forgets what waited too long. */
  async sweep(): Promise<void> {
    const now = this.#options.clock.now();
    for (const entry of [...this.#entries.values()]) {
      if (entry.sending === undefined && now >= this.#expiresAt(entry)) await this.#drop(entry);
    }
  }

  async #take(entry: Entry, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    const { folder, clock } = this.#options;
    const { order } = entry;
    let handle: FileHandle | undefined;
    const chunks = source[Symbol.asyncIterator]();
    let synced = entry.offset;
    const sync = async () => {
      if (handle === undefined) return;
      await handle.datasync();
      synced = entry.offset;
      entry.touchedAt = clock.now();
      await this.#note(entry);
    };
    try {
      handle = await open(this.#path(entry.id, "part"), "r+");
      for (;;) {
        const next = await orAborted(chunks.next(), signal);
        if (next === undefined) {
          throw new NodeError("canceled", `Another request went on with the upload ${entry.id}`);
        }
        if (next.done === true) break;
        const chunk = next.value;
        const end = entry.offset + chunk.length;
        if (order.sizeBytes !== undefined && end > order.sizeBytes) {
          throw new NodeError(
            "invalid_argument",
            `The upload ${entry.id} was announced with ${order.sizeBytes} bytes (Upload-Length), and more came; begin anew`,
            { data: { sizeBytes: order.sizeBytes } },
          );
        }
        if (order.sizeBytes === undefined) this.#checkRoom(chunk.length);
        await handle.write(chunk, 0, chunk.length, entry.offset);
        entry.offset = end;
        if (end - synced >= SYNC_BYTES) await sync();
      }
      await sync();
    } catch (error) {
      // The sender may be gone, and its source wait for ever: nobody waits for it.
      chunks.return?.()?.catch(() => {});
      await sync().catch(() => entry.offset = synced);
      throw error instanceof NodeError ? error : storageError(folder, error);
    } finally {
      await handle?.close().catch(() => {});
    }
  }

  async #stop({ sending }: Entry): Promise<void> {
    sending?.controller.abort();
    await sending?.ended;
  }

  #checkRoom(more: number): void {
    const { maxBytes } = this.#options;
    let used = 0;
    for (const { fileId, offset, order } of this.#entries.values()) {
      if (fileId === undefined) used += Math.max(offset, order.sizeBytes ?? 0);
    }
    if (used + more <= maxBytes) return;
    throw new NodeError(
      "storage_full",
      `Uploads that can go on may take ${maxBytes} bytes together (files.incomingBytes); ${used} are taken. Finish or delete ` +
        "some (GET /v1/uploads), or put the file in one request (PUT /v1/files)",
      { data: { limitBytes: maxBytes, usedBytes: used } },
    );
  }

  async #load(id: string): Promise<void> {
    let note: Note;
    try {
      note = JSON.parse(await readFile(this.#path(id, "json"), "utf8")) as Note;
      if (note.version !== 1) return;
      if (note.fileId === undefined) {
        const handle = await open(this.#path(id, "part"), "r+");
        try {
          if ((await handle.stat()).size < note.synced) return;
          await handle.truncate(note.synced);
        } finally {
          await handle.close();
        }
      }
    } catch (error) {
      // A note that a crash cut off, or bytes without one, are no upload.
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return;
      throw error;
    }
    const { version: _, synced, ...rest } = note;
    this.#entries.set(id, { ...rest, id, offset: synced });
  }

  async #note({ id, order, createdAt, touchedAt, offset, fileId }: Entry): Promise<void> {
    const note: Note = {
      version: 1,
      order,
      createdAt,
      touchedAt,
      synced: offset,
      ...(fileId === undefined ? {} : { fileId }),
    };
    const path = this.#path(id, "json");
    await writeFile(`${path}.new`, JSON.stringify(note), { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
  }

  async #drop({ id }: Entry): Promise<void> {
    this.#entries.delete(id);
    await rm(this.#path(id, "json"), { force: true });
    await rm(this.#path(id, "part"), { force: true });
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined || (entry.sending === undefined && this.#options.clock.now() >= this.#expiresAt(entry))) {
      throw unknownUpload(id);
    }
    return entry;
  }

  #expiresAt({ touchedAt }: Entry): number {
    return touchedAt + this.#options.ttlMs;
  }

  #record(entry: Entry): UploadRecord {
    const { id, order, offset, createdAt, fileId, sending } = entry;
    return {
      id,
      order,
      offset,
      active: sending !== undefined,
      createdAt,
      expiresAt: this.#expiresAt(entry),
      ...(fileId === undefined ? {} : { fileId }),
    };
  }

  #path(id: string, kind: "json" | "part"): string {
    return join(this.#options.folder, `${id}.${kind}`);
  }
}

/** The value, or undefined as soon as the signal aborts. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve(undefined);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function unknownUpload(id: string): NodeError {
  return new NodeError("not_found", `There is no upload ${id}, or no longer; begin anew (POST /v1/uploads)`, {
    data: { id },
  });
}
