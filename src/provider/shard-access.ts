import {
  type CallContext,
  NodeError,
  type RequesterId,
  type ShardId,
  type ShardKey,
  type ShardRecord,
} from "../core/mod.ts";
import type { ShardStore } from "./shard-ports.ts";

const SHARD_ID = /^[0-9a-f]{32}$/;

export function isShardId(text: string): boolean {
  return SHARD_ID.test(text);
}

/** Which shard a call is about. Throws `invalid_argument` when the id is none. */
export function shardKeyOf(id: ShardId, { requester }: { readonly requester: RequesterId }): ShardKey {
  if (isShardId(id)) return { owner: requester, id };
  throw new NodeError("invalid_argument", "A shard's id is 32 lower-case hex digits");
}

/** The record of a shard that is here. Throws `not_found`, and what {@link ShardStore.get} does. */
export async function recordOf(store: Pick<ShardStore, "get">, key: ShardKey): Promise<ShardRecord> {
  const record = await store.get(key);
  if (record !== undefined) return record;
  throw new NodeError("not_found", `There is no shard ${key.id} of yours here`, { data: { id: key.id } });
}

/** The record of a shard that the call may read: for a call by leave of the owner, unless that was taken back. */
export async function readableRecordOf(
  store: Pick<ShardStore, "get">,
  key: ShardKey,
  { capabilityEndsAt }: Pick<CallContext, "capabilityEndsAt">,
): Promise<ShardRecord> {
  const record = await recordOf(store, key);
  if (capabilityEndsAt !== undefined && capabilityEndsAt <= (record.refusedUpTo ?? 0)) {
    throw new NodeError(
      "permission_denied",
      `The capability was taken back for shard ${key.id}: ask the file's owner for another`,
      { data: { id: key.id, refusedUpTo: record.refusedUpTo!, reason: "capability_revoked" } },
    );
  }
  return record;
}
