import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../../src/core/mod.ts";
import { ProviderScores } from "../../src/requester/provider-scores.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";

const HALF_LIFE_MS = 1000;
const place = { nodeId: "0x00000000000000000000000000000000000000A1" as NodeId, target: "127.0.0.1:9001" };

function fixture() {
  let now = 1_800_000_000_000;
  const { files: store } = openMemoryStore();
  const open = () => new ProviderScores({ store, clock: { now: () => now }, halfLifeMs: HALF_LIFE_MS });
  return { scores: open(), open, pass: (ms: number) => void (now += ms) };
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
