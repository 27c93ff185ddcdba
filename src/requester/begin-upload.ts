import { NodeError, type StoredFile } from "../core/mod.ts";
import {
  createHeader,
  FILE_ID_BYTES,
  fileLayout,
  KEY_BYTES,
  type OpenedHeader,
  openHeader,
  shardCount,
} from "../codec/mod.ts";
import { notFound } from "./file-book.ts";
import type { FileKit } from "./file-kit.ts";
import { pendingAt } from "./file-state.ts";
import { hex, unhex } from "./hex.ts";
import { placeShards } from "./place-shards.ts";
import type { PutOrder } from "./put-order.ts";
import { roomFor } from "./room-for.ts";

/** An upload under way. */
export interface Upload {
  readonly file: StoredFile;
  readonly header: OpenedHeader;
  readonly headerBytes: Uint8Array;
  readonly resumes: boolean;
}

/** Draws the keys of a new version, chooses its providers, and writes it down. `size` is the file's, in bytes, where it is known. */
export async function beginUpload(
  kit: FileKit,
  { name, policy, targets, allowFewer, contentType }: PutOrder,
  { size, signal }: { readonly size: number | undefined; readonly signal: AbortSignal },
): Promise<Upload> {
  const { pool, book, store, clock, steady, random, master, settings } = kit;
  const { providers, warnings } = await placeShards(pool, { count: shardCount(policy), targets, allowFewer, signal });
  const fileId = random(FILE_ID_BYTES);
  const fileKey = random(KEY_BYTES);
  const headerBytes = createHeader({ fileId, fileKey, recipients: [master], random });
  const now = steady.now();
  const maxShardBytes = size === undefined
    ? await roomFor(kit, { policy, providers, signal })
    : fileLayout(size, policy).shardBytes;
  const file = await book.withName(name, async () => {
    const newest = (await store.names({ prefix: name, limit: 1 }))[0];
    const version = newest?.name === name ? newest.version + 1 : 1;
    const added: StoredFile = {
      id: hex(fileId),
      name,
      version,
      contentType,
      sizeBytes: size ?? 0,
      sha256: "",
      policy,
      createdAt: clock.now(),
      touchedAt: now,
      warnings,
      phase: "uploading",
      upload: { header: hex(headerBytes), maxShardBytes },
      ...(targets === undefined ? {} : { targets }),
      shards: providers.map(pendingAt),
      leftovers: [],
      dueAt: now + settings.uploadTtlMs,
    };
    await book.add(added);
    return added;
  });
  return { file, header: openHeader(headerBytes, { type: "file", key: fileKey }), headerBytes, resumes: false };
}

/**
 * Takes up an upload that was interrupted, with its keys and its providers. Throws `not_found` when it is not there, and `failed_precondition` when it
 * is none, or of another name or policy.
 */
export async function resumeUpload(
  { book, master, steady, settings }: FileKit,
  { resume, name, policy }: PutOrder,
): Promise<Upload> {
  const { id } = await book.find({ id: resume! });
  const file = await book.update(id, (file) => {
    const samePolicy = file.policy.dataShards === policy.dataShards &&
      file.policy.parityShards === policy.parityShards;
    if (file.phase !== "uploading" || file.upload === undefined || file.name !== name || !samePolicy) {
      throw new NodeError(
        "failed_precondition",
        `File ${file.id} is no upload under this name and policy that can go on; put it anew`,
        { data: { id: file.id } },
      );
    }
    // Its time to be gone on with begins anew, also should it stop again.
    return { ...file, touchedAt: steady.now(), dueAt: steady.now() + settings.uploadTtlMs };
  });
  if (file?.upload === undefined) throw notFound({ id });
  const headerBytes = unhex(file.upload.header);
  return { file, header: openHeader(headerBytes, master), headerBytes, resumes: true };
}
