import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../../src/core/mod.ts";
import { ProviderScores, type ProviderScoresOptions } from "../../src/requester/provider-scores.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";

const HALF_LIFE_MS = 1000;
const OTHER: NodeId = "0x00000000000000000000000000000000000000B2";
const place = { nodeId: "0x00000000000000000000000000000000000000A1" as NodeId, target: "127.0.0.1:9001" };

function fixture() {
  let now = 1_800_000_000_000;
  const { files: store } = openMemoryStore();
  const open = () => new ProviderScores({ store, clock: { now: () => now }, halfLifeMs: HALF_LIFE_MS });
  return { scores: open(), open, store, pass: (ms: number) => void (now += ms) };
}

test("a provider is avoided from its third fault until less than a third of that is left", () => {
  const { scores, pass } = fixture();
  assert.deepEqual([1, 2].map(() => scores.fault(place)), [false, false]);
  assert.equal(scores.isAvoided(place.nodeId), false);
  assert.equal(scores.fault(place), true);
  assert.equal(scores.isAvoided(place.nodeId), true);
  assert.equal(scores.fault(place), false, "it begins once");
  // Of four, one is left after two half-lives.
  pass(2 * HALF_LIFE_MS);
  assert.equal(scores.isAvoided(place.nodeId), true);
  pass(1);
  assert.equal(scores.isAvoided(place.nodeId), false);
  scores.fault(place);
  assert.equal(scores.isAvoided(place.nodeId), false, "what is below the upper mark does not begin it again");
});

test("three faults have a provider avoided although the first ones have faded, up to half a fault", () => {
  const isAvoidedAfter = (...waits: readonly number[]) => {
    const { scores, pass } = fixture();
    for (const wait of waits) {
      pass(wait);
      scores.fault(place);
    }
    return scores.isAvoided(place.nodeId);
  };
  assert.equal(isAvoidedAfter(0, 1, 1), true);
  assert.equal(isAvoidedAfter(0, 0, 0.415 * HALF_LIFE_MS), true, "of two, one and a half are left");
  assert.equal(isAvoidedAfter(0, 0, 0.416 * HALF_LIFE_MS), false);
});

test("failures without a proof never have a provider avoided", () => {
  const { scores } = fixture();
  for (let i = 0; i < 1000; i++) scores.bad(place, "silent");
  assert.equal(scores.isAvoided(place.nodeId), false);
});

test("a provider that did much right is avoided from one fault for 200 successes", () => {
  const { scores } = fixture();
  scores.good(place, 1000);
  assert.deepEqual([1, 2, 3, 4, 5].map(() => scores.fault(place)), [false, false, false, false, true]);
});

test("whether a provider is avoided outlasts a restart", async () => {
  const { scores, open } = fixture();
  for (let i = 0; i < 3; i++) scores.fault(place);
  await new Promise((resolve) => setImmediate(resolve));
  const again = open();
  await again.load();
  assert.equal(again.isAvoided(place.nodeId), true);
});

test("what is noted before load() adds to what was remembered, in memory and in the store", async () => {
  const { scores, open, store, pass } = fixture();
  await scores.load();
  scores.good(place, 40);
  scores.bad(place, "It was silent", 4);
  for (let i = 0; i < 4; i++) scores.fault(place);
  await new Promise((resolve) => setImmediate(resolve));
  pass(HALF_LIFE_MS);
  const second = open();
  second.good(place, 5);
  second.bad(place, "It was slow", 3);
  assert.equal(second.fault(place), false, "what it did before is not known yet");
  second.good({ ...place, nodeId: OTHER });
  await second.load();
  assert.equal(second.isAvoided(place.nodeId), true);
  assert.equal(second.of(place.nodeId), (20 + 5 + 1) / (20 + 5 + 2 + 3 + 2));
  await new Promise((resolve) => setImmediate(resolve));
  const kept = new Map((await store.scores()).map((score) => [score.provider, score]));
  const { good, bad, faults, avoided, lastError } = kept.get(place.nodeId)!;
  assert.deepEqual([good, bad, faults, avoided, lastError], [25, 5, 3, true, "It was slow"]);
  assert.equal(kept.get(OTHER)?.good, 1);
});

test("a note loads what was remembered by itself, so that it is not written over", async () => {
  const { scores, open, store } = fixture();
  await scores.load();
  scores.good(place, 40);
  await new Promise((resolve) => setImmediate(resolve));
  open().bad(place, "It was silent");
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual((await store.scores()).map(({ good, bad }) => [good, bad]), [[40, 1]]);
});

test("load() that failed is tried again", async () => {
  const { store, scores: first } = fixture();
  await first.load();
  first.good(place, 40);
  let fails = true;
  const flaky: ProviderScoresOptions["store"] = Object.create(store, {
    scores: { value: () => fails ? Promise.reject(new Error("The disk is gone")) : store.scores() },
  });
  const scores = new ProviderScores({ store: flaky, clock: { now: () => 1_800_000_000_000 }, halfLifeMs: 1000 });
  await assert.rejects(scores.load(), /The disk is gone/);
  fails = false;
  await scores.load();
  assert.equal(scores.of(place.nodeId), 41 / 42);
});
