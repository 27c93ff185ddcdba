import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { NodeError, type RequesterId } from "../../src/core/mod.ts";
import { BODY_TUNING, openLevel } from "../../src/storage/level-engine.ts";
import { openMemoryShardStore, openShardStore, type OpenShardStoreOptions } from "../../src/storage/mod.ts";
import { putShard, shardBytes, shardId, testShardStore } from "../contract-suites/shard-store.ts";
import { withFolder } from "./temp-folder.ts";

const ALICE: RequesterId = "0x00000000000000000000000000000000000000A1";
const BLOCK = 65_536;

testShardStore("memory", async (options = {}) => {
  const { shards, close } = await openMemoryShardStore({ ...options, minFreeBytes: 0 });
  return { store: shards, close };
});

testShardStore("LevelDB", async (options = {}) => {
  const folder = await mkdtemp(join(tmpdir(), "velas-shards-"));
  const { shards, close } = await openShardStore(folder, { ...options, minFreeBytes: 0 });
  return { store: shards, close: () => close().then(() => rm(folder, { recursive: true })) };
});

const fails = (code: string) => (error: unknown) => error instanceof NodeError && error.code === code;

function open(folder: string, options: OpenShardStoreOptions = {}) {
  return openShardStore(folder, { minFreeBytes: 0, ...options });
}

test("a shard store finds all again after a restart, and counts what an upload left", () =>
  withFolder(async (folder) => {
    const bytes = shardBytes(5 * BLOCK + 1024);
    const first = await open(folder);
    await putShard(first.shards, { owner: ALICE, id: shardId(1), bytes });
    const upload = await first.shards.begin({
      owner: ALICE,
      id: shardId(2),
      maxBytes: 40 * BLOCK,
      expiresAt: 1,
      graceMs: 0,
    });
    await upload.write(shardBytes(33 * BLOCK));
    await upload.suspend();
    await first.close();

    const second = await open(folder, { quotaBytes: 100 * BLOCK });
    assert.deepEqual(
      await second.shards.read({ owner: ALICE, id: shardId(1) }, { start: 0, end: bytes.length }),
      bytes,
    );
    assert.deepEqual(second.shards.stats(), {
      shards: 1,
      bytes: bytes.length,
      uploadBytes: 33 * BLOCK,
      quotaBytes: 100 * BLOCK,
    });
    assert.equal(await second.shards.suspended({ owner: ALICE, id: shardId(2) }), 33 * BLOCK);
    const { problems, uploadBytes } = await second.check({ repair: false, readBodies: true });
    assert.deepEqual([problems, uploadBytes], [[], 33 * BLOCK]);
    await second.close();
  }));

test("nothing is kept of an upload that was cut off before its first block", () =>
  withFolder(async (folder) => {
    const order = { owner: ALICE, maxBytes: 40 * BLOCK, expiresAt: 10_000, graceMs: 0 };
    const first = await open(folder);
    const rows = ({ shards }: typeof first) => shards.tables.uploads.keys({ limit: 10 });
    const suspended = await first.shards.begin({ ...order, id: shardId(1) });
    await suspended.write(shardBytes(BLOCK - 1));
    await suspended.suspend();
    assert.deepEqual(await rows(first), []);
    // As a kill leaves it: begun, and neither suspended nor ended.
    await first.shards.begin({ ...order, id: shardId(2) });
    const some = await first.shards.begin({ ...order, id: shardId(3) });
    await some.write(shardBytes(BLOCK));
    await some.suspend();
    assert.equal((await rows(first)).length, 2);
    await first.close();

    const second = await open(folder);
    assert.equal((await rows(second)).length, 1);
    assert.equal(await second.shards.suspended({ owner: ALICE, id: shardId(3) }), BLOCK);
    assert.equal(second.shards.stats().uploadBytes, BLOCK);
    assert.deepEqual((await second.check({ repair: false, readBodies: true })).problems, []);
    const anew = await second.shards.begin({ ...order, id: shardId(2) });
    assert.equal(anew.offset, 0);
    await anew.abort();
    await second.shards.settle();
    assert.deepEqual(await second.shards.tables.dead.keys({ limit: 10 }), []);
    await second.close();
  }));

test("a removed shard is gone from the disk when the store has settled", () =>
  withFolder(async (folder) => {
    const store = await open(folder);
    for (const id of [1, 2, 3]) {
      await putShard(store.shards, { owner: ALICE, id: shardId(id), bytes: shardBytes(50 * BLOCK) });
    }
    await store.shards.remove({ owner: ALICE, id: shardId(2) });
    await store.shards.settle();
    assert.deepEqual((await store.check({ repair: false, readBodies: true })).problems, []);
    await store.close();

    const db = await openLevel(folder, BODY_TUNING);
    const keys = await db.keys({ gt: "!shard-body!", lt: '!shard-body"' }).all();
    assert.equal(keys.length, 100);
    assert.deepEqual(await db.keys({ gt: "!shard-dead!", lt: '!shard-dead"' }).all(), []);
    await db.close();
  }));

test("a damaged block puts its shard in quarantine until it is put anew", () =>
  withFolder(async (folder) => {
    const bytes = shardBytes(3 * BLOCK);
    const key = { owner: ALICE, id: shardId(1) };
    const first = await open(folder);
    await putShard(first.shards, { ...key, bytes });
    await putShard(first.shards, { owner: ALICE, id: shardId(2), bytes });
    await first.close();
    const db = await openLevel(folder, BODY_TUNING);
    const [body] = await db.keys({ gt: "!shard-body!", lt: '!shard-body"' }).all();
    const block: Uint8Array = new Uint8Array(
      await db.get<string, Uint8Array>(body!, { valueEncoding: "view" }) as Uint8Array,
    );
    block[500]! ^= 1;
    await db.put<string, Uint8Array>(body!, block, { valueEncoding: "view" });
    await db.close();

    const second = await open(folder);
    await assert.rejects(second.shards.read(key, { start: 0, end: 10 }), fails("data_corrupt"));
    await assert.rejects(second.shards.get(key), fails("data_corrupt"));
    await assert.rejects(second.shards.read(key, { start: 2 * BLOCK, end: 3 * BLOCK }), fails("data_corrupt"));
    assert.equal((await second.shards.get({ owner: ALICE, id: shardId(2) }))!.sizeBytes, bytes.length);
    await putShard(second.shards, { ...key, bytes });
    assert.deepEqual(await second.shards.read(key, { start: 0, end: bytes.length }), bytes);
    assert.deepEqual(await second.shards.totals(ALICE), { shards: 2, bytes: 2 * bytes.length });
    await second.shards.settle();
    assert.deepEqual((await second.check({ repair: false, readBodies: true })).problems, []);
    await second.close();
  }));

test("a check finds wrong books, tells each, and mends them", () =>
  withFolder(async (folder) => {
    const first = await open(folder);
    for (const id of [1, 2]) {
      await putShard(first.shards, { owner: ALICE, id: shardId(id), bytes: shardBytes(2 * BLOCK) });
    }
    await first.close();
    const db = await openLevel(folder, BODY_TUNING);
    await db.put("!shard-total!bytes", "7");
    const [expiry] = await db.keys({ gt: "!shard-expiry!", lt: '!shard-expiry"' }).all();
    await db.del(expiry!);
    await db.put("!shard-expiry!00000000000001/nobody/1", "");
    await db.put("!shard-body!000000000000ff/00000000", "orphan");
    const [body] = await db.keys({ gt: "!shard-body!", lt: '!shard-body"' }).all();
    await db.del(body!);
    await db.close();

    const second = await open(folder);
    const found = await second.check({ repair: true, readBodies: false });
    assert.equal(found.problems.length, 6, JSON.stringify(found.problems, undefined, 1));
    assert.deepEqual([found.shards, found.bytes], [2, 4 * BLOCK]);
    assert.deepEqual((await second.check({ repair: false, readBodies: false })).problems, []);
    await second.close();
  }));

test("a check tells keys that are no part's, wherever they lie, and leaves them", () =>
  withFolder(async (folder) => {
    const first = await open(folder);
    await putShard(first.shards, { owner: ALICE, id: shardId(1), bytes: shardBytes(BLOCK) });
    await first.close();
    const db = await openLevel(folder, BODY_TUNING);
    // The second is between two parts, of which one's name begins as the other's.
    for (const key of ["!", "!shard+x!1", "!shards!1", "zzz"]) await db.put(key, "");
    await db.close();
    const second = await open(folder);
    for (const repair of [true, false]) {
      const { problems } = await second.check({ repair, readBodies: false });
      assert.deepEqual(problems, [{
        message: '4 keys belong to no part of the database, the first is "!"',
        repairable: false,
      }]);
    }
    await second.close();
  }));

test("a check tells rows that cannot be read, or are not where they belong, and then the store goes on", () =>
  withFolder(async (folder) => {
    const first = await open(folder);
    for (const id of [1, 2, 3]) {
      await putShard(first.shards, { owner: ALICE, id: shardId(id), bytes: shardBytes(2 * BLOCK, id) });
    }
    await first.close();
    const db = await openLevel(folder, BODY_TUNING);
    const [one, two] = await db.keys({ gt: "!shard-record!", lt: '!shard-record"' }).all();
    await db.put(one!, "{");
    await db.put(`${two}0`, (await db.get(two!))!);
    await db.close();

    const second = await open(folder);
    const before = await second.check({ repair: false, readBodies: true });
    assert.deepEqual((await second.check({ repair: true, readBodies: true })).problems, before.problems);
    assert.ok(before.problems.some(({ message }) => message.includes("cannot be read")));
    // The accounts in memory are mended too, so that the next write does not bring the wrong ones back.
    assert.deepEqual(await second.shards.totals(ALICE), { shards: 2, bytes: 4 * BLOCK });
    await putShard(second.shards, { owner: ALICE, id: shardId(4), bytes: shardBytes(BLOCK) });
    await second.shards.settle();
    assert.deepEqual((await second.check({ repair: false, readBodies: true })).problems, []);
    assert.deepEqual(await second.shards.totals(), { shards: 3, bytes: 5 * BLOCK });
    await second.close();
  }));

test("a number that was lost in a power cut is not given to a second body", () =>
  withFolder(async (folder) => {
    const bytes = shardBytes(3 * BLOCK);
    const first = await open(folder);
    await putShard(first.shards, { owner: ALICE, id: shardId(1), bytes });
    await first.close();
    const db = await openLevel(folder, BODY_TUNING);
    await db.put("!shard-meta!next-seq", "1");
    await db.close();

    const second = await open(folder);
    const { problems } = await second.check({ repair: false, readBodies: false });
    assert.match(problems[0]!.message, /next upload would be number 1, and numbers up to 1 are taken/);
    await putShard(second.shards, { owner: ALICE, id: shardId(2), bytes: shardBytes(BLOCK, 2) });
    await second.shards.remove({ owner: ALICE, id: shardId(2) });
    await second.shards.settle();
    assert.deepEqual(
      await second.shards.read({ owner: ALICE, id: shardId(1) }, { start: 0, end: bytes.length }),
      bytes,
    );
    assert.deepEqual((await second.check({ repair: false, readBodies: true })).problems, []);
    await second.close();
  }));

test("a shard store takes nothing below the room that is to stay free on the disk", () =>
  withFolder(async (folder) => {
    const store = await open(folder, { minFreeBytes: 2 ** 50 });
    await assert.rejects(
      store.shards.begin({ owner: ALICE, id: shardId(1), maxBytes: 1024, expiresAt: 1, graceMs: 0 }),
      fails("storage_full"),
    );
    await store.close();
  }));

test("a shard database is refused to a second process", () =>
  withFolder(async (folder) => {
    const store = await open(folder);
    await assert.rejects(open(folder), fails("storage_locked"));
    await store.close();
  }));

test("the rows of a store are those of the vector", () =>
  withFolder(async (folder) => {
    const clock = { now: () => 1_800_000_000_000 };
    const store = await open(folder, { clock });
    const expiresAt = 1_900_000_000_000;
    const owner = ALICE;
    const whole = await store.shards.begin({ owner, id: shardId(1), maxBytes: 4096, expiresAt, graceMs: 5000 });
    await whole.write(new Uint8Array(2048).fill(7));
    whole.keepNode(6, 0, new Uint8Array(32).fill(1));
    await whole.finish("ab".repeat(32));
    await store.shards.begin({ owner, id: shardId(2), maxBytes: 4096, expiresAt, graceMs: 0 });
    await store.close();

    const db = await openLevel(folder, BODY_TUNING);
    const rows: Record<string, string> = {};
    for (const [key, value] of await db.iterator<string, Uint8Array>({ valueEncoding: "view" }).all()) {
      const bytes = Buffer.from(value);
      rows[key] = /^!shard-(body|tree)!/.test(key)
        ? `sha256:${createHash("sha256").update(bytes).digest("hex")}`
        : String(bytes);
    }
    await db.close();
    const vector = JSON.parse(readFileSync(new URL("../vectors/shard-store.json", import.meta.url), "utf8"));
    assert.deepEqual(rows, vector.rows);
  }));
