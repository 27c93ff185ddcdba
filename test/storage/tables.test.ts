import assert from "node:assert/strict";
import { test } from "node:test";
import type { StoredRequest, TaskState } from "../../src/core/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { storedTask } from "../contract-suites/task-store.ts";

const soon = { durable: false };

function request(id: string, fields: { createdAt?: number; state?: TaskState; phase?: StoredRequest["phase"] } = {}) {
  const { record } = storedTask({ id, createdAt: fields.createdAt ?? 1000, state: fields.state ?? "queued" });
  const stored: StoredRequest = {
    record: { ...record, target: "provider:8081" },
    digest: "d",
    askedLimits: {},
    phase: fields.phase ?? "sending",
  };
  return stored;
}

function ids(requests: readonly StoredRequest[]): string[] {
  return requests.map(({ record }) => record.id);
}

test("a request keeps its input until the provider has it", async () => {
  const { requests } = openMemoryStore();
  const sending = request("a");
  const input = new Uint8Array([1, 2]);
  await requests.write({ type: "add", request: sending, input }, soon);
  assert.deepEqual(await requests.getMany(["a", "b"]), [sending, undefined]);
  assert.deepEqual(await requests.input("a"), input);
  assert.deepEqual(ids(await requests.sending("", 10)), ["a"]);
  const sent = request("a", { phase: "sent", state: "running" });
  await requests.write({ type: "update", request: sent }, soon);
  assert.deepEqual(await requests.getMany(["a"]), [sent]);
  assert.equal(await requests.input("a"), undefined);
  assert.deepEqual(await requests.sending("", 10), []);
  await requests.write({ type: "remove", request: sent }, soon);
  assert.deepEqual(await requests.getMany(["a"]), [undefined]);
  assert.deepEqual(await requests.list({ states: [], limit: 10, after: "" }), { requests: [], next: "" });
});

test("requests are listed newest first, by state, in pages", async () => {
  const { requests } = openMemoryStore();
  for (let i = 0; i < 6; i++) {
    const one = request(`r${i}`, { createdAt: i, state: i % 2 === 0 ? "queued" : "failed" });
    await requests.write({ type: "add", request: one, input: new Uint8Array(0) }, soon);
  }
  const first = await requests.list({ states: [], limit: 4, after: "" });
  assert.deepEqual(ids(first.requests), ["r5", "r4", "r3", "r2"]);
  const second = await requests.list({ states: [], limit: 4, after: first.next });
  assert.deepEqual([ids(second.requests), second.next], [["r1", "r0"], ""]);
  assert.deepEqual(ids((await requests.list({ states: ["failed"], limit: 4, after: "" })).requests), [
    "r5",
    "r3",
    "r1",
  ]);
  assert.deepEqual(ids((await requests.list({ states: [], limit: 2, after: "" })).requests), ["r5", "r4"]);
  await assert.rejects(requests.list({ states: [], limit: 4, after: "!" }), { code: "invalid_argument" });
  assert.deepEqual(ids(await requests.olderThan(3, 10)), ["r0", "r1", "r2"]);
  assert.deepEqual(ids(await requests.sending("r2", 2)), ["r3", "r4"]);
  for (const [count, behind] of [[1, ["r4", "r3", "r2", "r1", "r0"]], [5, ["r0"]], [6, []]] as const) {
    const after = await requests.endOfNewest(count);
    assert.deepEqual(ids((await requests.list({ states: [], limit: 9, after })).requests), behind);
  }
  assert.equal(await requests.endOfNewest(7), "");
});

test("small values are kept by key and listed by prefix", async () => {
  const { meta } = openMemoryStore();
  for (const key of ["plugins/b", "plugins/a", "plugins/c/x", "plugin", "peers/a"]) await meta.put(key, `${key}!`);
  assert.equal(await meta.get("plugins/a"), "plugins/a!");
  assert.equal(await meta.get("plugins"), undefined);
  const keys = async (prefix: string, options: { limit: number; after?: string }) =>
    (await meta.list(prefix, options)).map(([key]) => key);
  assert.deepEqual(await keys("plugins/", { limit: 10 }), ["plugins/a", "plugins/b", "plugins/c/x"]);
  assert.deepEqual(await keys("plugin", { limit: 2 }), ["plugin", "plugins/a"]);
  assert.deepEqual(await keys("plugins/", { limit: 1, after: "plugins/a" }), ["plugins/b"]);
  assert.deepEqual(await keys("", { limit: 10 }), ["peers/a", "plugin", "plugins/a", "plugins/b", "plugins/c/x"]);
  await meta.delete("plugins/a");
  assert.equal(await meta.get("plugins/a"), undefined);
});
