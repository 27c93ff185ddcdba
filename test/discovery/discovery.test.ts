import assert from "node:assert/strict";
import { wei } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import { fakeWorld, keyOf, page, registered, until } from "./fakes.ts";

const signal = new AbortController().signal;
const NEED = { plugin: "demo", function: "greet", limits: { timeoutMs: 1000 }, inputBytes: 5 };
const DAY = 86_400_000;

test("add() asks a peer who it is; what it says is shown as its claim and is no score", async (t) => {
  const { peers, open } = fakeWorld(t);
  peers.set("a.example:1", { key: keyOf(1), plugins: ["demo", "ml"], region: "eu", latencyMs: 4 });
  const { admin } = await open();
  const peer = await admin.add("A.example:1", signal);
  assert.equal(peer.nodeId, keyOf(1).nodeId);
  assert.deepEqual(peer.sources, ["added"]);
  assert.equal(peer.reachability, "reachable");
  assert.equal(peer.latencyMs, 4);
  assert.deepEqual(peer.claims?.plugins.map(({ name }) => name), ["demo", "ml"]);
  assert.equal(peer.claims?.region, "eu");
  const silent = await admin.add("b.example:1", signal);
  assert.equal(silent.reachability, "unreachable");
  assert.match(silent.problem!, /No connection/);
  assert.equal(silent.score, peer.score, "nothing was seen of either");
});

test("a score comes from own experience, survives a restart, and fades by half in a week", async (t) => {
  const { peers, clock, open } = fakeWorld(t);
  for (const n of [1, 2]) peers.set(`p${n}.example:1`, { key: keyOf(n) });
  const first = await open({ static: ["p1.example:1", "p2.example:1"] });
  for (const n of [1, 2]) await first.admin.probe(`p${n}.example:1`, signal);
  for (let i = 0; i < 8; i++) first.shardOutcome({ target: "p1.example:1", nodeId: keyOf(1).nodeId }, { weight: 1 });
  first.shardOutcome({ target: "p2.example:1", nodeId: keyOf(2).nodeId }, { weight: 10, error: "It lied" });
  const [good, bad] = [first.admin.get("p1.example:1").score, first.admin.get("p2.example:1").score];
  assert.ok(good > 0.7 && bad < 0.1, `${good} ${bad}`);
  await first.close();

  const second = await open({ static: ["p1.example:1", "p2.example:1"] });
  assert.equal(second.admin.get("p1.example:1").score, good);
  assert.equal(second.admin.get("p2.example:1").experience.lastError, "It lied");
  clock.time += 7 * DAY;
  assert.equal(second.admin.get("p1.example:1").experience.good, 4);
  assert.equal(second.admin.get("p2.example:1").experience.bad, 5);
  clock.time += 365 * DAY;
  const faded = second.admin.list().map(({ score }) => score);
  assert.ok(Math.abs(faded[0]! - faded[1]!) < 1e-3, `${faded}`);
  clock.time -= 372 * DAY;
  assert.ok(second.admin.get("p1.example:1").score <= good, "a clock that goes back makes nothing better");
});

test("another node at an address is another peer, and experience of the first is none of it", async (t) => {
  const { peers, open } = fakeWorld(t);
  const target = "a.example:1";
  peers.set(target, { key: keyOf(1) });
  const { admin, shardOutcome } = await open();
  await admin.add(target, signal);
  shardOutcome({ target, nodeId: keyOf(1).nodeId }, { weight: 5 });
  const before = admin.get(target).score;
  peers.set(target, { key: keyOf(2) });
  const changed = await admin.probe(target, signal);
  assert.equal(changed.nodeId, keyOf(2).nodeId);
  assert.ok(changed.score < before);
  assert.equal(changed.experience.good, 0);
  shardOutcome({ target, nodeId: keyOf(1).nodeId }, { weight: 5 });
  assert.equal(admin.get(target).experience.good, 0, "what is told of the first does not count for the second");
});

test("choose() takes the best that fits, and else counts why none does", async (t) => {
  const { peers, open } = fakeWorld(t);
  const rates = (amount: bigint) => ({ cpuSecond: wei(amount) });
  peers.set("cheap.example:1", { key: keyOf(1), rates: rates(100n) });
  peers.set("dear.example:1", { key: keyOf(2), rates: rates(5000n), region: "eu" });
  peers.set("other.example:1", { key: keyOf(3), plugins: ["ml"] });
  peers.set("chain.example:1", {
    key: keyOf(4),
    rates: rates(1n),
    settlement: { chainId: 1, channels: keyOf(9).nodeId },
  });
  const down = "down.example:1";
  const { admin, choose, shardOutcome } = await open({ static: [...peers.keys(), down] });
  for (const target of [...peers.keys(), down]) await admin.probe(target, signal);

  const targets = async (wish: object) => (await choose({ ...NEED, ...wish }, signal)).map(({ target }) => target);
  assert.deepEqual(await targets({}), ["cheap.example:1", "dear.example:1"]);
  assert.deepEqual(await targets({ region: "eu" }), ["dear.example:1"]);
  assert.deepEqual(await targets({ maxPrice: wei(100n) }), ["cheap.example:1"]);
  for (let i = 0; i < 9; i++) shardOutcome({ target: "dear.example:1", nodeId: keyOf(2).nodeId }, { weight: 1 });
  assert.deepEqual(await targets({}), ["dear.example:1", "cheap.example:1"], "a better one is worth its price");

  await assert.rejects(choose({ ...NEED, maxPrice: wei(99n) }, signal), {
    code: "no_peer_fits",
    retryable: true,
    data: { known: 5, unreachable: 1, noPlugin: 1, otherMoney: 1, tooDear: 2, cheapest: "100" },
    message: /Of 5 known peers 1 are out of reach, 1 lack the plugin.*2 cost more than 99 \(the cheapest 100\)/,
  });
  await assert.rejects(choose({ ...NEED, plugin: "nope" }, signal), {
    data: { known: 5, unreachable: 1, noPlugin: 4 },
  });
  await assert.rejects(choose({ ...NEED, limits: { timeoutMs: 60_001 } }, signal), {
    data: { known: 5, unreachable: 1, noPlugin: 1, tooSmall: 3 },
  });
  const nobody = await open({ store: fakeWorld(t).store });
  await assert.rejects(nobody.choose(NEED, signal), { code: "no_peer_fits", message: /knows no other one/ });
});

test("choose() passes by peers whose prices count instructions by another cost table", async (t) => {
  const { peers, open } = fakeWorld(t);
  const [counted, timed] = [{ megaInstructions: wei(1n), cpuSecond: wei(9n) }, { cpuSecond: wei(9n) }];
  peers.set("unnamed.example:1", { key: keyOf(1), rates: counted });
  peers.set("same.example:1", { key: keyOf(2), rates: counted, costTable: 1 });
  peers.set("newer.example:1", { key: keyOf(3), rates: counted, costTable: 2 });
  peers.set("timed.example:1", { key: keyOf(4), rates: timed, costTable: 2 });
  const { admin, choose } = await open({ static: [...peers.keys()] });
  for (const target of peers.keys()) await admin.probe(target, signal);
  const chosen = await choose(NEED, signal);
  assert.deepEqual(chosen.map(({ target }) => target).sort(), [
    "same.example:1",
    "timed.example:1",
    "unnamed.example:1",
  ]);
  assert.equal(admin.get("newer.example:1").claims?.offer?.costTable, 2);
  await assert.rejects(choose({ ...NEED, maxPrice: wei(0n) }, signal), {
    data: { known: 4, otherMeter: 1, tooDear: 3, cheapest: "9" },
  });
});

test("choose() asks peers that were never asked before it gives up", async (t) => {
  const { peers, open } = fakeWorld(t);
  peers.set("a.example:1", { key: keyOf(1) });
  const { choose } = await open({ static: ["a.example:1", "down.example:1"] });
  assert.deepEqual((await choose(NEED, signal)).map(({ target }) => target), ["a.example:1"]);
});

test("an offer that is forged, another's, or expired is not believed, and its peer is not chosen", async (t) => {
  const { peers, open, clock } = fakeWorld(t);
  const rates = { cpuSecond: wei(5n) };
  const changes = {
    forged: { offer: { rates: { cpuSecond: wei(1n) } } },
    others: { offer: { provider: keyOf(9).nodeId } },
    expired: { offer: { expiresAt: clock.now() } },
    garbage: { signature: new Uint8Array(3) },
  };
  for (const [place, [name, change]] of Object.entries(changes).entries()) {
    peers.set(`${name}.example:1`, {
      key: keyOf(place + 1),
      rates,
      change: (answer) => {
        const signed = answer.offer!;
        const offer = { ...signed.offer, ...(change as { offer?: object }).offer };
        const full = { ...offer, rates: { ...signed.offer.rates, ...offer.rates } };
        return { ...answer, offer: { ...signed, ...change, offer: full } };
      },
    });
  }
  const { admin, choose } = await open({ static: [...peers.keys()] });
  for (const target of peers.keys()) {
    const { claims } = await admin.probe(target, signal);
    assert.equal(claims?.offer, undefined, target);
    assert.match(claims!.offerProblem!, /its offer/, target);
  }
  await assert.rejects(choose(NEED, signal), { data: { known: 4, noOffer: 4 } });
});

test("remove() forgets what was added, blocks what the registry names, and refuses what the configuration names", async (t) => {
  const { peers, pages, open } = fakeWorld(t);
  for (const n of [1, 2, 3]) peers.set(`p${n}.example:1`, { key: keyOf(n) });
  pages.push(page([registered(2, "http://p2.example:1")], 10));
  const { admin, start, choose } = await open({ static: ["p3.example:1"] });
  start();
  await admin.add("p1.example:1", signal);
  await until(() => admin.list().length === 3);
  await admin.probe("p2.example:1", signal);
  await admin.remove("p1.example:1");
  assert.throws(() => admin.get("p1.example:1"), { code: "not_found" });
  await admin.remove("p2.example:1");
  assert.equal(admin.get("p2.example:1").blocked, true);
  assert.deepEqual((await choose(NEED, signal)).map(({ target }) => target), ["p3.example:1"]);
  await admin.add("p2.example:1", signal);
  assert.equal(admin.get("p2.example:1").blocked, false);
  await assert.rejects(admin.remove("p3.example:1"), { code: "failed_precondition", message: /peers\.static/ });
  await assert.rejects(admin.add("nonsense", signal), { code: "invalid_argument" });
});

test("a peer under whose address the registry names another node is shown and not used", async (t) => {
  const { peers, pages, open } = fakeWorld(t);
  peers.set("a.example:1", { key: keyOf(2) });
  pages.push(page([registered(1, "a.example:1")], 10));
  const { admin, start, choose } = await open();
  start();
  await until(() => admin.list().length === 1);
  await admin.probe("a.example:1", signal);
  assert.match(admin.list()[0]!.problem!, /names another node/);
  await assert.rejects(choose(NEED, signal), { data: { known: 1, unusable: 1 } });
});

test("one that does not answer is asked ever less often", async (t) => {
  const { peers, clock, asked, open } = fakeWorld(t);
  peers.set("a.example:1", { key: keyOf(1) });
  const { admin, start } = await open({ static: ["a.example:1", "down.example:1"] });
  const probesOf = (target: string) => asked.filter((one) => one === target).length;
  const quiet = () => admin.list().every(({ lastProbeAt = 0 }) => lastProbeAt > 0);
  start();
  await until(quiet);
  // Half to one and a half of the time: with a chance of one half, just that.
  for (const [up, down] of [[2, 2], [3, 2], [4, 3], [5, 3], [6, 3], [7, 3], [8, 4]] as const) {
    clock.time += 60_000;
    await until(() => admin.get("a.example:1").lastProbeAt === clock.time && probesOf("down.example:1") >= down);
    await until(() => [up, down].join() === [probesOf("a.example:1"), probesOf("down.example:1")].join());
  }
});

test("a GPU's time counts for the price of plugins that work on one; of others the task must say so where a price was set", async (t) => {
  const { peers, open } = fakeWorld(t);
  const rates = { cpuSecond: wei(1n), gpuSecond: wei(1000n) };
  peers.set("p1.example:1", { key: keyOf(1), plugins: ["demo", "ml"], onGpu: ["ml"], rates });
  const { admin, choose } = await open({ static: ["p1.example:1"] });
  const { claims } = await admin.probe("p1.example:1", signal);
  assert.deepEqual(claims!.plugins.map(({ gpu }) => gpu), [false, true]);
  const limits = { timeoutMs: 10_000 };
  const chosen = async (need: object) => (await choose({ ...NEED, limits, ...need }, signal)).map(({ noGpu }) => noGpu);
  assert.deepEqual(await chosen({ maxPrice: wei(10n) }), [true]);
  assert.deepEqual(await chosen({ maxPrice: wei(10n), plugin: "" }), [true]);
  assert.deepEqual(await chosen({}), [undefined]);
  await assert.rejects(chosen({ plugin: "ml", maxPrice: wei(10_009n) }), { code: "no_peer_fits" });
  assert.deepEqual(await chosen({ plugin: "ml", maxPrice: wei(10_010n) }), [undefined]);
});
