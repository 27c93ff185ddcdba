import {
  type FileChange,
  type NamedVersion,
  type NameRange,
  type ProviderScore,
  type StoredFile,
  timeKey,
} from "../core/mod.ts";
import type { Engine, WriteOp } from "./engine.ts";
import {
  afterVersionsKey,
  decodeFileRecord,
  decodeScore,
  encodeFileRecord,
  encodeScore,
  nameKey,
  pieceKey,
  readVersion,
  versionKey,
  versionValue,
} from "./file-codec.ts";
import type { GroupCommit } from "./group-commit.ts";
import { Sublevel } from "./sublevel.ts";

/** Above every character that a key goes on with. */
const HIGHEST = "\u{10ffff}";

/** The files that this node keeps at others, in an {@link Engine}: records, names, manifests, the journal of uploads, scores. */
export class FileTable {
  readonly #commit: GroupCommit;
  readonly #records: Sublevel;
  readonly #manifests: Sublevel;
  readonly #names: Sublevel;
  readonly #due: Sublevel;
  readonly #renewals: Sublevel;
  readonly #pieces: Sublevel;
  readonly #scores: Sublevel;

  constructor(engine: Engine, commit: GroupCommit) {
    this.#commit = commit;
    this.#records = new Sublevel(engine, "file");
    this.#manifests = new Sublevel(engine, "file-manifest");
    this.#names = new Sublevel(engine, "file-name");
    this.#due = new Sublevel(engine, "file-due");
    this.#renewals = new Sublevel(engine, "file-renewal");
    this.#pieces = new Sublevel(engine, "file-piece");
    this.#scores = new Sublevel(engine, "file-score");
  }

  /** The files with these ids, in the same places. */
  async getMany(ids: readonly string[]): Promise<(StoredFile | undefined)[]> {
    if (ids.length === 0) return [];
    const texts = await this.#records.getMany(ids);
    return texts.map((text) => text === undefined ? undefined : decodeFileRecord(text));
  }

  manifest(id: string): Promise<Uint8Array | undefined> {
    return this.#manifests.getBytes(id);
  }

  /** Versions in the order of their names (as UTF-8), the newest of each first. Removed ones are not among them. */
  async names({ prefix, after, limit }: NameRange): Promise<NamedVersion[]> {
    const start = nameKey(prefix);
    const gt = after === undefined
      ? start
      : "prefix" in after
      ? nameKey(after.prefix) + HIGHEST
      : after.version === undefined
      ? afterVersionsKey(after.name)
      : versionKey({ name: after.name, version: after.version });
    const entries = await this.#names.entries({ gt, ...(start === "" ? {} : { lt: start + HIGHEST }), limit });
    return entries.map(readVersion);
  }

  /** Files for which something is to be done by now, the most overdue first. */
  due(nowMs: number, limit: number): Promise<StoredFile[]> {
    return this.#until(this.#due, nowMs, limit);
  }

  /** Files whose leases are to be looked at by now, the most overdue first. */
  renewals(nowMs: number, limit: number): Promise<StoredFile[]> {
    return this.#until(this.#renewals, nowMs, limit);
  }

  async #until(index: Sublevel, nowMs: number, limit: number): Promise<StoredFile[]> {
    const keys = await index.keys({ lt: timeKey(nowMs + 1), limit });
    const files = await this.getMany(keys.map((key) => key.slice(key.indexOf("/") + 1)));
    return files.filter((file) => file !== undefined);
  }

  /** All files in the order of their ids, behind the given one. */
  async all(afterId: string, limit: number): Promise<StoredFile[]> {
    const entries = await this.#records.entries({ gt: afterId, limit });
    return entries.map(([, text]) => decodeFileRecord(text));
  }

  /** The ids of records, of manifests, or of files whose uploads have digests, each in order and behind the given one. */
  async ids(part: "records" | "manifests" | "journals", afterId: string, limit: number): Promise<string[]> {
    if (part !== "journals") {
      return await (part === "records" ? this.#records : this.#manifests).keys({ gt: afterId, limit });
    }
    const ids: string[] = [];
    let gt = afterId;
    while (ids.length < limit) {
      // From one file's digests to the next file's, over all between.
      const [key] = await this.#pieces.keys({ gt: gt === "" ? "" : `${gt}/${HIGHEST}`, limit: 1 });
      if (key === undefined) break;
      gt = key.slice(0, key.indexOf("/"));
      ids.push(gt);
    }
    return ids;
  }

  /** The digests of an upload's pieces from `first` on. */
  async pieces(fileId: string, first: number, limit: number): Promise<string[]> {
    const entries = await this.#pieces.entries({
      gt: first === 0 ? `${fileId}/` : pieceKey(fileId, first - 1),
      lt: `${fileId}/${HIGHEST}`,
      limit,
    });
    return entries.map(([, digest]) => digest);
  }

  async scores(): Promise<ProviderScore[]> {
    return (await this.#scores.entries({ limit: 100_000 })).map(([, text]) => decodeScore(text));
  }

  /** Applies changes in one batch: all or none. `durable` as in {@link GroupCommit}. */
  write(changes: readonly FileChange[], options: { readonly durable: boolean }): Promise<void> {
    const ops: WriteOp[] = [];
    let files = 0;
    for (const change of changes) files += this.#apply(change, ops);
    return this.#commit.write(ops, { durable: options.durable, deltas: { "file.count": files } });
  }

  /** How many files there are, versions and uploads counted each. */
  count(): number {
    return this.#commit.total("file.count");
  }

  /** Writes the changes of a step, and returns by how much it moves the count of files. */
  #apply(change: FileChange, ops: WriteOp[]): number {
    switch (change.type) {
      case "save": {
        const { file, before, manifest } = change;
        if (before !== undefined) this.#dropIndexes(before, ops);
        ops.push(...this.indexEntries(file), this.#records.put(file.id, encodeFileRecord(file)));
        if (manifest !== undefined) ops.push(this.#manifests.put(file.id, manifest));
        return before === undefined ? 1 : 0;
      }
      case "remove":
        this.#dropIndexes(change.file, ops);
        ops.push(this.#records.del(change.file.id), this.#manifests.del(change.file.id));
        return -1;
      case "piece":
        ops.push(this.#pieces.put(pieceKey(change.fileId, change.index), change.digest));
        return 0;
      case "dropPieces":
        for (let index = 0; index < change.count; index++) ops.push(this.#pieces.del(pieceKey(change.fileId, index)));
        return 0;
      case "score":
        ops.push(this.#scores.put(change.score.provider.toLowerCase(), encodeScore(change.score)));
        return 0;
    }
  }

  /** The index entries that a file in its present phase has. */
  indexEntries(file: StoredFile): WriteOp[] {
    const due = this.#due.put(`${timeKey(file.dueAt)}/${file.id}`, "");
    if (file.phase === "removed") return [due];
    const named = [due, this.#names.put(versionKey(file), versionValue(file))];
    // The leases of shared files are their owners'.
    if (file.phase === "uploading" || file.sharedBy !== undefined) return named;
    return [...named, this.#renewals.put(`${timeKey(file.renewAt ?? 0)}/${file.id}`, "")];
  }

  #dropIndexes(file: StoredFile, ops: WriteOp[]): void {
    for (const entry of this.indexEntries(file)) ops.push({ type: "del", key: entry.key });
  }
}
