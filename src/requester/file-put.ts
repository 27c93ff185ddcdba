import {
  type CallContext,
  type FileChange,
  type FileRecord,
  NodeError,
  type PutFileOptions,
  type ShardReceipt,
  type StoredFile,
  type StoredShard,
  toNodeError,
} from "../core/mod.ts";
import { encodeFile } from "../codec/mod.ts";
import { avoidedShards } from "./avoided-shards.ts";
import { beginUpload, resumeUpload, type Upload } from "./begin-upload.ts";
import type { FileKit } from "./file-kit.ts";
import { failedAt, healthyShards, pendingAt } from "./file-state.ts";
import { leased } from "./lease-end.ts";
import { LanePace } from "./lane-pace.ts";
import { manifestOf } from "./manifest-of.ts";
import { RegionCounts, warningsOf } from "./place-shards.ts";
import type { Candidate } from "./provider-pool.ts";
import { checkOrder, type PutOrder } from "./put-order.ts";
import { canceled, checkSize, removedMeanwhile, sizeChecked, tooFewDurable, withId } from "./put-failures.ts";
import { shardIdOf } from "./shard-ids.ts";
import { ShardLane } from "./shard-lane.ts";
import { cutPieces, type Piece, UploadJournal, withFirst } from "./upload-journal.ts";

export interface FilePutOptions extends FileKit {
  /** Rebuilds what a file lacks at other providers. */
  readonly rebuild: (id: string, signal: AbortSignal) => Promise<StoredFile | undefined>;
}

/** Bytes of plaintext between two tellings of progress. */
const PROGRESS_BYTES = 1 << 20;

/** Stores files: source → journal → cells → shards → a lane for each to its provider; manifest last, in one batch with the record. */
export class FilePut {
  readonly #options: FilePutOptions;
  /** Uploads that a put works on now. */
  readonly #running = new Set<string>();

  constructor(options: FilePutOptions) {
    this.#options = options;
  }

  async put(source: AsyncIterable<Uint8Array>, options: PutFileOptions, ctx: CallContext): Promise<FileRecord> {
    const { metrics, settings } = this.#options;
    const startedAt = performance.now();
    const order = checkOrder(options, settings.defaultPolicy);
    const pieces = cutPieces(source);
    try {
      const record = await this.#put(pieces, order, ctx.signal);
      metrics.puts.add(1, { result: "stored" });
      metrics.putBytes.add(record.sizeBytes);
      metrics.putSeconds.observe((performance.now() - startedAt) / 1000);
      return record;
    } catch (error) {
      metrics.puts.add(1, { result: "failed" });
      // The source may wait for bytes that will never come: nobody waits for it.
      pieces.return().catch(() => {});
      throw error;
    }
  }

  async #put(
    pieces: AsyncGenerator<Piece, void, undefined>,
    order: PutOrder,
    signal: AbortSignal,
  ): Promise<FileRecord> {
    // With the first piece at hand the size of a small file is known, and a source that fails at once leaves nothing behind.
    const first = (await pieces.next()).value!;
    const size = first.last ? first.sizeBytes : order.sizeBytes;
    checkSize(order.sizeBytes, first.sizeBytes, first.last);
    const begun = order.resume === undefined ? await beginUpload(this.#options, order, { size, signal }) : undefined;
    const id = begun?.file.id ?? order.resume!;
    if (this.#running.has(id)) {
      throw new NodeError("failed_precondition", `The upload ${id} is going on already; wait for it to end`);
    }
    this.#running.add(id);
    // Before it is known to be an upload: upkeep must not give it up meanwhile.
    const { busy } = this.#options;
    const busyBefore = busy.has(id);
    busy.add(id);
    try {
      const upload = begun ?? await resumeUpload(this.#options, order);
      return await this.#send(withFirst(first, pieces), { upload, order, signal });
    } catch (cause) {
      if (!busyBefore) busy.delete(id);
      const error = toNodeError(signal.aborted ? canceled(signal) : cause);
      // What can never succeed is forgotten, and its shards are freed; anything else can go on.
      if (error.code === "invalid_argument") await this.#giveUp(id);
      throw withId(error, id);
    } finally {
      this.#running.delete(id);
    }
  }

  async #send(
    pieces: AsyncGenerator<Piece, void, undefined>,
    { upload, order, signal }: { upload: Upload; order: PutOrder; signal: AbortSignal },
  ): Promise<FileRecord> {
    const { store, settings, closing } = this.#options;
    const { file, header } = upload;
    const { id, policy } = file;
    const lanes = this.#openLanes(upload, order);
    const stop = (reason: NodeError) => lanes.forEach((lane) => lane.fail(reason));
    const cancel = () => stop(canceled(signal));
    const close = () =>
      stop(new NodeError("shutting_down", "The node is stopping; the upload can go on after its start"));
    signal.addEventListener("abort", cancel);
    closing.addEventListener("abort", close);
    try {
      if (signal.aborted) throw canceled(signal);
      const journal = new UploadJournal({ fileId: id, store, resumes: upload.resumes, signal });
      const pace = new LanePace({
        count: lanes.length,
        stallMs: settings.stallMs,
        onSlow: (lane, heldMs) =>
          lanes[lane]!.fail(
            new NodeError(
              "deadline_exceeded",
              `${lanes[lane]!.provider.target} held the upload up for ${Math.round(heldMs)} ms`,
            ),
          ),
      });
      const plaintext = this.#progress(journal.pass(sizeChecked(pieces, order.sizeBytes)), { file, order, lanes });
      const encoded = await encodeFile(plaintext, {
        header,
        policy,
        writers: lanes.map((lane, index) => pace.timed(index, lane)),
        minShards: policy.dataShards,
        signal,
      });
      lanes.forEach((lane, index) => lane.end(encoded.heads[index]!));
      const done = {
        sizeBytes: encoded.sizeBytes,
        sha256: journal.sha256(),
        roots: encoded.heads.map(({ root }) => root),
      };
      const settled = await this.#enough(lanes, Math.min(policy.dataShards + settings.ackMargin, lanes.length));
      signal.removeEventListener("abort", cancel);
      const dropPieces: FileChange = { type: "dropPieces", fileId: id, count: journal.count };
      return await this.#acknowledge({ upload, lanes, done, settled, dropPieces, signal });
    } catch (error) {
      stop(toNodeError(error));
      throw error;
    } finally {
      signal.removeEventListener("abort", cancel);
      closing.removeEventListener("abort", close);
    }
  }

  #openLanes({ file, header, resumes }: Upload, order: PutOrder): ShardLane[] {
    const { pool, settings } = this.#options;
    // As the put that began it was told, also when one that goes on with it does not say so again.
    const targets = order.targets ?? file.targets;
    const lanes: ShardLane[] = [];
    for (const [index, { target, providerId, region }] of file.shards.entries()) {
      lanes.push(
        new ShardLane({
          index,
          id: shardIdOf(header, index),
          provider: { target, nodeId: providerId!, ...(region === undefined ? {} : { region }) },
          at: (provider) => pool.at(provider.target, provider.nodeId),
          call: (signal) => pool.call(signal),
          maxBytes: file.upload!.maxShardBytes,
          leaseMs: settings.leaseMs,
          stallMs: settings.stallMs,
          resumes,
          replace: (lane, error) => this.#replace(file, { lane, error, lanes, targets }),
        }),
      );
    }
    return lanes;
  }

  /** Another provider for a lane whose own failed; none when the put named its only one. */
  async #replace(
    file: StoredFile,
    { lane, error, lanes, targets }: {
      lane: ShardLane;
      error: NodeError;
      lanes: readonly ShardLane[];
      targets: readonly string[] | undefined;
    },
  ): Promise<Candidate | undefined> {
    const { pool, book, scores, metrics, closing, log } = this.#options;
    const failed = lane.provider;
    scores.bad(failed, error.message);
    metrics.shardFailures.add(1, { during: "put" });
    if (targets?.length === 1) return undefined;
    const { candidates } = await pool.survey(targets, closing);
    const taken = new Set(lanes.map(({ provider }) => provider.nodeId));
    const regions = new RegionCounts(lanes.filter((other) => other !== lane).map(({ provider }) => provider));
    const [next] = candidates.filter(({ nodeId }) => !taken.has(nodeId) && !scores.isResting(nodeId))
      .sort((a, b) => regions.near(a) - regions.near(b));
    if (next === undefined) return undefined;
    log.info("A provider failed during an upload; its shard begins anew at another", {
      fileId: file.id,
      shard: lane.index,
      from: failed.target,
      to: next.target,
      error: error.message,
    });
    await book.update(file.id, (now) => ({
      ...now,
      shards: now.shards.map((shard, index) => index === lane.index ? pendingAt(next) : shard),
      leftovers: [...now.leftovers, { index: lane.index, target: failed.target, providerId: failed.nodeId }],
    }), { durable: false });
    return next;
  }

  /** Tells of progress while plaintext passes. */
  async *#progress(
    plaintext: AsyncIterable<Uint8Array>,
    { file, order, lanes }: { file: StoredFile; order: PutOrder; lanes: readonly ShardLane[] },
  ): AsyncGenerator<Uint8Array> {
    const { book } = this.#options;
    let bytes = 0;
    let told = 0;
    const tell = () => {
      told = bytes;
      const progress = {
        bytes,
        ...(order.sizeBytes === undefined ? {} : { totalBytes: order.sizeBytes }),
        shards: lanes.filter(({ failure }) => failure === undefined).length,
        shardCount: lanes.length,
      };
      order.onProgress?.(progress);
      book.publish({ type: "progress", fileId: file.id, progress });
    };
    for await (const chunk of plaintext) {
      yield chunk;
      bytes += chunk.length;
      if (bytes - told >= PROGRESS_BYTES) tell();
    }
    tell();
  }

  /** Waits until `wanted` shards are durable, or no more will be. Returns where each stands. */
  #enough(lanes: readonly ShardLane[], wanted: number): Promise<(StoredShard | undefined)[]> {
    const { scores } = this.#options;
    const settled: (StoredShard | undefined)[] = lanes.map(() => undefined);
    return new Promise((resolve) => {
      let durable = 0;
      let open = lanes.length;
      const check = () => {
        if (durable >= wanted || open === 0) resolve(settled);
      };
      lanes.forEach((lane, index) => {
        lane.done.then((receipt) => {
          settled[index] = this.#storedAt(lane.provider, receipt);
          scores.good(lane.provider);
          durable++;
          open--;
          check();
        }, (error: unknown) => {
          settled[index] = failedAt(lane.provider, toNodeError(error));
          scores.bad(lane.provider, toNodeError(error).message);
          open--;
          check();
        });
      });
    });
  }

  async #acknowledge(
    { upload, lanes, done, settled, dropPieces, signal }: {
      upload: Upload;
      lanes: readonly ShardLane[];
      done: { readonly sizeBytes: number; readonly sha256: string; readonly roots: readonly Uint8Array[] };
      /** Changes while lanes end. */
      settled: readonly (StoredShard | undefined)[];
      dropPieces: FileChange;
      signal: AbortSignal;
    },
  ): Promise<FileRecord> {
    const { book, settings, steady, rebuild, busy } = this.#options;
    const { id, policy } = upload.file;
    const wanted = Math.min(policy.dataShards + settings.ackMargin, lanes.length);
    const asOf = (file: StoredFile): StoredFile => {
      if (file.phase !== "uploading") throw removedMeanwhile(id);
      return {
        ...file,
        sizeBytes: done.sizeBytes,
        sha256: done.sha256,
        touchedAt: steady.now(),
        warnings: warningsOf(lanes.map(({ provider }) => provider)),
        shards: settled.map((shard, index) => shard ?? pendingAt(lanes[index]!.provider)),
      };
    };
    const kept = (file: StoredFile): StoredFile => {
      if (file.phase !== "uploading") throw removedMeanwhile(id);
      const { upload: _upload, ...rest } = file;
      // At once where providers are to put stake on the shards.
      const waitMs = settings.asksCustody ? 0 : Math.floor(settings.leaseMs * (1 - settings.renewBelow));
      const renewAt = steady.now() + waitMs;
      return this.#hastened({ ...rest, phase: "kept", dueAt: steady.now() + settings.auditIntervalMs, renewAt });
    };
    const manifest = (file: StoredFile) => ({
      manifest: manifestOf(file, { header: upload.headerBytes, roots: done.roots, keys: upload.header.keys }),
    });
    const durable = settled.filter((shard) => shard?.state === "stored").length;
    if (durable < wanted) {
      // No lane is left, yet others can rebuild what is missing.
      await book.update(id, asOf, manifest);
      const rebuilt = durable < policy.dataShards ? undefined : await rebuild(id, signal);
      if (rebuilt === undefined || healthyShards(rebuilt) < wanted) {
        throw tooFewDurable(lanes, { durable: rebuilt === undefined ? durable : healthyShards(rebuilt), wanted });
      }
      const file = await book.update(id, kept, { also: [dropPieces] });
      busy.delete(id);
      return await book.record(file!);
    }
    const file = await book.update(
      id,
      (before) => kept(asOf(before)),
      (after) => ({ ...manifest(after), also: [dropPieces] }),
    );
    void this.#complete(id, { lanes, settled, manifest });
    return await book.record(file!);
  }

  /** After the answer: notes how the other lanes end, and has what failed rebuilt. */
  async #complete(
    id: string,
    { lanes, settled, manifest }: {
      lanes: readonly ShardLane[];
      settled: readonly (StoredShard | undefined)[];
      manifest: (file: StoredFile) => { readonly manifest: Uint8Array };
    },
  ): Promise<void> {
    const { book, rebuild, busy, closing, log } = this.#options;
    try {
      await Promise.all(lanes.map(({ done }) => done.catch(() => {})));
      const failed = settled.some((shard) => shard?.state !== "stored");
      // Always: a lane may have ended while the answer was written, which then still called it pending.
      await book.update(
        id,
        (file) =>
          file.phase !== "kept" || !file.shards.some(({ state }) => state === "pending") ? undefined : this.#hastened({
            ...file,
            shards: file.shards.map((shard, index) => shard.state === "pending" ? settled[index] ?? shard : shard),
          }),
        // A lane may have gone on to another provider since the answer.
        manifest,
      );
      if (failed && !closing.aborted) await rebuild(id, closing);
    } catch (error) {
      if (!closing.aborted) {
        log.warn("A file could not be completed yet; it is tried again", {
          fileId: id,
          error: toNodeError(error).message,
        });
      }
    } finally {
      busy.delete(id);
    }
  }

  /** A file that is to leave a provider, which may be avoided only since its shard was under way, is looked after at once. */
  #hastened(file: StoredFile): StoredFile {
    const { scores, steady } = this.#options;
    return avoidedShards(file, scores).length > 0 ? { ...file, dueAt: steady.now() } : file;
  }

  async #giveUp(id: string): Promise<void> {
    const { book, steady } = this.#options;
    await book.update(id, (file) => ({ ...file, phase: "removed", dueAt: steady.now() }));
  }

  #storedAt(provider: Candidate, receipt: ShardReceipt): StoredShard {
    const { clock, steady, settings: { leaseMs } } = this.#options;
    return { ...pendingAt(provider), state: "stored", ...leased(receipt, { clock, steady, leaseMs }) };
  }
}
