import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import {
  fromHex,
  parseNodeId,
  type QuoteTerms,
  type RequesterId,
  type ShardLease,
  type ShardReceipt,
  type ShardRecord,
  toHex,
} from "../core/mod.ts";
import * as storagePb from "../gen/velas/sphere/v1/storage_pb.ts";
import { bytesOf, hexOf } from "./hex.ts";
import { misbehaved } from "./misbehaved.ts";
import { requesterFromText } from "./requester-text.ts";

export function shardToProto(record: ShardRecord): storagePb.ShardRecord {
  return create(storagePb.ShardRecordSchema, {
    id: record.id,
    owner: record.owner,
    sizeBytes: BigInt(record.sizeBytes),
    root: bytesOf(record.root),
    storedAt: timestampFromMs(record.storedAt),
    expiresAt: timestampFromMs(record.expiresAt),
    graceMs: BigInt(record.graceMs),
    ...(record.refusedUpTo !== undefined && { refusedUpTo: timestampFromMs(record.refusedUpTo) }),
  });
}

/** A record that a peer sent. Throws `target_misbehaved` when a part of it is missing. */
export function shardFromProto(record: storagePb.ShardRecord | undefined): ShardRecord {
  if (record?.storedAt === undefined || record.expiresAt === undefined || record.root.length !== 32) {
    throw misbehaved("the shard's record is not whole");
  }
  const { id, owner, sizeBytes, root, storedAt, expiresAt, graceMs, refusedUpTo } = record;
  const requester: RequesterId = requesterFromText(owner);
  return {
    id,
    owner: requester,
    sizeBytes: Number(sizeBytes),
    root: hexOf(root),
    storedAt: timestampMs(storedAt),
    expiresAt: timestampMs(expiresAt),
    graceMs: Number(graceMs),
    ...(refusedUpTo !== undefined && { refusedUpTo: timestampMs(refusedUpTo) }),
  };
}

export function leaseToProto(
  { quote, startsAt, signature }: ShardLease,
): MessageInitShape<typeof storagePb.ShardLeaseSchema> {
  return {
    quote: fromHex(quote) as Uint8Array<ArrayBuffer>,
    startsAt: BigInt(startsAt),
    signature: signature as Uint8Array<ArrayBuffer>,
  };
}

/** A lease as it came; whatever it says is for its reader to check. */
export function leaseFromProto({ quote, startsAt, signature }: storagePb.ShardLease): ShardLease {
  return { quote: toHex(quote), startsAt: Number(startsAt), signature };
}

/** The quote that an order names. */
export function termsToProto({ quote }: QuoteTerms): { readonly quote?: Uint8Array<ArrayBuffer> } {
  return quote === undefined ? {} : { quote: fromHex(quote) as Uint8Array<ArrayBuffer> };
}

export function termsFromProto(quote: Uint8Array | undefined): QuoteTerms {
  return quote === undefined ? {} : { quote: toHex(quote) };
}

export function receiptToProto({ provider, record, signature, lease }: ShardReceipt): storagePb.ShardReceipt {
  return create(storagePb.ShardReceiptSchema, {
    provider,
    record: shardToProto(record),
    signature: signature as Uint8Array<ArrayBuffer>,
    ...(lease !== undefined && { lease: leaseToProto(lease) }),
  });
}

/** A receipt that a peer sent; its signature, and the lease's, are for the caller to check. */
export function receiptFromProto(receipt: storagePb.ShardReceipt | undefined): ShardReceipt {
  if (receipt === undefined) {
    throw misbehaved("the receipt is missing");
  }
  const { provider, record, signature, lease } = receipt;
  return {
    provider: parseNodeId(provider),
    record: shardFromProto(record),
    signature,
    ...(lease !== undefined && { lease: leaseFromProto(lease) }),
  };
}
