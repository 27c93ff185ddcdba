import type { z } from "@hono/zod-openapi";
import type { FileEvent, FileHealth, FileRecord, ShardHealth, StoredLease } from "../core/mod.ts";
import type * as schemas from "./file-schemas.ts";
import { timeText } from "./task-json.ts";

/** A record as JSON shows it: the same members, times as text. */
export function fileJson({ createdAt, policy, warnings, ...rest }: FileRecord): z.input<typeof schemas.File> {
  return { ...rest, policy: { ...policy }, warnings: [...warnings], createdAt: timeText(createdAt) };
}

export function healthJson({ record, shards, margin, risk }: FileHealth): z.input<typeof schemas.FileHealth> {
  return { file: fileJson(record), shards: shards.map(shardJson), margin, risk };
}

function shardJson({ leaseExpiresAt, lastAuditAt, lease, ...rest }: ShardHealth): z.input<typeof schemas.ShardHealth> {
  return {
    ...rest,
    ...(leaseExpiresAt === undefined ? {} : { leaseExpiresAt: timeText(leaseExpiresAt) }),
    ...(lastAuditAt === undefined ? {} : { lastAuditAt: timeText(lastAuditAt) }),
    ...(lease === undefined ? {} : { lease: leaseJson(lease) }),
  };
}

function leaseJson({ quote, startsAt, expiresAt, signature }: StoredLease): z.input<typeof schemas.ShardLease> {
  return { quote, startsAt, expiresAt, signature };
}

/** The data of a server-sent event. */
export function fileEventJson({ fileId, at, record, progress, shard, message }: FileEvent): unknown {
  return {
    fileId,
    at: timeText(at),
    ...(record === undefined ? {} : { file: fileJson(record) }),
    ...(progress === undefined ? {} : { progress }),
    ...(shard === undefined ? {} : { shard: shardJson(shard) }),
    ...(message === undefined ? {} : { message }),
  };
}
