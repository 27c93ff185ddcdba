import assert from "node:assert/strict";
import { test } from "node:test";
import type { WriteOp } from "../../src/storage/engine.ts";
import { GroupCommit } from "../../src/storage/group-commit.ts";
import { MemoryEngine } from "../../src/storage/memory-engine.ts";

/** An engine that notes its batches, and can be made to fail or to wait. */
class WatchedEngine extends MemoryEngine {
  readonly batches: { readonly keys: string[]; readonly sync: boolean }[] = [];
  toThrow: Error | undefined;
  /** A failing write may have happened all the same. */
  writesBeforeFailing = false;
  gate: Promise<void> | undefined;
  reopened = 0;

  override async write(ops: readonly WriteOp[], sync = false): Promise<void> {
    this.batches.push({ keys: ops.map((op) => op.key), sync });
    await this.gate;
    if (this.toThrow === undefined || this.writesBeforeFailing) await super.write(ops);
    if (this.toThrow !== undefined) throw this.toThrow;
  }

  override reopen(): Promise<void> {
    this.reopened++;
    return this.toThrow === undefined ? Promise.resolve() : Promise.reject(this.toThrow);
  }
}

const put = (key: string, value = "v"): WriteOp => ({ type: "put", key, value });
const soon = { durable: false };

test("writes of one tick share one batch, in order", async () => {
  const engine = new WatchedEngine();
  const commit = new GroupCommit(engine, { sync: true });
  await Promise.all([commit.write([put("b")], soon), commit.write([put("a"), put("c")], soon)]);
  assert.deepEqual(engine.batches, [{ keys: ["b", "a", "c"], sync: false }]);
});

test("writes that come while a batch is under way share the next one", async () => {
  const engine = new WatchedEngine();
  const commit = new GroupCommit(engine, { sync: true });
  const { promise, resolve } = Promise.withResolvers<void>();
  engine.gate = promise;
  const first = commit.write([put("1")], soon);
  await Promise.resolve();
  await Promise.resolve();
  const others = [commit.write([put("2")], soon), commit.write([put("3")], { durable: true })];
  resolve();
  await Promise.all([first, ...others]);
  assert.deepEqual(engine.batches, [{ keys: ["1"], sync: false }, { keys: ["2", "3"], sync: true }]);
});

test("a batch is synced when one of its writes must be durable, and never when syncing is off", async () => {
  for (const sync of [true, false]) {
    const engine = new WatchedEngine();
    const commit = new GroupCommit(engine, { sync });
    await Promise.all([commit.write([put("1")], soon), commit.write([put("2")], { durable: true })]);
    await commit.write([put("3")], soon);
    assert.deepEqual(engine.batches.map((batch) => batch.sync), [sync, false]);
  }
});

test("a batch stays under 8 MiB unless one write alone is larger", async () => {
  const engine = new WatchedEngine();
  const commit = new GroupCommit(engine, { sync: false });
  const big = "x".repeat(5 << 20);
  await Promise.all(["1", "2", "3"].map((key) => commit.write([put(key, big)], soon)));
  assert.deepEqual(engine.batches.map((batch) => batch.keys), [["1"], ["2"], ["3"]]);
  await Promise.all([commit.write([put("4", big + big)], soon), commit.write([put("5")], soon)]);
  assert.deepEqual(engine.batches.slice(3).map((batch) => batch.keys), [["4"], ["5"]]);
});

test("totals move in the batch of what moves them", async () => {
  const engine = new WatchedEngine();
  const commit = new GroupCommit(engine, { sync: false });
  await Promise.all([
    commit.write([put("1")], { durable: false, deltas: { bytes: 5, count: 1 } }),
    commit.write([put("2")], { durable: false, deltas: { bytes: 7, count: 0 } }),
  ]);
  assert.deepEqual(engine.batches[0]!.keys, ["1", "2", "!account!bytes", "!account!count"]);
  assert.deepEqual([commit.total("bytes"), commit.total("count"), commit.total("other")], [12, 1, 0]);
  const again = new GroupCommit(engine, { sync: false });
  await again.load();
  assert.equal(again.total("bytes"), 12);
});

test("a failed batch fails all its writes, and totals are read again, whether or not it happened", async () => {
  for (const happened of [false, true]) {
    const engine = new WatchedEngine();
    const commit = new GroupCommit(engine, { sync: false });
    await commit.write([put("0")], { durable: false, deltas: { bytes: 1 } });
    engine.toThrow = new Error("disk");
    engine.writesBeforeFailing = happened;
    const failing = [
      commit.write([put("1")], { durable: false, deltas: { bytes: 10 } }),
      commit.write([put("2")], { durable: false, deltas: { bytes: 20 } }),
    ];
    for (const write of failing) await assert.rejects(write, /disk/);
    await assert.rejects(commit.write([put("3")], soon), /disk/);
    assert.equal(engine.batches.length, 2, "nothing is written before the engine is fit again");
    engine.toThrow = undefined;
    await commit.write([put("4")], { durable: false, deltas: { bytes: 100 } });
    assert.equal(engine.reopened, 2);
    assert.equal(commit.total("bytes"), happened ? 131 : 101);
  }
});

test("close() lets what was handed in be written, and takes nothing more", async () => {
  const engine = new WatchedEngine();
  const commit = new GroupCommit(engine, { sync: false });
  const write = commit.write([put("1")], soon);
  await commit.close();
  await write;
  assert.equal(await engine.get("1"), "v");
  await assert.rejects(commit.write([put("2")], soon), { code: "storage_failed" });
});
