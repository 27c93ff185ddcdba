import { NodeError } from "../core/mod.ts";
import { throwIfAborted } from "./cancel.ts";
import type { ShardWriter } from "./encode-file.ts";
import { ShardGatherer } from "./gather-shards.ts";
import type { GatherOptions } from "./gather-shards.ts";
import { shardSpan, windowStripes } from "./layout.ts";
import { MerkleBuilder } from "./merkle-tree.ts";
import type { NodePosition } from "./merkle-tree.ts";
import { ErasureCoder } from "./reed-solomon.ts";
import { shardMask } from "./shard-mask.ts";

export interface RebuildOptions extends GatherOptions {
  /** The mask keys of all shards that are read or rebuilt, by shard (`deriveMaskKey`). */
  readonly maskKeys: readonly (Uint8Array | undefined)[];
  /** The shards to rebuild, with where each goes. Their readers are not used. */
  readonly wanted: readonly { readonly shard: number; readonly writer: ShardWriter }[];
  /** Gets the nodes of the rebuilt shards' trees that a prover wants to keep. */
  readonly onNode?: (shard: number, position: NodePosition, digest: Uint8Array) => void;
  /** Stripes that one read takes; by default those of about 1 MiB. */
  readonly stripesPerRead?: number;
  readonly signal?: AbortSignal;
}

/**
 * Rebuilds lost shards from any k others without the file key: the mask keys suffice, and they read nothing. What is written is byte for
 * byte what was lost. Memory is bounded to one window of stripes.
 *
 * Rejects with `shards_missing` when fewer than k can be read, `invalid_argument` for a missing mask key, `data_corrupt` when a rebuilt
 * shard does not have its root (the writer's bytes must then be thrown away), a writer's error, and `canceled`.
 */
export async function rebuildShards(options: RebuildOptions): Promise<void> {
  const { layout, roots, maskKeys, wanted, onNode, signal } = options;
  const stripesPerRead = windowStripes(layout.policy, options.stripesPerRead);
  const targets = wanted.map(({ shard, writer }) => ({
    shard,
    writer,
    tree: new MerkleBuilder(onNode && ((position, digest) => onNode(shard, position, digest))),
  }));
  const lost = new Set(wanted.map(({ shard }) => shard));
  const masks = options.readers.map((reader, shard) => {
    const isUsed = reader !== undefined || lost.has(shard);
    if (!isUsed) return undefined;
    const key = maskKeys[shard];
    if (key === undefined) throw new NodeError("invalid_argument", `Shard ${shard} is to be used without its mask key`);
    return shardMask(key);
  });
  const gatherer = new ShardGatherer({
    ...options,
    readers: options.readers.map((reader, shard) => lost.has(shard) ? undefined : reader),
  });
  const coder = new ErasureCoder(layout.policy);
  const stop = new AbortController();
  const cancel = () => stop.abort(signal!.reason);
  throwIfAborted(signal, "The repair");
  signal?.addEventListener("abort", cancel);
  try {
    for (let stripe = 0; stripe < layout.stripes; stripe += stripesPerRead) {
      const span = shardSpan(layout, { start: stripe, end: stripe + stripesPerRead });
      const masked = await gatherer.gather(span, undefined, stop.signal);
      const lanes = await Promise.all(
        masked.map((bytes, shard) => bytes && masks[shard]!.apply(bytes, span.start)),
      );
      const rebuilt = coder.rebuild(lanes, targets.map(({ shard }) => shard));
      await Promise.all(targets.map(async ({ shard, writer, tree }, place) => {
        const bytes = await masks[shard]!.apply(rebuilt[place]!, span.start);
        tree.append(bytes);
        await writer.write(bytes);
      }));
      throwIfAborted(signal, "The repair");
    }
  } catch (error) {
    throwIfAborted(signal, "The repair");
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
    stop.abort();
  }
  for (const { shard, tree } of targets) {
    if (Buffer.compare(tree.finish().root, roots[shard]!) !== 0) {
      throw new NodeError(
        "data_corrupt",
        `Shard ${shard} was rebuilt with another root than the manifest's; discard it`,
      );
    }
  }
}
