import { create } from "@bufbuild/protobuf";
import {
  type CallContext,
  type Clock,
  NodeError,
  notSigned,
  type PutShardOrder,
  type ShardService,
  toHex,
} from "../../core/mod.ts";
import {
  type GetShardRequest,
  GetShardResponseSchema,
  type PutShardRequest,
  PutShardRequestSchema,
  StorageService,
} from "../../gen/velas/sphere/v1/storage_pb.ts";
import { Call } from "../calls.ts";
import { CAPABILITY_HEADER, CapabilityCheck, type CapabilityUse } from "../capability-check.ts";
import { cutOff } from "../cut-off.ts";
import { bytesFieldsFrame } from "../grpc-frame.ts";
import { bidiStream, type BytesField, parseRequest, type Route, unary } from "../route.ts";
import { leaseFromProto, receiptToProto, shardToProto, termsFromProto } from "../shard-convert.ts";
import { validate } from "../validation.ts";

const DEFAULT_PAGE_SIZE = 50;

/** The fields of GetShard's answer. */
const ANSWER = GetShardResponseSchema.field;

/** The pieces of a shard in the requests of PutShard. */
const CHUNKS: BytesField = {
  number: PutShardRequestSchema.field.chunk.number,
  wrap: (bytes) =>
    create(PutShardRequestSchema, { message: { case: "chunk", value: bytes as Uint8Array<ArrayBuffer> } }),
};

/** The context of a call that may be another's with leave of the owner. Throws what {@link owner} and the check throw. */
function actor(capabilities: CapabilityCheck, ctx: CallContext, use: CapabilityUse): CallContext {
  const caller = owner(ctx);
  const text = ctx instanceof Call ? capabilityOf(ctx.metadata) : undefined;
  return text === undefined ? caller : capabilities.actFor(caller, text, use);
}

function capabilityOf(metadata: Call["metadata"]): string | undefined {
  const value = metadata instanceof Headers ? metadata.get(CAPABILITY_HEADER) : metadata[CAPABILITY_HEADER];
  return typeof value === "string" ? value : undefined;
}

/** The context of a call whose requester is proven. Throws `unauthenticated`. */
function owner(ctx: CallContext): CallContext {
  if (ctx.authenticated === true) return ctx;
  throw notSigned("whose shards these are must be proven by a signature (docs/protocol.md)");
}

/** `velas.sphere.v1.StorageService` on a shard service of the domain. */
export function storageRoutes(shards: ShardService, clock: Clock): Route[] {
  const { method } = StorageService;
  const capabilities = new CapabilityCheck(clock);
  const get = async ({ id, start, end }: GetShardRequest, ctx: CallContext) => {
    const span = { start: Number(start), end: Number(end) };
    const use = { shard: id, action: "read", bytes: Math.max(0, span.end - span.start) } as const;
    const { bytes, proof } = await shards.get(id, span, actor(capabilities, ctx, use));
    return { bytes: bytes as Uint8Array<ArrayBuffer>, proof: proof as Uint8Array<ArrayBuffer> };
  };
  return [
    bidiStream(method.putShard, (requests, ctx) => put(shards, requests, () => owner(ctx)), {
      endsOnDrain: false,
      bytes: CHUNKS,
    }),
    unary(method.getUpload, async ({ id }, ctx) => ({ bytes: BigInt(await shards.uploaded(id, owner(ctx))) })),
    unary(method.getShard, get, {
      // Its answer is large: not copied into a message and from there into a frame.
      tryBytes: async (request, ctx) => {
        const message = parseRequest(method.getShard.input, request);
        await validate(method.getShard.input, message);
        const { bytes, proof } = await get(message, ctx);
        return bytesFieldsFrame([[ANSWER.bytes.number, bytes], [ANSWER.proof.number, proof]]);
      },
    }),
    unary(method.prove, async ({ id, leaves }, ctx) => ({
      proofs: (await shards.prove(
        id,
        leaves.map(Number),
        actor(capabilities, ctx, { shard: id, action: "audit", bytes: 0 }),
      )).map(({ leaf, bytes, proof }) => ({
        leaf: BigInt(leaf),
        bytes: bytes as Uint8Array<ArrayBuffer>,
        proof: proof as Uint8Array<ArrayBuffer>,
      })),
    })),
    unary(method.renewLease, async ({ id, leaseMs, quote }, ctx) => ({
      receipt: receiptToProto(await shards.renew(id, Number(leaseMs), owner(ctx), termsFromProto(quote))),
    })),
    unary(method.refuseLease, async ({ id }, ctx) => {
      await shards.refuseLease(id, owner(ctx));
      return {};
    }),
    unary(method.signCustody, async ({ id, lease }, ctx) => {
      const { penalty, signature } = await shards.custody(id, leaseFromProto(lease!), owner(ctx));
      return { penalty: String(penalty), signature: signature as Uint8Array<ArrayBuffer> };
    }),
    unary(method.deleteShard, async ({ id, releases }, ctx) => {
      const given = releases.map(({ custody, signature }) => ({ custody: toHex(custody), signature }));
      await shards.remove(id, owner(ctx), { releases: given });
      return {};
    }),
    unary(method.refuseCapabilities, async ({ id, upTo }, ctx) => {
      await shards.refuse(id, Number(upTo), owner(ctx));
      return {};
    }),
    unary(method.statShard, async ({ id }, ctx) => ({ record: shardToProto(await shards.stat(id, owner(ctx))) })),
    unary(method.listShards, async ({ pageSize, pageToken }, ctx) => {
      const page = await shards.list({ pageSize: pageSize || DEFAULT_PAGE_SIZE, pageToken }, owner(ctx));
      return { shards: page.shards.map(shardToProto), nextPageToken: page.nextPageToken };
    }),
    unary(method.getUsage, async (_, ctx) => {
      const usage = await shards.usage(owner(ctx));
      return { shards: BigInt(usage.shards), bytes: BigInt(usage.bytes), freeBytes: BigInt(usage.freeBytes) };
    }),
  ];
}

async function* put(shards: ShardService, requests: AsyncIterable<PutShardRequest>, context: () => CallContext) {
  const source = requests[Symbol.asyncIterator]();
  try {
    // Inside, so that it fails the call and not the server.
    const ctx = context();
    const receipt = await shards.put(chunks(source), orderOf(await source.next()), ctx);
    yield { receipt: receiptToProto(receipt) };
  } finally {
    // Whatever ended the put, the rest is not wanted. Not awaited: it may be waiting for the caller.
    source.return?.().catch(() => {});
  }
}

function orderOf(first: IteratorResult<PutShardRequest>): PutShardOrder {
  if (first.done === true || first.value.message.case !== "order") {
    throw new NodeError("invalid_argument", "The first message of PutShard must be the order; send the bytes after it");
  }
  const { id, maxBytes, leaseMs, offset, quote } = first.value.message.value;
  return {
    id,
    maxBytes: Number(maxBytes),
    leaseMs: Number(leaseMs),
    ...(offset === 0n ? {} : { offset: Number(offset) }),
    ...termsFromProto(quote),
  };
}

async function* chunks(source: AsyncIterator<PutShardRequest>): AsyncGenerator<Uint8Array> {
  for (let next = await source.next(); next.done !== true; next = await source.next()) {
    const { message } = next.value;
    if (message.case === "end") return;
    if (message.case !== "chunk") {
      throw new NodeError("invalid_argument", "Only the first message of PutShard may be the order");
    }
    yield message.value;
  }
  throw cutOff("PutShard");
}
