import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId, NodeInfo, ShardService } from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import type { ProviderOffer } from "../../src/requester/mod.ts";
import { ProviderPool } from "../../src/requester/provider-pool.ts";
import { ProviderScores } from "../../src/requester/provider-scores.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeClock } from "../provider/test-node.ts";

const SELF = "0x00000000000000000000000000000000000000A1";
const signal = new AbortController().signal;

function idOf(target: string): NodeId {
  return `0x${Buffer.from(target).toString("hex").padStart(40, "0").slice(0, 40)}` as NodeId;
}

/** A pool over these offers, all of which answer. */
function poolOf(offers: readonly ProviderOffer[]) {
  const clock = new FakeClock();
  const heard: unknown[] = [];
  const scores = new ProviderScores({
    store: openMemoryStore().files,
    clock,
    halfLifeMs: 1e9,
    onOutcome: (place, outcome) => heard.push([place, outcome]),
  });
  const pool = new ProviderPool({
    dial: () => ({}) as ShardService,
    peers: { info: (target) => Promise.resolve({ nodeId: idOf(target) } as NodeInfo) },
    providers: () => offers,
    ledger: freeLedger,
    scores,
    self: SELF,
    clock,
    random: () => 0.5,
    infoTimeoutMs: 1000,
  });
  const order = async () => (await pool.survey(undefined, signal)).candidates.map(({ target }) => target);
  return { order, scores, heard };
}

test("survey() prefers providers that do other work well, among those of like file work", async () => {
  const { order, scores, heard } = poolOf([
    { target: "a:1", score: 0.1 },
    { target: "b:1", score: 0.9 },
    { target: "c:1" },
  ]);
  assert.deepEqual(await order(), ["b:1", "a:1", "c:1"]);
  scores.good({ nodeId: idOf("c:1"), target: "c:1" }, 20);
  assert.deepEqual(await order(), ["c:1", "b:1", "a:1"], "what it did with files counts most");
  scores.bad({ nodeId: idOf("c:1"), target: "c:1" }, "It lied", 50);
  assert.equal((await order()).at(-1), "c:1");
  assert.deepEqual(heard.map((one) => JSON.stringify(one)), [
    JSON.stringify([{ nodeId: idOf("c:1"), target: "c:1" }, { weight: 20 }]),
    JSON.stringify([{ nodeId: idOf("c:1"), target: "c:1" }, { weight: 50, error: "It lied" }]),
  ]);
});

test("survey() takes one of each region in turn, the best of each first", async () => {
  const { order } = poolOf([
    { target: "a:1", region: "eu", score: 0.9 },
    { target: "b:1", region: "eu", score: 0.8 },
    { target: "c:1", region: "eu", score: 0.7 },
    { target: "d:1", region: "us", score: 0.2 },
    { target: "e:1", region: "us", score: 0.3 },
    { target: "f:1", score: 0.1 },
  ]);
  assert.deepEqual(await order(), ["a:1", "e:1", "f:1", "b:1", "d:1", "c:1"]);
});
