import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, NodeError, type RequesterId, type ShardKey } from "../../src/core/mod.ts";
import type { ShardStore } from "../../src/provider/mod.ts";

const ALICE: RequesterId = "0x00000000000000000000000000000000000000A1";
const BOB: RequesterId = "0x00000000000000000000000000000000000000b2";
const BLOCK = 65_536;
const ROOT = "ab".repeat(32);

/** A shard id from a number. */
export function shardId(number: number): string {
  return number.toString(16).padStart(32, "0");
}

/** Bytes that differ from place to place and from seed to seed. */
export function shardBytes(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

export interface ShardStoreFixture {
  readonly store: ShardStore;
  close(): Promise<void>;
}

export interface MakeOptions {
  readonly quotaBytes?: number;
  readonly clock?: Clock;
}

const fails = (code: string) => (error: unknown) => error instanceof NodeError && error.code === code;

/** Puts a shard in pieces of odd sizes. */
export async function putShard(
  store: ShardStore,
  shard: ShardKey & { readonly bytes: Uint8Array; readonly expiresAt?: number; readonly graceMs?: number },
) {
  const { owner, id, bytes, expiresAt = 10_000, graceMs = 500 } = shard;
  const upload = await store.begin({ owner, id, maxBytes: bytes.length, expiresAt, graceMs });
  for (let at = upload.offset, step = 1000; at < bytes.length; at += step, step = step * 3 % 300_000 + 1) {
    await upload.write(bytes.slice(at, at + step));
  }
  return await upload.finish(ROOT);
}

/** What holds for every {@link ShardStore}. */
export function testShardStore(name: string, make: (options?: MakeOptions) => Promise<ShardStoreFixture>): void {
  const run = (title: string, body: (store: ShardStore) => Promise<void>, options?: MakeOptions) =>
    test(`${name}: ${title}`, async () => {
      const { store, close } = await make(options);
      try {
        await body(store);
      } finally {
        await close();
      }
    });

  for (const size of [1024, BLOCK - 1024, BLOCK, BLOCK + 1024, 3 * BLOCK, 40 * BLOCK + 5120]) {
    run(`gives a shard of ${size} bytes back, whole and in parts`, async (store) => {
      const bytes = shardBytes(size, size);
      const key = { owner: ALICE, id: shardId(1) };
      const record = await putShard(store, { ...key, bytes });
      assert.deepEqual([record.sizeBytes, record.root, record.expiresAt], [size, ROOT, 10_000]);
      assert.deepEqual(await store.get(key), record);
      assert.deepEqual(await store.read(key, { start: 0, end: size }), bytes);
      const spans = [[0, 1], [size - 1, size], [size >> 1, size], [Math.max(0, size - BLOCK - 3), size - 1]] as const;
      for (const [start, end] of spans) {
        assert.deepEqual(await store.read(key, { start, end }), bytes.subarray(start, end));
      }
    });
  }

  run("refuses spans that are empty or not in the shard", async (store) => {
    const key = { owner: ALICE, id: shardId(1) };
    await putShard(store, { ...key, bytes: shardBytes(2048) });
    for (const [start, end] of [[0, 0], [5, 4], [0, 2049], [-1, 5]] as const) {
      await assert.rejects(store.read(key, { start, end }), fails("invalid_argument"));
    }
  });

  run("keeps the nodes of a tree", async (store) => {
    const upload = await store.begin({ owner: ALICE, id: shardId(1), maxBytes: BLOCK, expiresAt: 1, graceMs: 0 });
    const digest = (i: number) => new Uint8Array(32).fill(i % 251);
    for (let i = 0; i < 2500; i++) {
      upload.keepNode(6, i, digest(i));
      if (i % 2 === 1) upload.keepNode(7, i >> 1, digest(i + 7));
    }
    await upload.write(shardBytes(1024));
    await upload.finish(ROOT);
    const key = { owner: ALICE, id: shardId(1) };
    const places = [0, 1023, 1024, 2047, 2048, 2499].map((index) => ({ level: 6, index }));
    assert.deepEqual(
      (await store.nodes(key, [...places, { level: 7, index: 1249 }])).map((one) => new Uint8Array(one)),
      [...places.map(({ index }) => digest(index)), digest(2506)],
    );
    assert.deepEqual(await store.nodes(key, []), []);
  });

  run("counts shards and bytes, of each owner and of all, and forgets what is removed", async (store) => {
    await putShard(store, { owner: ALICE, id: shardId(1), bytes: shardBytes(1024) });
    await putShard(store, { owner: ALICE, id: shardId(2), bytes: shardBytes(2048) });
    await putShard(store, { owner: BOB, id: shardId(1), bytes: shardBytes(4096) });
    assert.deepEqual(await store.totals(ALICE), { shards: 2, bytes: 3072 });
    assert.deepEqual(await store.totals(BOB), { shards: 1, bytes: 4096 });
    assert.deepEqual(await store.totals(), { shards: 3, bytes: 7168 });
    assert.equal(await store.remove({ owner: ALICE, id: shardId(2) }), true);
    assert.equal(await store.remove({ owner: ALICE, id: shardId(2) }), false);
    assert.deepEqual(await store.totals(ALICE), { shards: 1, bytes: 1024 });
    assert.equal(await store.get({ owner: ALICE, id: shardId(2) }), undefined);
    await assert.rejects(store.read({ owner: ALICE, id: shardId(2) }, { start: 0, end: 1 }), fails("not_found"));
    assert.deepEqual(await store.read({ owner: BOB, id: shardId(1) }, { start: 0, end: 4096 }), shardBytes(4096));
  });

  run("lists an owner's shards by id, in pages, and nobody else's", async (store) => {
    for (const id of [3, 1, 2]) await putShard(store, { owner: ALICE, id: shardId(id), bytes: shardBytes(1024) });
    await putShard(store, { owner: BOB, id: shardId(0), bytes: shardBytes(1024) });
    const ids = async (after: string, limit: number) => (await store.list(ALICE, after, limit)).map(({ id }) => id);
    assert.deepEqual(await ids("", 2), [shardId(1), shardId(2)]);
    assert.deepEqual(await ids(shardId(2), 2), [shardId(3)]);
  });

  run("finds what has expired, oldest first, and moves it when the lease is renewed", async (store) => {
    await putShard(store, { owner: ALICE, id: shardId(1), bytes: shardBytes(1024), expiresAt: 2000, graceMs: 0 });
    await putShard(store, { owner: ALICE, id: shardId(2), bytes: shardBytes(1024), expiresAt: 1000, graceMs: 10 });
    const ids = async (now: number) => (await store.expired(now, 10)).map(({ id }) => id);
    assert.deepEqual(await ids(1009), []);
    assert.deepEqual(await ids(1010), [shardId(2)]);
    assert.deepEqual(await ids(2000), [shardId(2), shardId(1)]);
    const renewed = await store.renew({ owner: ALICE, id: shardId(2) }, 5000);
    assert.equal(renewed.expiresAt, 5000);
    assert.deepEqual(await ids(5009), [shardId(1)]);
    await assert.rejects(store.renew({ owner: BOB, id: shardId(2) }, 1), fails("not_found"));
  });

  run("refuses a second shard of the same name, and a second upload while one is open", async (store) => {
    const key = { owner: ALICE, id: shardId(1) };
    const upload = await store.begin({ ...key, maxBytes: BLOCK, expiresAt: 1, graceMs: 0 });
    await assert.rejects(store.begin({ ...key, maxBytes: 1, expiresAt: 1, graceMs: 0 }), fails("failed_precondition"));
    await assert.rejects(store.remove(key), fails("failed_precondition"));
    await upload.write(shardBytes(1024));
    await upload.finish(ROOT);
    await assert.rejects(store.begin({ ...key, maxBytes: 1, expiresAt: 1, graceMs: 0 }), fails("already_exists"));
  });

  run("refuses more bytes than were announced", async (store) => {
    const upload = await store.begin({ owner: ALICE, id: shardId(1), maxBytes: 2048, expiresAt: 1, graceMs: 0 });
    await upload.write(shardBytes(2048));
    await assert.rejects(upload.write(shardBytes(1)), fails("invalid_argument"));
    await upload.abort();
    assert.equal(await store.suspended({ owner: ALICE, id: shardId(1) }), 0);
  });

  run("goes on with a suspended upload behind its last whole block", async (store) => {
    const key = { owner: ALICE, id: shardId(1) };
    const bytes = shardBytes(20 * BLOCK + 1024);
    const order = { ...key, maxBytes: bytes.length, expiresAt: 10_000, graceMs: 0 };
    const first = await store.begin(order);
    await first.write(bytes.slice(0, 18 * BLOCK + 77));
    await first.suspend();
    assert.equal(await store.suspended(key), 18 * BLOCK);
    const second = await store.begin(order);
    assert.equal(second.offset, 18 * BLOCK);
    assert.deepEqual(await second.read({ start: 5, end: 18 * BLOCK }), bytes.subarray(5, 18 * BLOCK));
    await second.write(bytes.slice(second.offset));
    await second.finish(ROOT);
    assert.deepEqual(await store.read(key, { start: 0, end: bytes.length }), bytes);
    assert.equal(await store.suspended(key), 0);
  });

  run("drops uploads that were left behind", async (store) => {
    const key = { owner: ALICE, id: shardId(1) };
    const upload = await store.begin({ ...key, maxBytes: 5 * BLOCK, expiresAt: 1, graceMs: 0 });
    await upload.write(shardBytes(4 * BLOCK));
    const future = Date.now() + 1000;
    assert.equal(await store.dropUploadsBefore(future), 0, "an open one stays");
    await upload.suspend();
    assert.equal(await store.dropUploadsBefore(0), 0);
    assert.equal(await store.dropUploadsBefore(future), 1);
    assert.equal(await store.suspended(key), 0);
  });

  run("never goes over the quota, also with uploads side by side", async (store) => {
    const begin = (id: number, maxBytes: number) =>
      store.begin({ owner: ALICE, id: shardId(id), maxBytes, expiresAt: 1, graceMs: 0 });
    const results = await Promise.allSettled(Array.from({ length: 20 }, (_, id) => begin(id, BLOCK)));
    const open = results.flatMap((result) => result.status === "fulfilled" ? [result.value] : []);
    assert.equal(open.length, 10);
    assert.equal(store.freeBytes(), 0);
    for (const result of results) if (result.status === "rejected") assert.ok(fails("storage_full")(result.reason));
    for (const upload of open) {
      await upload.write(shardBytes(1024));
      await upload.finish(ROOT);
    }
    assert.equal(store.freeBytes(), 10 * BLOCK - 10 * 1024);
    await assert.rejects(begin(99, store.freeBytes() + 1), fails("storage_full"));
    await store.remove({ owner: ALICE, id: shardId(results.findIndex(({ status }) => status === "fulfilled")) });
    assert.equal(store.freeBytes(), 10 * BLOCK - 9 * 1024);
  }, { quotaBytes: 10 * BLOCK });
}
