import assert from "node:assert/strict";
import { NodeError, type NodeId, silentLog, type StoredFile } from "../../src/core/mod.ts";
import { EvacuationSweep } from "../../src/requester/evacuation-sweep.ts";
import { ProviderScores } from "../../src/requester/provider-scores.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { test } from "../testing.ts";

const HALF_LIFE_MS = 1000;
const [ONE, OTHER, THIRD]: readonly NodeId[] = [1, 2, 3].map((n): NodeId => `0x${String(n).padStart(40, "0")}`);

/** Files of which every second has its shard at the first provider, and the others at the second one. */
async function fixture(count: number) {
  let now = 1_800_000_000_000;
  const closing = new AbortController();
  const { files: store } = openMemoryStore();
  const scores = new ProviderScores({ store, clock: { now: () => now }, halfLifeMs: HALF_LIFE_MS });
  const files = Array.from({ length: count }, (_, i) => fileAt(i, i % 2 === 0 ? ONE! : OTHER!));
  await store.write(files.map((file) => ({ type: "save", file })), { durable: true });
  const added: string[] = [];
  const reads: string[] = [];
  let fails = false;
  let settle = () => Promise.resolve();
  const sweep = new EvacuationSweep({
    store: {
      all: async (afterId, limit) => {
        reads.push(afterId);
        if (fails) throw new NodeError("storage_failed", "The disk is gone");
        return await store.all(afterId, limit);
      },
    },
    scores,
    queue: { add: (id) => void added.push(id), settle: () => settle() },
    everyMs: 3_600_000,
    closing: closing.signal,
    log: silentLog,
  });
  const look = async () => {
    sweep.look();
    await sweep.settle();
    return { added: added.splice(0), reads: reads.splice(0) };
  };
  return {
    sweep,
    look,
    added,
    reads,
    idsAt: (provider: NodeId) => files.filter(({ shards }) => shards[0]!.providerId === provider).map(({ id }) => id),
    avoid: (provider: NodeId) => {
      for (let i = 0; i < 3; i++) scores.fault({ nodeId: provider, target: "127.0.0.1:9001" });
    },
    pass: (ms: number) => void (now += ms),
    failReads: (on: boolean) => void (fails = on),
    settleWith: (wait: () => Promise<void>) => void (settle = wait),
    close: () => closing.abort(),
  };
}

function fileAt(place: number, providerId: NodeId): StoredFile {
  return {
    id: place.toString(16).padStart(32, "0"),
    name: `f${place}`,
    version: 1,
    contentType: "",
    sizeBytes: 1,
    sha256: "",
    policy: { dataShards: 1, parityShards: 1 },
    createdAt: 0,
    touchedAt: 0,
    warnings: [],
    phase: "kept",
    shards: [{ target: "127.0.0.1:9001", providerId, state: "proven" }],
    leftovers: [],
    dueAt: 0,
  };
}

test("records are read only when a provider became avoided, once, and its files are found", async () => {
  const { look, idsAt, avoid } = await fixture(10);
  const nothing = { added: [], reads: [] };
  assert.deepEqual(await look(), nothing);
  avoid(ONE!);
  assert.deepEqual(await look(), { added: idsAt(ONE!), reads: [""] });
  assert.deepEqual(await look(), nothing);
  avoid(THIRD!);
  assert.deepEqual((await look()).reads, [""]);
  assert.deepEqual(await look(), nothing);
});

test("a provider that is avoided once more is new", async () => {
  const { look, idsAt, avoid, pass } = await fixture(4);
  avoid(ONE!);
  await look();
  pass(10 * HALF_LIFE_MS);
  assert.deepEqual((await look()).reads, []);
  avoid(ONE!);
  assert.deepEqual((await look()).added, idsAt(ONE!));
});

for (const count of [99, 100, 101, 201]) {
  test(`of ${count} records the files are found, a hundred records at a time, each when those before have been moved`, async () => {
    const { sweep, added, reads, idsAt, avoid, settleWith } = await fixture(count);
    const readWhenSettled: number[] = [];
    settleWith(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      readWhenSettled.push(reads.length);
    });
    avoid(ONE!);
    sweep.look();
    await sweep.settle();
    assert.deepEqual(added, idsAt(ONE!));
    const pages = Math.floor(count / 100) + 1;
    assert.equal(reads.length, pages);
    assert.deepEqual(readWhenSettled, Array.from({ length: pages - 1 }, (_, page) => page + 1));
  });
}

test("when records cannot be read all are read at the next look", async () => {
  const { look, idsAt, avoid, failReads } = await fixture(10);
  avoid(ONE!);
  failReads(true);
  assert.deepEqual(await look(), { added: [], reads: [""] });
  failReads(false);
  assert.deepEqual(await look(), { added: idsAt(ONE!), reads: [""] });
});

test("after the node began to close no more records are read", async () => {
  const { look, avoid, settleWith, close } = await fixture(201);
  avoid(ONE!);
  settleWith(() => Promise.resolve(close()));
  assert.deepEqual((await look()).reads, [""]);
  assert.deepEqual((await look()).reads, []);
});
