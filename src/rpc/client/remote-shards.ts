import {
  create,
  type DescMessage,
  type DescMethodUnary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  type ByteSpan,
  type CallContext,
  type CustodyRelease,
  fromHex,
  isReceiptSigned,
  type LeafProof,
  LEASE_REFUSED,
  NodeError,
  type NodeId,
  type PutShardOrder,
  type QuoteTerms,
  type ShardBytes,
  type ShardCustody,
  type ShardId,
  type ShardLease,
  type ShardPage,
  type ShardReceipt,
  type ShardRecord,
  type ShardService,
  type ShardUsage,
} from "../../core/mod.ts";
import { PutShardRequestSchema, StorageService } from "../../gen/velas/sphere/v1/storage_pb.ts";
import { CAPABILITY_HEADER } from "../capability-check.ts";
import { bytesFieldHead, frameOf } from "../grpc-frame.ts";
import { weiFromText } from "../payment-convert.ts";
import { leaseToProto, receiptFromProto, shardFromProto, termsToProto } from "../shard-convert.ts";
import { explain } from "./failures.ts";
import { isUnknownService, type Peer } from "./peer.ts";
import type { SignedCalls } from "./signed-calls.ts";
import { decodeAnswer, pathOf } from "./transport.ts";
import { WatchedInput } from "./watched-input.ts";

const { method } = StorageService;

/** The number of the field that a piece of a shard is in. */
const CHUNK_FIELD = PutShardRequestSchema.field.chunk.number;

/** Bytes of a shard are sent in messages of at most this size. */
const CHUNK_BYTES = 1 << 20; // 1 MiB

/** For calls that read up to 4 MiB, when their caller sets no deadline, in milliseconds. */
const READ_TIMEOUT_MS = 60_000;

/** The shard service of another node. Receipts that it gives are signed by that node. */
export class RemoteShards implements ShardService {
  readonly #peer: Peer;
  readonly #calls: SignedCalls | undefined;

  /** Without signed calls nothing can be kept there. */
  constructor(peer: Peer, calls: SignedCalls | undefined) {
    this.#peer = peer;
    this.#calls = calls;
  }

  async put(source: AsyncIterable<Uint8Array>, order: PutShardOrder, ctx: CallContext): Promise<ShardReceipt> {
    const peer = this.#peer;
    const calls = this.#signed;
    const provider = await calls.provider(ctx.signal);
    const stop = new AbortController();
    const onAbort = () => stop.abort(ctx.signal.reason);
    if (ctx.signal.aborted) onAbort();
    else ctx.signal.addEventListener("abort", onAbort, { once: true });
    const input = new WatchedInput(framesOf(source, order), stop);
    try {
      const timeoutMs = ctx.deadlineAt === undefined ? undefined : peer.timeLeft(ctx, 0);
      const path = pathOf(method.putShard);
      const metadata = { ...peer.metadata(ctx, true), ...await calls.metadata({ path, signal: ctx.signal }) };
      const answer = await peer.transport.uploadFrames(path, input, { signal: stop.signal, timeoutMs, metadata });
      return this.#checked(receiptFromProto(decodeAnswer(method.putShard, answer, peer.target).receipt), provider);
    } catch (reason) {
      if (input.failure !== undefined) throw input.failure.reason;
      throw this.#explain(reason);
    } finally {
      ctx.signal.removeEventListener("abort", onAbort);
      stop.abort();
    }
  }

  async uploaded(id: ShardId, ctx: CallContext): Promise<number> {
    return Number((await this.#call(method.getUpload, { id }, ctx)).bytes);
  }

  async get(id: ShardId, { start, end }: ByteSpan, ctx: CallContext): Promise<ShardBytes> {
    const request = { id, start: BigInt(start), end: BigInt(end) };
    const { bytes, proof } = await this.#call(method.getShard, request, ctx, READ_TIMEOUT_MS);
    return { bytes, proof };
  }

  async prove(id: ShardId, leaves: readonly number[], ctx: CallContext): Promise<readonly LeafProof[]> {
    const { proofs } = await this.#call(method.prove, { id, leaves: leaves.map(BigInt) }, ctx, READ_TIMEOUT_MS);
    return proofs.map(({ leaf, bytes, proof }) => ({ leaf: Number(leaf), bytes, proof }));
  }

  async renew(id: ShardId, leaseMs: number, ctx: CallContext, terms: QuoteTerms = {}): Promise<ShardReceipt> {
    const request = { id, leaseMs: BigInt(leaseMs), ...termsToProto(terms) };
    const { receipt } = await this.#call(method.renewLease, request, ctx);
    return this.#checked(receiptFromProto(receipt), await this.#signed.provider(ctx.signal));
  }

  async refuseLease(id: ShardId, ctx: CallContext): Promise<void> {
    await this.#call(method.refuseLease, { id }, ctx);
  }

  async remove(
    id: ShardId,
    ctx: CallContext,
    { releases = [] }: { readonly releases?: readonly CustodyRelease[] } = {},
  ): Promise<void> {
    const given = releases.map(({ custody, signature }) => ({
      custody: fromHex(custody) as Uint8Array<ArrayBuffer>,
      signature: signature as Uint8Array<ArrayBuffer>,
    }));
    await this.#call(method.deleteShard, { id, releases: given }, ctx);
  }

  async custody(id: ShardId, lease: ShardLease, ctx: CallContext): Promise<ShardCustody> {
    const { penalty, signature } = await this.#call(method.signCustody, { id, lease: leaseToProto(lease) }, ctx);
    return { penalty: weiFromText(penalty), signature };
  }

  async refuse(id: ShardId, upTo: number, ctx: CallContext): Promise<void> {
    await this.#call(method.refuseCapabilities, { id, upTo: BigInt(upTo) }, ctx);
  }

  async stat(id: ShardId, ctx: CallContext): Promise<ShardRecord> {
    return shardFromProto((await this.#call(method.statShard, { id }, ctx)).record);
  }

  async list(page: { readonly pageSize: number; readonly pageToken: string }, ctx: CallContext): Promise<ShardPage> {
    const { shards, nextPageToken } = await this.#call(method.listShards, page, ctx);
    return { shards: shards.map(shardFromProto), nextPageToken };
  }

  async usage(ctx: CallContext): Promise<ShardUsage> {
    const { shards, bytes, freeBytes } = await this.#call(method.getUsage, {}, ctx);
    return { shards: Number(shards), bytes: Number(bytes), freeBytes: Number(freeBytes) };
  }

  /** Every unary call here may be repeated: it changes nothing the second time. */
  async #call<I extends DescMessage, O extends DescMessage>(
    desc: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    ctx: CallContext,
    timeoutMs = this.#peer.options.requestTimeoutMs,
  ): Promise<MessageShape<O>> {
    const peer = this.#peer;
    const calls = this.#signed;
    const path = pathOf(desc);
    const message = toBinary(desc.input, create(desc.input, request));
    const rules = { timeoutMs, repeatable: true, signed: true };
    const capability = ctx.capability === undefined ? {} : { [CAPABILITY_HEADER]: ctx.capability };
    for (let first = true;; first = false) {
      try {
        const answer = await peer.call(
          ctx,
          rules,
          ({ metadata, ...attempt }) =>
            calls.unary({ ...attempt, path, message, metadata: { ...metadata, ...capability } }),
        );
        return decodeAnswer(desc, answer, peer.target);
      } catch (reason) {
        const error = this.#explain(reason);
        if (!first || error.code !== "unauthenticated") throw error;
      }
    }
  }

  get #signed(): SignedCalls {
    if (this.#calls !== undefined) return this.#calls;
    throw new NodeError(
      "unauthenticated",
      `${this.#peer.target} keeps shards for nodes with a key only, and this one has none`,
    );
  }

  #checked(receipt: ShardReceipt | undefined, provider: NodeId): ShardReceipt {
    if (receipt !== undefined && receipt.provider === provider && isReceiptSigned(receipt)) return receipt;
    throw new NodeError("target_misbehaved", `${this.#peer.target} gave no receipt that ${provider} has signed`, {
      data: { target: this.#peer.target, reason: LEASE_REFUSED },
    });
  }

  #explain(reason: unknown): NodeError {
    const { target } = this.#peer;
    if (isUnknownService(reason)) {
      return new NodeError("unimplemented", `${target} keeps no shards: name another provider`, { data: { target } });
    }
    const error = explain(reason, target);
    this.#calls?.note(error);
    return error;
  }
}

/** The requests of PutShard as gRPC frames. What they say of a piece stands before it, and the piece itself is not copied. */
async function* framesOf(
  source: AsyncIterable<Uint8Array>,
  { id, maxBytes, leaseMs, offset = 0, ...terms }: PutShardOrder,
): AsyncGenerator<readonly Uint8Array[]> {
  const sizes = { maxBytes: BigInt(maxBytes), leaseMs: BigInt(leaseMs), offset: BigInt(offset) };
  const value = { id, ...sizes, ...termsToProto(terms) };
  yield [frame({ case: "order", value })];
  for await (const bytes of source) {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      const chunk = bytes.subarray(at, at + CHUNK_BYTES);
      yield [bytesFieldHead(CHUNK_FIELD, chunk.length), chunk];
    }
  }
  yield [frame({ case: "end", value: {} })];
}

function frame(message: MessageInitShape<typeof PutShardRequestSchema>["message"]): Uint8Array {
  return frameOf(toBinary(PutShardRequestSchema, create(PutShardRequestSchema, { message: message! })));
}
