import { type ByteSpan, NodeError, type OpenedFile, type StoredFile } from "../core/mod.ts";
import { decodeRange } from "../codec/mod.ts";
import type { FileKit } from "./file-kit.ts";
import { type OpenedShards, openShards } from "./open-file.ts";
import { ReadPace } from "./read-pace.ts";
import { noteReadFailure, shardReaders } from "./shard-access.ts";

/** Opens files for reading: any range, from as few shards as will do, each byte verified, stragglers hedged. */
export class FileRead {
  readonly #kit: FileKit;
  readonly #pace: ReadPace;

  constructor(kit: FileKit) {
    this.#kit = kit;
    this.#pace = new ReadPace({ maxHedgeMs: kit.settings.stallMs / 2 });
  }

  async open(file: StoredFile, requestId: string): Promise<OpenedFile> {
    if (file.phase !== "kept") {
      throw new NodeError("failed_precondition", `File ${file.id} is still uploading; wait for it, or go on with it`, {
        data: { id: file.id },
      });
    }
    const opened = await openShards(this.#kit, file);
    return {
      record: await this.#kit.book.record(file),
      read: (range, signal) => this.#read(opened, range, { signal, requestId }),
    };
  }

  async *#read(
    opened: OpenedShards,
    range: ByteSpan | undefined,
    { signal, requestId }: { readonly signal: AbortSignal; readonly requestId: string },
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { metrics, book } = this.#kit;
    const startedAt = performance.now();
    // Shards may have moved since it was opened.
    const file = await book.get(opened.file.id) ?? opened.file;
    const current = { ...opened, file };
    let bytes = 0;
    try {
      for await (
        const piece of decodeRange({
          header: opened.header,
          layout: opened.layout,
          roots: opened.roots,
          readers: shardReaders(this.#kit, current, { pace: this.#pace, requestId }),
          hedge: this.#pace.hedge,
          onShardFailed: (shard, error) => noteReadFailure(this.#kit, current, shard, error),
          ...(range === undefined ? {} : { range }),
          signal,
        })
      ) {
        if (bytes === 0) metrics.firstByteSeconds.observe((performance.now() - startedAt) / 1000);
        bytes += piece.length;
        yield piece;
      }
    } finally {
      metrics.getBytes.add(bytes);
    }
  }
}
