import { createHash, randomBytes } from "node:crypto";
import {
  type ByteSpan,
  type CallContext,
  type FileEvent,
  type FileHealth,
  type FilePage,
  type FilePolicy,
  type FileQuery,
  type FileRecord,
  type FileRef,
  type FileService,
  NodeError,
  type OpenedFile,
  type PutFileOptions,
  type ShardHealth,
  type Unshared,
} from "../../src/core/mod.ts";

interface Kept {
  record: FileRecord;
  bytes: Uint8Array;
}

const DEFAULT_POLICY: FilePolicy = { dataShards: 4, parityShards: 2 };
const PIECE_BYTES = 65_520;

/**
 * Files in memory, with everything that a {@link FileService} promises but other nodes: the faces are tested against it. An upload that fails
 * stays as `uploading`, and `resume` goes on with it.
 */
export class MemoryFiles implements FileService {
  readonly files: Kept[] = [];
  readonly puts: PutFileOptions[] = [];
  /** How many iterations of `read` are open. */
  openReads = 0;
  /** When set, each read waits for it before each piece. */
  hold: ((offset: number) => Promise<void> | void) | undefined;
  readonly #watchers = new Set<(event: FileEvent) => void>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  get watcherCount(): number {
    return this.#watchers.size;
  }

  async put(source: AsyncIterable<Uint8Array>, options: PutFileOptions, ctx: CallContext): Promise<FileRecord> {
    this.puts.push(options);
    checkName(options.name);
    const policy = options.policy ?? DEFAULT_POLICY;
    if (policy.dataShards < 1 || policy.dataShards > 10 || policy.parityShards > 10) {
      throw new NodeError("invalid_argument", `There is no policy ${policy.dataShards}+${policy.parityShards}`);
    }
    const kept = this.#begin(options, policy);
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const piece of source) {
      if (ctx.signal.aborted) throw ctx.signal.reason;
      pieces.push(piece);
      size += piece.length;
      kept.record = { ...kept.record, sizeBytes: size };
      this.#tell({
        type: "progress",
        record: kept.record,
        progress: {
          bytes: size,
          ...(options.sizeBytes === undefined ? {} : { totalBytes: options.sizeBytes }),
          shards: 6,
          shardCount: 6,
        },
      });
    }
    if (ctx.signal.aborted) throw ctx.signal.reason;
    if (options.sizeBytes !== undefined && options.sizeBytes !== size) {
      this.files.splice(this.files.indexOf(kept), 1);
      throw new NodeError("invalid_argument", `The file has ${size} bytes, not ${options.sizeBytes} as announced`);
    }
    kept.bytes = Buffer.concat(pieces);
    for (const other of this.files) {
      if (other.record.name === options.name) other.record = { ...other.record, isLatest: other === kept };
    }
    kept.record = {
      ...kept.record,
      sizeBytes: size,
      sha256: createHash("sha256").update(kept.bytes).digest("hex"),
      state: "replicated",
      healthyShards: policy.dataShards + policy.parityShards,
      warnings: options.targets?.length === 1 ? ["All shards are at one provider"] : [],
    };
    this.#tell({ type: "state", record: kept.record });
    return kept.record;
  }

  #begin(options: PutFileOptions, policy: FilePolicy): Kept {
    if (options.resume !== undefined) {
      const known = this.files.find(({ record }) => record.id === options.resume);
      if (known === undefined) throw notFound({ id: options.resume });
      if (known.record.state !== "uploading" || known.record.name !== options.name) {
        throw new NodeError("failed_precondition", `File ${options.resume} is no upload of this name that can go on`);
      }
      return known;
    }
    const versions = this.files.filter(({ record }) => record.name === options.name);
    const kept: Kept = {
      bytes: new Uint8Array(0),
      record: {
        id: randomBytes(16).toString("hex"),
        name: options.name,
        version: Math.max(0, ...versions.map(({ record }) => record.version)) + 1,
        contentType: options.contentType || "application/octet-stream",
        sizeBytes: 0,
        sha256: "",
        policy,
        state: "uploading",
        createdAt: this.#now(),
        isLatest: false,
        healthyShards: 0,
        warnings: [],
      },
    };
    this.files.push(kept);
    return kept;
  }

  open(ref: FileRef, _ctx: CallContext): Promise<OpenedFile> {
    return promised(() => {
      const kept = this.#find(ref);
      if (kept.record.state === "uploading") {
        throw new NodeError("failed_precondition", `File ${kept.record.id} is still uploading`);
      }
      return { record: kept.record, read: (range, signal) => this.#read(kept, range, signal) };
    });
  }

  async *#read({ bytes, record }: Kept, range: ByteSpan | undefined, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { start, end } = range ?? { start: 0, end: bytes.length };
    this.openReads++;
    try {
      for (let at = start; at < end; at += PIECE_BYTES) {
        await this.hold?.(at);
        if (signal.aborted) throw signal.reason;
        if (record.state === "lost") {
          throw new NodeError("shards_missing", "3 of the 4 shards that it takes can be read");
        }
        yield new Uint8Array(bytes.subarray(at, Math.min(at + PIECE_BYTES, end)));
      }
    } finally {
      this.openReads--;
    }
  }

  stat(ref: FileRef, _ctx: CallContext): Promise<FileRecord> {
    return promised(() => this.#find(ref).record);
  }

  list({ prefix, delimiter, allVersions, pageSize, pageToken }: FileQuery, _ctx: CallContext): Promise<FilePage> {
    return promised(() => {
      const records = this.files.map(({ record }) => record)
        .filter(({ name, isLatest, state }) =>
          name.startsWith(prefix) && (allVersions || isLatest || state === "uploading")
        )
        .toSorted((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : b.version - a.version);
      const files: FileRecord[] = [];
      const folders: string[] = [];
      let taken = 0;
      const skip = pageToken === "" ? 0 : Number(pageToken);
      if (!Number.isInteger(skip)) throw new NodeError("invalid_argument", "This page token is none of ours");
      let seen = 0;
      for (const record of records) {
        const cut = delimiter === "" ? -1 : record.name.indexOf(delimiter, prefix.length);
        const folder = cut < 0 ? undefined : record.name.slice(0, cut + delimiter.length);
        if (folder !== undefined && folders.at(-1) === folder) {
          seen++;
          continue;
        }
        if (seen++ < skip) continue;
        if (taken === pageSize) return { files, folders, nextPageToken: String(seen - 1) };
        taken++;
        if (folder === undefined) files.push(record);
        else folders.push(folder);
      }
      return { files, folders, nextPageToken: "" };
    });
  }

  rename(ref: FileRef, name: string, _ctx: CallContext): Promise<FileRecord> {
    return promised(() => {
      checkName(name);
      const from = this.#find(ref).record;
      if (this.files.some(({ record }) => record.name === name)) {
        throw new NodeError("already_exists", `The name ${JSON.stringify(name)} is taken`);
      }
      for (const kept of this.files) {
        if (kept.record.name === from.name) kept.record = { ...kept.record, name };
      }
      return this.#find({ id: from.id }).record;
    });
  }

  remove(ref: FileRef, _ctx: CallContext): Promise<void> {
    return promised(() => {
      const { record } = this.#find(ref);
      const gone = "name" in ref && ref.version === undefined
        ? this.files.filter((kept) => kept.record.name === record.name)
        : [this.#find(ref)];
      for (const kept of gone) {
        this.files.splice(this.files.indexOf(kept), 1);
        this.#tell({ type: "removed", record: { ...kept.record, state: "removed" } });
      }
      const newest = this.files.filter((kept) => kept.record.name === record.name && kept.record.state !== "uploading")
        .toSorted((a, b) => b.record.version - a.record.version)[0];
      if (newest !== undefined) newest.record = { ...newest.record, isLatest: true };
    });
  }

  health(ref: FileRef, _ctx: CallContext): Promise<FileHealth> {
    return promised(() => this.#health(this.#find(ref), "stored"));
  }

  audit(ref: FileRef, _ctx: CallContext): Promise<FileHealth> {
    return promised(() => this.#health(this.#find(ref), "proven"));
  }

  repair(ref: FileRef, ctx: CallContext): Promise<FileHealth> {
    return this.audit(ref, ctx);
  }

  #health({ record }: Kept, state: ShardHealth["state"]): FileHealth {
    const { dataShards, parityShards } = record.policy;
    const shards = Array.from({ length: dataShards + parityShards }, (_, index): ShardHealth => ({
      index,
      provider: `127.0.0.1:${9000 + index}`,
      state,
      leaseExpiresAt: this.#now() + 86_400_000,
      ...(state === "proven" ? { lastAuditAt: this.#now() } : {}),
    }));
    return { record, shards, margin: parityShards, risk: 0.0001 };
  }

  share(ref: FileRef, recipient: string, _ctx: CallContext): Promise<Uint8Array> {
    return promised(() => this.#manifest(ref, recipient));
  }

  unshare(ref: FileRef, _ctx: CallContext): Promise<Unshared> {
    return promised(() => {
      this.#find(ref);
      return { told: ["127.0.0.1:8083"], pending: [] };
    });
  }

  shareKey(): string {
    return "ab".repeat(32);
  }

  exportManifest(ref: FileRef, _ctx: CallContext): Promise<Uint8Array> {
    return promised(() => this.#manifest(ref, ""));
  }

  #manifest(ref: FileRef, recipient: string): Uint8Array {
    const { record, bytes } = this.#find(ref);
    return new TextEncoder().encode(
      JSON.stringify({ record, recipient, data: Buffer.from(bytes).toString("base64") }),
    );
  }

  importManifest(bytes: Uint8Array, _ctx: CallContext): Promise<FileRecord> {
    return promised(() => {
      let manifest: { record: FileRecord; data: string };
      try {
        manifest = JSON.parse(new TextDecoder().decode(bytes));
      } catch (cause) {
        throw new NodeError("data_corrupt", "These bytes are no manifest", { cause });
      }
      if (this.files.some(({ record }) => record.id === manifest.record.id)) {
        throw new NodeError("already_exists", `File ${manifest.record.id} is here already`);
      }
      this.files.push({ record: manifest.record, bytes: Buffer.from(manifest.data, "base64") });
      return manifest.record;
    });
  }

  async *watch(fileId: string | undefined, ctx: CallContext): AsyncGenerator<FileEvent> {
    const queue: FileEvent[] = [];
    let wake = () => {};
    const watcher = (event: FileEvent) => {
      if (fileId !== undefined && event.fileId !== fileId) return;
      queue.push(event);
      wake();
    };
    const onAbort = () => wake();
    this.#watchers.add(watcher);
    ctx.signal.addEventListener("abort", onAbort);
    try {
      for (;;) {
        while (queue.length > 0) yield queue.shift()!;
        if (ctx.signal.aborted) throw ctx.signal.reason;
        await new Promise<void>((resolve) => wake = resolve);
      }
    } finally {
      ctx.signal.removeEventListener("abort", onAbort);
      this.#watchers.delete(watcher);
    }
  }

  #tell(event: Omit<FileEvent, "fileId" | "at"> & { readonly record: FileRecord }): void {
    for (const watcher of this.#watchers) watcher({ ...event, fileId: event.record.id, at: this.#now() });
  }

  #find(ref: FileRef): Kept {
    const found = this.files.find(({ record }) =>
      "id" in ref
        ? record.id === ref.id
        : record.name === ref.name && (ref.version === undefined ? record.isLatest : record.version === ref.version)
    );
    if (found === undefined) throw notFound(ref);
    return found;
  }
}

function promised<T>(run: () => T): Promise<T> {
  return new Promise((resolve) => resolve(run()));
}

function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes > 4096) throw new NodeError("invalid_argument", `A name has 1 to 4096 bytes, not ${bytes}`);
}

function notFound(ref: FileRef): NodeError {
  const what = "id" in ref ? ref.id : JSON.stringify(ref.name);
  return new NodeError("not_found", `There is no file ${what}`);
}
