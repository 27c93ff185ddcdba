import assert from "node:assert/strict";
import { Bandwidth, type BandwidthLimits, NodeError } from "../../src/core/mod.ts";
import { test } from "../testing.ts";

const SIGNAL = new AbortController().signal;

/** A bandwidth on a clock that stands still but for waits, which pass at once. */
function fixture(limits: BandwidthLimits, maxPeers?: number) {
  const state = { now: 5000, limits, waits: [] as number[] };
  const bandwidth = new Bandwidth({
    limits: () => state.limits,
    monotonicMs: () => state.now,
    wait: (ms) => Promise.resolve(void state.waits.push(ms)),
    ...(maxPeers !== undefined && { maxPeers }),
  });
  /** How long bytes must wait when they come now. */
  const waitOf = async (bytes: number, peer?: string) => {
    state.waits.length = 0;
    await bandwidth.take(bytes, { signal: SIGNAL, ...(peer !== undefined && { peer }) });
    return state.waits[0] ?? 0;
  };
  return { state, bandwidth, waitOf };
}

test("a second's worth passes at once, and what comes after waits for its turn", async () => {
  const { state, waitOf } = fixture({ node: 1000, peer: 0 });
  assert.equal(await waitOf(999), 0);
  assert.equal(await waitOf(1), 0);
  assert.equal(await waitOf(500), 0, "the bucket is empty, not in debt");
  assert.equal(await waitOf(100), 500);
  assert.equal(await waitOf(100), 600);
  state.now += 700;
  assert.equal(await waitOf(1), 0, "all debts are paid");
  state.now += 1_000_000;
  assert.equal(await waitOf(5000), 0, "more than a second's worth passes at once");
  assert.equal(await waitOf(1), 4000, "no pause saves up more than a second");
});

test("the limit of the node holds for all peers, that of a peer for each", async () => {
  const { state, waitOf } = fixture({ node: 3000, peer: 1000 });
  assert.equal(await waitOf(2000, "a"), 0);
  assert.equal(await waitOf(100, "a"), 1000, "a has used up its own");
  assert.equal(await waitOf(900, "b"), 0, "b has not, nor has the node");
  assert.equal(await waitOf(3000), 0, "what is no peer's counts for the node only");
  assert.equal(await waitOf(1, "c"), 1000, "now the node has");
  state.limits = { node: 0, peer: 1000 };
  assert.equal(await waitOf(1, "d"), 0);
  state.limits = { node: 0, peer: 0 };
  assert.equal(await waitOf(1e12, "a"), 0, "without limits nothing waits");
});

test("who would wait too long is refused with the time to wait, and has taken nothing", async () => {
  const { bandwidth, waitOf } = fixture({ node: 1000, peer: 0 });
  await waitOf(4000);
  const refused = bandwidth.take(10, { signal: SIGNAL, maxWaitMs: 2999 });
  await assert.rejects(refused, (error: NodeError) => {
    assert.equal(error.code, "overloaded");
    assert.equal(error.retryAfterMs, 3000);
    return true;
  });
  assert.equal(await waitOf(0), 3000);
  await bandwidth.take(10, { signal: SIGNAL, maxWaitMs: 3000 });
});

test("pace() gives every byte, with its weight, and ends the source when nobody reads on", async () => {
  const { state, bandwidth } = fixture({ node: 1000, peer: 0 });
  let isEnded = false;
  async function* source() {
    try {
      for (let i = 0; i < 4; i++) yield new Uint8Array(1000).fill(i);
    } finally {
      isEnded = true;
    }
  }
  const given: number[] = [];
  for await (const piece of bandwidth.pace(source(), { signal: SIGNAL, weight: 1.5 })) given.push(piece[0]!);
  assert.deepEqual(given, [0, 1, 2, 3]);
  assert.deepEqual(state.waits, [500, 2000, 3500], "each piece of 1500 takes a second and a half");
  isEnded = false;
  for await (const _ of bandwidth.pace(source(), { signal: SIGNAL })) break;
  assert.equal(isEnded, true);
  state.limits = { node: 0, peer: 0 };
  const plain = source();
  assert.equal(bandwidth.pace(plain, { signal: SIGNAL }), plain, "without a limit it costs nothing");
});

test("who waits stops waiting when the call ends", async () => {
  const bandwidth = new Bandwidth({ limits: () => ({ node: 1, peer: 0 }) });
  await bandwidth.take(1_000_000, { signal: SIGNAL });
  const controller = new AbortController();
  const reason = new NodeError("canceled", "The caller went away");
  const waiting = bandwidth.take(1, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(waiting, (error) => error === reason);
  await assert.rejects(bandwidth.take(1, { signal: controller.signal }), (error) => error === reason);
});

test("the memory of peers is bounded, and forgets those that were silent longest", async () => {
  const { bandwidth, waitOf } = fixture({ node: 0, peer: 10 }, 100);
  await waitOf(1000, "kept");
  for (let i = 0; i < 100_000; i++) {
    await bandwidth.take(1, { peer: `peer ${i}`, signal: SIGNAL });
    if (i % 50 === 0) assert.ok(await waitOf(1, "kept") > 0, `forgotten after ${i}`);
  }
  assert.ok(bandwidth.peers <= 200, `${bandwidth.peers} peers`);
});
