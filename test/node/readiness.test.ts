import assert from "node:assert/strict";
import { NodeError, silentLog } from "../../src/core/mod.ts";
import { MIN_FREE_BYTES, Readiness, READY_AGAIN_BYTES, STALLED_MS } from "../../src/node/readiness.ts";
import { HealthState } from "../../src/rpc/mod.ts";
import { test } from "../testing.ts";

/** A readiness whose disk and store do as they are told. */
function readiness() {
  const state = { now: 0, free: 1 << 30, disk: undefined as Error | undefined, hangs: false };
  const store = { failure: undefined as NodeError | undefined, heals: false };
  const lines: string[] = [];
  const health = new HealthState(true);
  let letGo = () => {};
  const made = new Readiness({
    health,
    dataDir: "/data",
    clock: { now: () => state.now },
    log: { ...silentLog, warn: (text) => lines.push(text), info: (text) => lines.push(text) },
    store: {
      failure: () => store.failure,
      recover: () => {
        if (!store.heals) return Promise.reject(store.failure);
        store.failure = undefined;
        return Promise.resolve();
      },
    },
    disk: {
      freeBytes: async () => {
        if (state.hangs) await new Promise<void>((resolve) => letGo = resolve);
        return state.free;
      },
      assertWritable: () => state.disk === undefined ? Promise.resolve() : Promise.reject(state.disk),
    },
  });
  return { made, state, store, health, lines, letGo: () => letGo() };
}

test("a disk with less than the hard minimum makes the node unready, and it is ready again a little above it", async () => {
  const { made, state, health, lines } = readiness();
  for (
    const [free, ready] of [
      [MIN_FREE_BYTES, true],
      [MIN_FREE_BYTES - 1, false],
      [MIN_FREE_BYTES, false],
      [READY_AGAIN_BYTES - 1, false],
      [READY_AGAIN_BYTES, true],
      [0, false],
    ] as const
  ) {
    state.free = free;
    await made.look();
    assert.deepEqual([free, made.answer().ready, health.ready], [free, ready, ready]);
  }
  assert.match(made.answer().reasons[0]!, /\/data is full: 0 MiB are free, less than 32 MiB/);
  assert.deepEqual(lines, ["The node is not ready", "The node is ready again", "The node is not ready"]);
});

test("a store that failed makes the node unready until it works again, though nobody writes meanwhile", async () => {
  const { made, store } = readiness();
  store.failure = new NodeError("storage_failed", "The data directory /data cannot be read or written");
  await made.look();
  assert.deepEqual(made.answer(), { ready: false, reasons: [store.failure.message] });
  store.heals = true;
  await made.look();
  assert.deepEqual(made.answer(), { ready: true, reasons: [] });
});

test("a file system that became read-only, and one that hangs, are reasons, and so is a drain beside them", async () => {
  const { made, state, health, letGo } = readiness();
  state.disk = Object.assign(new Error("read-only"), { code: "EROFS" });
  await made.look();
  assert.match(made.answer().reasons[0]!, /\/data cannot be written \(EROFS\)/);
  state.disk = undefined;
  await made.look();

  state.hangs = true;
  const hung = made.look();
  state.now = STALLED_MS - 1;
  assert.equal(made.answer().ready, true);
  state.now = STALLED_MS;
  assert.match(made.answer().reasons[0]!, /has not answered for 10 s/);
  made.drain();
  assert.equal(made.answer().reasons[0], "The node is shutting down");
  assert.equal(made.answer().reasons.length, 2);
  letGo();
  await hung;
  assert.deepEqual(made.answer(), { ready: false, reasons: ["The node is shutting down"] });
  assert.equal(health.ready, false);
});
