import assert from "node:assert/strict";
import { test } from "node:test";
import type { TaskService } from "../../src/core/mod.ts";
import { openMemoryStore, type Store } from "../../src/storage/mod.ts";
import { caller, ended, spec } from "../contract-suites/task-fixtures.ts";
import { setUp } from "./task-wire.ts";

/** Leaves a submission in the store as a process does that ended before the answer came. */
async function leaveSending(store: Store, id: string, plugin = ""): Promise<void> {
  const { promise: never } = Promise.withResolvers<never>();
  const { promise: sent, resolve } = Promise.withResolvers<void>();
  const service = {
    submit() {
      resolve();
      return never;
    },
  } as unknown as TaskService;
  const node = setUp({ store, service });
  void node.there.submit(spec({ id, plugin, input: "left" }), caller());
  await sent;
  await node.close();
}

test("recover() sends again what was not acknowledged, until the provider answers", async () => {
  const store = openMemoryStore();
  await leaveSending(store, "one");
  await leaveSending(store, "two");
  const node = setUp({ store });
  node.wire.down = true;
  assert.equal((await node.own.get("one", caller())).state, "queued");
  assert.equal(await node.requester.recover(), 2);
  while (node.peerHost.calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(node.waits, [1000, 2000, 4000]);
  for (const id of ["one", "two"]) assert.equal((await ended(node.own, id)).state, "succeeded");
  assert.equal(new TextDecoder().decode(node.peerHost.calls[0]!.input as Uint8Array), "left");
  assert.deepEqual(await store.requests.sending("", 10), []);
  await node.close();
});

test("a submission that is refused after a restart is kept as failed", async () => {
  const store = openMemoryStore();
  await leaveSending(store, "bad", "none");
  const node = setUp({ store });
  await node.requester.recover();
  while ((await store.requests.sending("", 1)).length > 0) await new Promise((resolve) => setImmediate(resolve));
  const record = await node.own.get("bad", caller());
  assert.deepEqual([record.state, record.reason], ["failed", "plugin_not_found"]);
  await node.close();
});

test("old requests are forgotten", async () => {
  const node = setUp({ retentionMs: 1000 });
  await node.there.submit(spec({ id: "old" }), caller());
  node.clock.advance(600);
  await node.there.submit(spec({ id: "young" }), caller());
  node.clock.advance(400);
  await node.requester.sweep();
  assert.deepEqual((await node.store.requests.getMany(["old", "young"])).map((r) => r?.record.id), ["old", "young"]);
  node.clock.advance(1);
  await node.requester.sweep();
  assert.deepEqual((await node.store.requests.getMany(["old", "young"])).map((r) => r?.record.id), [
    undefined,
    "young",
  ]);
  await node.close();
});
