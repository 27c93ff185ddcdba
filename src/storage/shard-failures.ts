import { NodeError, type ShardId, type ShardKey } from "../core/mod.ts";

export function noShard(id: ShardId): NodeError {
  return new NodeError("not_found", `There is no shard ${id}`, { data: { id } });
}

export function uploading({ id }: ShardKey): NodeError {
  return new NodeError("failed_precondition", `Shard ${id} is being uploaded: wait until that has ended`, {
    data: { id },
    retryable: true,
    retryAfterMs: 1000,
  });
}

export function quarantined({ id }: ShardKey): NodeError {
  return new NodeError(
    "data_corrupt",
    `Shard ${id} is damaged on this node's disk and in quarantine: rebuild it from the others and put it again`,
    { data: { id } },
  );
}
