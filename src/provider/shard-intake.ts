import {
  type CallContext,
  type Counter,
  type Log,
  NodeError,
  type NodeKey,
  type PutShardOrder,
  type ShardKey,
  type ShardReceipt,
  type ShardRecord,
} from "../core/mod.ts";
import { LEAF_BYTES, MerkleBuilder, type TreeHead } from "../codec/mod.ts";
import { abortable } from "./abortable.ts";
import { reserveStorage } from "./reserve-storage.ts";
import { shardKeyOf } from "./shard-access.ts";
import type { ShardLeases } from "./shard-leases.ts";
import type { ShardStore, ShardUpload, StorageLedger } from "./shard-ports.ts";

export interface ShardIntakeOptions {
  readonly store: ShardStore;
  readonly key: NodeKey;
  readonly ledger: StorageLedger;
  readonly limits: { readonly maxShardBytes: number; readonly graceMs: number };
  readonly log: Log;
  readonly leases: ShardLeases;
  /** Counts the bytes that are taken. */
  readonly bytes: Counter;
}

/** Bytes of an interrupted upload that are read at once to make its tree anew. */
const REREAD_BYTES = 1 << 20; // 1 MiB

/** Takes shards: new ones, uploads that go on, and those that are here already. */
export class ShardIntake {
  readonly #options: ShardIntakeOptions;

  constructor(options: ShardIntakeOptions) {
    this.#options = options;
  }

  async put(source: AsyncIterable<Uint8Array>, order: PutShardOrder, ctx: CallContext): Promise<ShardReceipt> {
    const { store, limits, leases } = this.#options;
    const { id, maxBytes, offset = 0, quote } = order;
    const leaseMs = leases.checked(order.leaseMs);
    const shard = shardKeyOf(id, ctx);
    if (!(Number.isSafeInteger(maxBytes) && maxBytes >= LEAF_BYTES && maxBytes <= limits.maxShardBytes)) {
      throw new NodeError(
        "invalid_argument",
        `A shard has ${LEAF_BYTES} to ${limits.maxShardBytes} bytes here, not ${maxBytes} (storage.maxShardBytes)`,
        { data: { maxBytes } },
      );
    }
    const known = await this.#known(shard);
    if (known !== undefined) return await this.#putAgain(known, source, { order, leaseMs, ctx });

    const reservation = reserveStorage(this.#options, ctx, {
      action: "put",
      bytes: maxBytes,
      durationMs: leaseMs,
      quote,
    });
    const term = leases.term(leaseMs);
    let upload: ShardUpload | undefined;
    let record: ShardRecord;
    try {
      upload = await store.begin({ ...shard, maxBytes, expiresAt: term.expiresAt, graceMs: limits.graceMs });
      record = await this.#take(upload, source, { offset, ctx });
    } catch (error) {
      reservation.release();
      await this.#end(upload, error);
      throw error;
    }
    return await leases.grant(record, { term, reservation });
  }

  #known(shard: ShardKey): Promise<ShardRecord | undefined> {
    return this.#options.store.get(shard).catch((error: unknown) => {
      // One in quarantine may be put anew.
      if (error instanceof NodeError && error.code === "data_corrupt") return undefined;
      throw error;
    });
  }

  /** Takes the bytes of a shard, and makes its tree on the way. */
  async #take(
    upload: ShardUpload,
    source: AsyncIterable<Uint8Array>,
    { offset, ctx }: { readonly offset: number; readonly ctx: CallContext },
  ): Promise<ShardRecord> {
    if (offset > upload.offset) {
      throw new NodeError(
        "failed_precondition",
        `The upload goes on at ${offset}, but only ${upload.offset} bytes are here: send it from there`,
        { data: { uploadedBytes: upload.offset } },
      );
    }
    const tree = new MerkleBuilder(({ level, index }, digest) => upload.keepNode(level, index, digest));
    for (let start = 0; start < upload.offset; start += REREAD_BYTES) {
      tree.append(await upload.read({ start, end: Math.min(start + REREAD_BYTES, upload.offset) }));
    }
    let skip = upload.offset - offset;
    for await (const piece of abortable(source, ctx.signal)) {
      const fresh = piece.subarray(Math.min(skip, piece.length));
      skip -= piece.length - fresh.length;
      if (fresh.length === 0) continue;
      tree.append(fresh);
      await upload.write(fresh);
      this.#options.bytes.add(fresh.length, { direction: "in" });
    }
    if (skip > 0) {
      throw new NodeError("invalid_argument", `The shard ended ${skip} bytes before what is here of it already`);
    }
    return await upload.finish(rootOf(tree.finish()));
  }

  /** A shard that is here: the same bytes extend its lease. */
  async #putAgain(
    known: ShardRecord,
    source: AsyncIterable<Uint8Array>,
    { order, leaseMs, ctx }: { readonly order: PutShardOrder; readonly leaseMs: number; readonly ctx: CallContext },
  ): Promise<ShardReceipt> {
    const { leases } = this.#options;
    const taken = new NodeError("already_exists", `Shard ${order.id} is here with other bytes: remove it first`, {
      data: { id: order.id, root: known.root },
    });
    if ((order.offset ?? 0) > 0) throw taken;
    // Before any bytes are taken, so that the quote holds now or the put is refused now.
    const reservation = reserveStorage(this.#options, ctx, {
      action: "renew",
      bytes: known.sizeBytes,
      durationMs: leaseMs,
      quote: order.quote,
    });
    try {
      await expectSame(known, source, { taken, ctx });
    } catch (error) {
      reservation.release();
      throw error;
    }
    return await leases.extend(known, { term: leases.term(leaseMs), reservation });
  }

  /** What becomes of an upload that failed: wrong bytes are dropped, others wait to go on. */
  async #end(upload: ShardUpload | undefined, error: unknown): Promise<void> {
    if (upload === undefined) return;
    const wrong = error instanceof NodeError && ["invalid_argument", "data_corrupt"].includes(error.code);
    await (wrong ? upload.abort() : upload.suspend()).catch((failure: unknown) =>
      this.#options.log.warn("An upload did not end cleanly", { error: failure })
    );
  }
}

/** Reads the bytes of a shard that is here. Throws `taken` when they are others. */
async function expectSame(
  known: ShardRecord,
  source: AsyncIterable<Uint8Array>,
  { taken, ctx }: { readonly taken: NodeError; readonly ctx: CallContext },
): Promise<void> {
  const tree = new MerkleBuilder();
  let size = 0;
  for await (const piece of abortable(source, ctx.signal)) {
    size += piece.length;
    if (size > known.sizeBytes) throw taken;
    tree.append(piece);
  }
  if (size !== known.sizeBytes || rootOf(tree.finish()) !== known.root) throw taken;
}

function rootOf({ root }: TreeHead): string {
  return Buffer.from(root.buffer, root.byteOffset, root.length).toString("hex");
}
