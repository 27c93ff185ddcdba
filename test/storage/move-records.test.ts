import assert from "node:assert/strict";
import { test } from "node:test";
import { BODY_TUNING, openLevel } from "../../src/storage/level-engine.ts";
import { MemoryEngine } from "../../src/storage/memory-engine.ts";
import { openShardStore } from "../../src/storage/mod.ts";
import { moveRecords } from "../../src/storage/move-records.ts";
import { putShard, shardBytes, shardId } from "../contract-suites/shard-store.ts";
import { withFolder } from "./temp-folder.ts";

const ALICE = "0x00000000000000000000000000000000000000A1";
const ALL = { gt: "", lt: "\u{10ffff}", limit: 10_000 };

/** Parts of a shard database of schema 1, and what they are now. */
const MOVED = [["!shard!", "!shard-record!"], ["!account!", "!shard-total!"]] as const;

test("a shard database of schema 1 opens with all that it has, and without a fault", () =>
  withFolder(async (folder) => {
    const bytes = shardBytes(2 * 65_536 + 100);
    const before = await openShardStore(folder, { minFreeBytes: 0 });
    await putShard(before.shards, { owner: ALICE, id: shardId(1), bytes });
    await before.close();
    const db = await openLevel(folder, BODY_TUNING);
    const keys = await db.keys().all();
    for (const [was, is] of MOVED) {
      for (const key of keys.filter((one) => one.startsWith(is))) {
        await db.put(key.replace(is, was), (await db.get(key))!);
        await db.del(key);
      }
    }
    await db.put("!system!schema", '{"version":1}');
    await db.close();

    const { shards, check, close } = await openShardStore(folder, { minFreeBytes: 0 });
    assert.deepEqual((await check({ repair: false, readBodies: true })).problems, []);
    assert.deepEqual(await shards.totals(ALICE), { shards: 1, bytes: bytes.length });
    assert.deepEqual(await shards.read({ owner: ALICE, id: shardId(1) }, { start: 0, end: bytes.length }), bytes);
    await close();
    const after = await openLevel(folder, BODY_TUNING);
    assert.deepEqual(await after.keys().all(), keys);
    assert.equal(await after.get("!system!schema"), '{"version":2}');
    await after.close();
  }));

for (const count of [0, 1, 499, 500, 501, 1000]) {
  test(`${count} rows of a shard database move, and what lies beside them stays`, async () => {
    const engine = new MemoryEngine();
    const rows = Array.from({ length: count }, (_, i) => String(i).padStart(4, "0"));
    const beside = [["!shard-body!1/0", "block"], ["!system!schema", "1"]] as const;
    const written = [...rows.map((row) => [`!shard!${row}`, `of ${row}`] as const), ["!account!bytes", "7"], ...beside];
    await engine.write(written.map(([key, value]) => ({ type: "put", key, value })));
    await moveRecords(engine);
    const expected = [
      ...rows.map((row) => [`!shard-record!${row}`, `of ${row}`]),
      ["!shard-total!bytes", "7"],
      ...beside,
    ];
    assert.deepEqual(await engine.entries(ALL), expected.toSorted(([a], [b]) => a! < b! ? -1 : 1));
    // A node that stopped within begins anew.
    await moveRecords(engine);
    assert.equal((await engine.keys(ALL)).length, expected.length);
  });
}
