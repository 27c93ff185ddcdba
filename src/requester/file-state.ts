import type { FileRecord, FileState, NodeError, NodeId, ShardHealth, StoredFile, StoredShard } from "../core/mod.ts";

/** Where a shard is or is to be. */
interface Place {
  readonly target: string;
  readonly nodeId: NodeId;
  readonly region?: string;
}

/** A shard that is to be stored at a provider. */
export function pendingAt({ target, nodeId, region }: Place): StoredShard {
  return { target, providerId: nodeId, ...(region === undefined ? {} : { region }), state: "pending" };
}

/** A shard that a provider did not take. */
export function failedAt(place: Place, error: NodeError): StoredShard {
  return { ...pendingAt(place), state: "lost", lastError: error.message };
}

/** Whether a shard is durable and not known to be lost. */
export function isHealthy({ state }: StoredShard): boolean {
  return state === "stored" || state === "proven" || state === "suspect";
}

/** How many shards are there, for sure or as far as is known. */
export function healthyShards(file: StoredFile): number {
  return file.shards.filter(isHealthy).length;
}

/** The state of a file follows from its phase and its shards. */
export function stateOf(file: StoredFile): FileState {
  if (file.phase !== "kept") return file.phase;
  const count = (state: StoredShard["state"]) => file.shards.filter((shard) => shard.state === state).length;
  if (count("lost") > 0) return healthyShards(file) < file.policy.dataShards ? "lost" : "degraded";
  if (count("pending") > 0) return "stored";
  return count("proven") === file.shards.length ? "proven" : "replicated";
}

/** A file as its owner is shown it. */
export function recordOf(file: StoredFile, isLatest: boolean): FileRecord {
  return {
    id: file.id,
    name: file.name,
    version: file.version,
    contentType: file.contentType,
    sizeBytes: file.sizeBytes,
    sha256: file.sha256,
    policy: file.policy,
    state: stateOf(file),
    createdAt: file.createdAt,
    isLatest,
    healthyShards: healthyShards(file),
    warnings: file.warnings,
    ...(file.sharedBy === undefined ? {} : { sharedBy: file.sharedBy }),
  };
}

export function shardHealthOf(shard: StoredShard, index: number): ShardHealth {
  const { target, providerId, region, state, leaseExpiresAt, lease, lastAuditAt, lastError } = shard;
  return {
    index,
    provider: target,
    ...(providerId === undefined ? {} : { providerId }),
    ...(region === undefined ? {} : { region }),
    state,
    ...(leaseExpiresAt === undefined ? {} : { leaseExpiresAt }),
    ...(lease === undefined ? {} : { lease }),
    ...(lastAuditAt === undefined ? {} : { lastAuditAt }),
    ...(lastError === undefined ? {} : { lastError }),
  };
}

/** The same file with one shard changed. */
export function withShard(file: StoredFile, index: number, shard: StoredShard): StoredFile {
  return { ...file, shards: file.shards.map((old, place) => place === index ? shard : old) };
}

/** A shard that works: what was noted of failures is dropped. */
export function recovered(shard: StoredShard): StoredShard {
  const { failingSince: _since, failures: _failures, lastError: _error, faulted: _faulted, ...rest } = shard;
  return rest;
}
