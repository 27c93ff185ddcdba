import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { appendFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "../testing.ts";
import { NodeError, type RequesterId } from "../../src/core/mod.ts";
import { openShardStore } from "../../src/storage/mod.ts";
import { putShard, shardBytes, shardId } from "../contract-suites/shard-store.ts";
import { withSmallDisk } from "../storage/temp-folder.ts";

const OWNER: RequesterId = "0x00000000000000000000000000000000000000A1";
const MIB = 1 << 20;
const SHARD_BYTES = 6 * MIB + 1024;
const ROOT = "ab".repeat(32);

const fails = (code: string) => (error: unknown) => error instanceof NodeError && error.code === code;
const keyOf = (number: number) => ({ owner: OWNER, id: shardId(number) });

/** Makes a file longer until the disk is full. */
async function takeAllRoom(path: string): Promise<void> {
  for (const blockBytes of [MIB, 4096]) {
    try {
      for (;;) await appendFile(path, new Uint8Array(blockBytes));
    } catch (error) {
      assert.equal((error as { code?: string }).code, "ENOSPC");
    }
  }
}

test("a disk that gets full in the middle of uploads loses no shard, and all goes on once there is room", (t) =>
  withSmallDisk(320, async (disk) => {
    // Deno ends a test whose only work is LevelDB's closing; a node always has its listeners.
    const alive = setInterval(() => {}, 1000);
    t.after(() => clearInterval(alive));
    const path = join(disk, "shards");
    const { shards, close } = await openShardStore(path, { minFreeBytes: 0 });
    const stored: number[] = [];
    const put = async (number: number) => {
      await putShard(shards, { ...keyOf(number), bytes: shardBytes(SHARD_BYTES, number), expiresAt: 10 ** 13 });
      stored.push(number);
    };
    for (const number of [0, 1, 2]) await put(number);

    const full = { ...keyOf(100), maxBytes: 64 * MIB, expiresAt: 10 ** 13, graceMs: 0 };
    const upload = await shards.begin(full);
    // Behind the back of the store, so that the disk itself refuses.
    await writeFile(join(disk, "ballast"), new Uint8Array(250 * MIB));
    const fill = async () => {
      for (let i = 0; i < 64; i++) await upload.write(shardBytes(MIB, i));
      await upload.finish(ROOT);
    };
    await assert.rejects(fill(), fails("storage_full"));
    await upload.suspend().catch(() => {});
    // LevelDB may have given some room back when it failed.
    await takeAllRoom(join(disk, "ballast"));
    await assert.rejects(put(3), fails("storage_full"));
    // What was acknowledged can be read, and counts, while the disk is full.
    for (const number of stored) {
      const bytes = await shards.read(keyOf(number), { start: 0, end: SHARD_BYTES });
      assert.deepEqual(bytes, shardBytes(SHARD_BYTES, number));
    }
    assert.deepEqual(await shards.totals(), { shards: stored.length, bytes: stored.length * SHARD_BYTES });

    // Room for some, which may do for the log that reopening writes anew, or not: all can be read all the same.
    const { size } = await stat(join(disk, "ballast"));
    await truncate(join(disk, "ballast"), size - 20 * MIB);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await put(3).catch((error) => assert.ok(fails("storage_full")(error), String(error)));
    assert.equal((await shards.read(keyOf(0), { start: 0, end: 1024 })).length, 1024);

    await rm(join(disk, "ballast"));
    for (;;) {
      try {
        await put(4);
        break;
      } catch (error) {
        // The store tries to reopen at most once a second.
        assert.ok(fails("storage_full")(error), String(error));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    // The upload that broke goes on where it was.
    const waiting = await shards.suspended(keyOf(100));
    assert.ok(waiting > 0 && waiting < 64 * MIB, String(waiting));
    const second = await shards.begin(full);
    assert.equal(second.offset, waiting);
    const whole = Buffer.concat(Array.from({ length: 64 }, (_, i) => shardBytes(MIB, i)));
    assert.deepEqual(
      await second.read({ start: waiting - MIB, end: waiting }),
      Uint8Array.from(whole.subarray(waiting - MIB, waiting)),
    );
    await second.abort();
    await shards.settle();
    await close();

    const again = await openShardStore(path, { minFreeBytes: 0 });
    for (const number of stored) {
      const bytes = await again.shards.read(keyOf(number), { start: 0, end: SHARD_BYTES });
      assert.deepEqual(bytes, shardBytes(SHARD_BYTES, number));
    }
    const { problems, uploadBytes } = await again.check({ repair: false, readBodies: true });
    assert.deepEqual([problems, uploadBytes], [[], 0]);
    await again.close();
  }));
