import assert from "node:assert/strict";
import type { CallContext, TaskResult, TaskService, TaskSpec } from "../../src/core/mod.ts";
import type { Outcome } from "../../src/discovery/experience.ts";
import { observeTasks, TaskMemory } from "../../src/discovery/observe-tasks.ts";
import { test } from "../testing.ts";
import { fakeWorld, keyOf } from "./fakes.ts";

const signal = new AbortController().signal;
const NEED = { plugin: "demo", function: "greet", limits: { timeoutMs: 1000 }, inputBytes: 5 };
const WEEK = 7 * 86_400_000;
const near = (actual: number, wanted: number) => assert.ok(Math.abs(actual - wanted) < 1e-9, `${actual} ≠ ${wanted}`);

test("a peer's pace is how much longer its tasks take than others of the same function, by this node's own clock", async () => {
  let now = 0;
  const memory = new TaskMemory();
  const outcomes: (Outcome & { readonly target: string })[] = [];
  const takes = (target: string, ms: number) => {
    const tasks = {
      run: () => {
        now += ms;
        // What a provider says of its time counts for nothing.
        return Promise.resolve({ usage: { wallMicros: 1 } } as TaskResult);
      },
    } as unknown as TaskService;
    const onOutcome = (of: string, outcome: Outcome) => void outcomes.push({ ...outcome, target: of });
    const watched = observeTasks(tasks, { target, memory, onOutcome, elapsedMs: () => now });
    return watched.run(
      { plugin: "demo", function: target === "other" ? "sum" : "greet" } as TaskSpec,
      {} as CallContext,
    );
  };
  await takes("first", 100);
  for (const [target, ms] of [["slow", 1000], ["quick", 10], ["other", 100_000]] as const) await takes(target, ms);
  const [first, slow, quick, other] = outcomes.map(({ pace }) => pace!);
  assert.equal(first, 0, "nothing to compare the first with");
  near(slow!, Math.log(10));
  near(quick!, -Math.log(10) - 0.05 * Math.log(10)); // the slow one has a twentieth in the mean by then
  assert.equal(other, 0, "another function is another measure");
  assert.deepEqual(outcomes.map(({ target }) => target), ["first", "slow", "quick", "other"]);
});

test("speed moves a score by at most 30 % of it, fades by half in a week, and survives a restart", async (t) => {
  const { peers, clock, open } = fakeWorld(t);
  const paces = { "quick.example:1": -9, "like.example:1": 0, "unknown.example:1": undefined, "slow.example:1": 9 };
  const targets = Object.keys(paces);
  for (const [place, target] of targets.entries()) peers.set(target, { key: keyOf(place + 1) });
  const first = await open({ static: targets });
  for (const target of targets) await first.admin.probe(target, signal);
  for (const [place, [target, pace]] of Object.entries(paces).entries()) {
    for (let i = 0; i < 98; i++) {
      first.shardOutcome({ target, nodeId: keyOf(place + 1).nodeId }, {
        weight: 1,
        ...(pace !== undefined && { pace }),
      });
    }
  }
  const scores = () => targets.map((target) => second.admin.get(target).score) as [number, number, number, number];
  await first.close();

  const second = await open({ static: targets });
  const chance = 99 / 100;
  const [quick, like, unknown, slow] = scores();
  near(like, chance * 0.85);
  assert.equal(unknown, like, "an unknown speed is that of the others");
  assert.ok(quick > like && slow < like, `${quick} ${like} ${slow}`);
  // However far apart they are, paces are bounded by e^3 to 1.
  assert.ok(quick < chance * (0.7 + 0.3 / (1 + Math.exp(-3))) + 1e-9 && slow > chance * 0.7, `${quick} ${slow}`);
  assert.deepEqual(
    (await second.choose(NEED, signal)).map(({ target }) => target),
    ["quick.example:1", "like.example:1", "unknown.example:1", "slow.example:1"],
  );

  const { pace } = second.admin.get("slow.example:1").experience;
  assert.ok(pace > 2.9 && pace < 3, String(pace));
  clock.time += WEEK;
  near(second.admin.get("slow.example:1").experience.pace, pace / 2);
  clock.time += 100 * WEEK;
  const faded = scores();
  for (const score of faded) near(score, 0.5 * 0.85);
  second.shardOutcome({ target: "slow.example:1", nodeId: keyOf(4).nodeId }, { weight: 1, pace: -1 });
  near(second.admin.get("slow.example:1").experience.pace, -0.1); // a tenth of what is new, beside nothing that is left
});

test("choose() takes the nearer of like peers, and a better one however far it is", async (t) => {
  const { peers, open } = fakeWorld(t);
  const latencies = { "far.example:1": 900, "near.example:1": 2, "farther.example:1": 5000, "moon.example:1": 2600 };
  for (const [place, [target, latencyMs]] of Object.entries(latencies).entries()) {
    peers.set(target, { key: keyOf(place + 1), latencyMs });
  }
  const world = { static: Object.keys(latencies) };
  const first = await open(world);
  for (const target of world.static) await first.admin.probe(target, signal);
  const order = async ({ choose }: typeof first) => (await choose(NEED, signal)).map(({ target }) => target);
  // Beyond a second it makes no difference any more: then they stay in the order in which they are known.
  const byLatency = ["near.example:1", "far.example:1", "farther.example:1", "moon.example:1"];
  assert.deepEqual(await order(first), byLatency);
  await first.close();

  const second = await open(world);
  assert.deepEqual(await order(second), byLatency, "also after a restart, before they are asked again");
  const farther = { target: "farther.example:1", nodeId: keyOf(3).nodeId };
  for (let i = 0; i < 9; i++) second.shardOutcome(farther, { weight: 1 });
  assert.equal((await order(second))[0], farther.target);
  peers.set("near.example:1", { ...peers.get("near.example:1")!, latencyMs: 4000 });
  await second.admin.probe("near.example:1", signal);
  assert.deepEqual((await order(second))[1], "far.example:1", "what was measured last counts");
});
