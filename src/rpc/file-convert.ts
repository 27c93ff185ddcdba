import { Buffer } from "node:buffer";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type {
  FileEvent,
  FileHealth,
  FileProgress,
  FileQuery,
  FileRecord,
  FileRef,
  FileState,
  PutFileOptions,
  ShardHealth,
  StoredLease,
} from "../core/mod.ts";
import { fromHex, NodeError } from "../core/mod.ts";
import * as filePb from "../gen/velas/sphere/v1/file_pb.ts";

/** The page size of a list request that names none. */
const DEFAULT_PAGE_SIZE = 50;
const MAX_NAME_BYTES = 4096;

const STATES = {
  uploading: filePb.FileState.UPLOADING,
  stored: filePb.FileState.STORED,
  replicated: filePb.FileState.REPLICATED,
  proven: filePb.FileState.PROVEN,
  degraded: filePb.FileState.DEGRADED,
  lost: filePb.FileState.LOST,
  removed: filePb.FileState.REMOVED,
} as const satisfies Record<FileState, filePb.FileState>;

const SHARD_STATES = {
  pending: filePb.ShardState.PENDING,
  stored: filePb.ShardState.STORED,
  proven: filePb.ShardState.PROVEN,
  suspect: filePb.ShardState.SUSPECT,
  lost: filePb.ShardState.LOST,
} as const satisfies Record<ShardHealth["state"], filePb.ShardState>;

const EVENT_TYPES = {
  progress: filePb.FileEventType.PROGRESS,
  state: filePb.FileEventType.STATE,
  shard: filePb.FileEventType.SHARD,
  audit: filePb.FileEventType.AUDIT,
  repair: filePb.FileEventType.REPAIR,
  removed: filePb.FileEventType.REMOVED,
} as const satisfies Record<FileEvent["type"], filePb.FileEventType>;

/** Checks the length of a name in bytes, which the rules of the .proto file count in characters. */
export function fileNameFromProto(name: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes >= 1 && bytes <= MAX_NAME_BYTES) return name;
  throw new NodeError(
    "invalid_argument",
    `A file's name has 1 to ${MAX_NAME_BYTES} bytes of UTF-8; this one has ${bytes}`,
    {
      data: { nameBytes: bytes },
    },
  );
}

/** The file that a valid request names. */
export function refFromProto({ ref, version }: filePb.FileRef): FileRef {
  if (ref.case === "id") {
    if (version > 0n) {
      throw new NodeError("invalid_argument", "An id names a version already: leave version away, or give a name");
    }
    return { id: ref.value };
  }
  const name = fileNameFromProto(ref.value ?? "");
  return version === 0n ? { name } : { name, version: Number(version) };
}

export function orderFromProto(order: filePb.PutFileOrder): PutFileOptions {
  const { name, contentType, policy, sizeBytes, providers, allowFewer, resume } = order;
  return {
    name: fileNameFromProto(name),
    contentType,
    ...(policy === undefined ? {} : { policy: { dataShards: policy.dataShards, parityShards: policy.parityShards } }),
    ...(sizeBytes === undefined ? {} : { sizeBytes: Number(sizeBytes) }),
    ...(providers.length === 0 ? {} : { targets: providers }),
    ...(allowFewer ? { allowFewer } : {}),
    ...(resume === "" ? {} : { resume }),
  };
}

export function fileQueryFromProto(request: filePb.ListFilesRequest): FileQuery {
  const { prefix, delimiter, allVersions, pageSize, pageToken } = request;
  return { prefix, delimiter, allVersions, pageSize: pageSize || DEFAULT_PAGE_SIZE, pageToken };
}

export function fileToProto(record: FileRecord): filePb.File {
  return create(filePb.FileSchema, {
    id: record.id,
    name: record.name,
    version: BigInt(record.version),
    contentType: record.contentType,
    sizeBytes: BigInt(record.sizeBytes),
    sha256: Uint8Array.from(Buffer.from(record.sha256, "hex")),
    policy: { ...record.policy },
    state: STATES[record.state],
    createdAt: timestampFromMs(record.createdAt),
    isLatest: record.isLatest,
    healthyShards: record.healthyShards,
    warnings: [...record.warnings],
    sharedBy: record.sharedBy ?? "",
  });
}

export function progressToProto({ bytes, totalBytes, shards, shardCount }: FileProgress): filePb.FileProgress {
  return create(filePb.FileProgressSchema, {
    bytes: BigInt(bytes),
    totalBytes: BigInt(totalBytes ?? 0),
    shards,
    shardCount,
  });
}

export function healthToProto({ record, shards, margin, risk }: FileHealth): filePb.FileHealth {
  return create(filePb.FileHealthSchema, { file: fileToProto(record), shards: shards.map(shardToProto), margin, risk });
}

function shardToProto(shard: ShardHealth): filePb.ShardHealth {
  return create(filePb.ShardHealthSchema, {
    index: shard.index,
    provider: shard.provider,
    providerId: shard.providerId ?? "",
    region: shard.region ?? "",
    state: SHARD_STATES[shard.state],
    lastError: shard.lastError ?? "",
    ...(shard.leaseExpiresAt === undefined ? {} : { leaseExpiresAt: timestampFromMs(shard.leaseExpiresAt) }),
    ...(shard.lastAuditAt === undefined ? {} : { lastAuditAt: timestampFromMs(shard.lastAuditAt) }),
    ...(shard.lease === undefined ? {} : { lease: leaseToProto(shard.lease) }),
  });
}

function leaseToProto({ quote, startsAt, expiresAt, signature }: StoredLease): filePb.ShardPromise {
  return create(filePb.ShardPromiseSchema, {
    quote: fromHex(quote) as Uint8Array<ArrayBuffer>,
    startsAt: timestampFromMs(startsAt),
    expiresAt: timestampFromMs(expiresAt),
    signature: fromHex(signature) as Uint8Array<ArrayBuffer>,
  });
}

export function fileEventToProto(event: FileEvent): filePb.FileEvent {
  const { type, fileId, at, record, progress, shard, message } = event;
  return create(filePb.FileEventSchema, {
    type: EVENT_TYPES[type],
    fileId,
    at: timestampFromMs(at),
    message: message ?? "",
    ...(record === undefined ? {} : { file: fileToProto(record) }),
    ...(progress === undefined ? {} : { progress: progressToProto(progress) }),
    ...(shard === undefined ? {} : { shard: shardToProto(shard) }),
  });
}
