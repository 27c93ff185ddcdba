import assert from "node:assert/strict";
import { NodeError } from "../../src/core/mod.ts";
import { createMetrics } from "../../src/rest/mod.ts";
import { test } from "../testing.ts";
import { answerOf, fakeWorld, keyOf, page, registered, until } from "./fakes.ts";

const signal = new AbortController().signal;
const LIMITS = {
  max: 50,
  probeEveryMs: 60_000,
  probeTimeoutMs: 1000,
  parallelProbes: 4,
  registryEveryMs: 1,
};

/** A node id of a stranger, without the cost of a key. */
function strangerOf(n: number): `0x${string}` {
  return `0x${n.toString(16).padStart(40, "0")}`;
}

async function rowsOf(store: ReturnType<typeof fakeWorld>["store"]) {
  const kinds = await Promise.all((["peer", "listed", "checkpoint"] as const).map((kind) => store.entries(kind)));
  return kinds.flat();
}

test("10,000 strangers in the registry take no more than their bound of book, disk, probes and labels, and push nobody out who served well", async (t) => {
  const world = fakeWorld(t);
  const metrics = createMetrics({ processMetrics: false });
  world.peers.set("good.example:1", { key: keyOf(1) });
  world.pages.push(page([registered(1, "good.example:1")], 1));
  let running = 0;
  let most = 0;
  let asked = 0;
  const discovery = await world.open({
    limits: LIMITS,
    metrics,
    prober: {
      probe: async (target) => {
        asked++;
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 1));
        running--;
        const peer = world.peers.get(target);
        if (peer !== undefined) return answerOf(peer, world.clock.now());
        throw new NodeError("target_misbehaved", `${target} is no node: ${"x".repeat(10_000)}`);
      },
    },
  });
  discovery.start();
  await until(() => discovery.admin.list().length === 1);
  await discovery.admin.probe("good.example:1", signal);
  discovery.shardOutcome({ target: "good.example:1", nodeId: keyOf(1).nodeId }, { weight: 1 });

  for (let n = 0; n < 10_000; n += 500) {
    const events = Array.from({ length: 500 }, (_, i) => ({
      node: strangerOf(n + i + 1),
      url: `h${n + i}-${"a".repeat(200)}.example:80`,
      region: "r".repeat(32),
      block: n + i + 2,
    }));
    world.pages.push(page(events, n + 501, { caughtUp: false }));
  }
  await until(() => world.pages.length === 0 && metrics.read("velas_registry_events_total") === 10_001);
  await until(() => {
    world.clock.time += 10;
    return metrics.read("velas_peer_probes_total")! >= 10;
  });
  const known = discovery.admin.list();
  assert.equal(known.length, LIMITS.max);
  assert.ok(known.some(({ target }) => target === "good.example:1"));
  await discovery.close();
  assert.ok(most <= LIMITS.parallelProbes + 1, `${most} probes at once`);
  assert.ok(asked < 2 * LIMITS.max, `${asked} probes`);
  const rows = await rowsOf(world.store);
  assert.ok(rows.length <= 2 * LIMITS.max + 1, `${rows.length} rows`);
  assert.ok(rows.every(([, text]) => text.length < 2000), "no error text is kept whole");
  const lines = (await metrics.render()).split("\n").filter((line) => /^velas_(peer|registry)/.test(line));
  assert.ok(lines.length < 40, lines.join("\n"));
  assert.ok(!lines.some((line) => line.includes("example")));
});

test("what a peer says of itself is cut, however much it says", async (t) => {
  const world = fakeWorld(t);
  const long = "\u202e\n\x1b[2J".repeat(20_000);
  world.peers.set("big.example:1", {
    key: keyOf(1),
    change: (answer) => ({
      ...answer,
      info: {
        ...answer.info,
        name: long,
        version: long,
        region: long,
        limits: { inputBytes: Infinity, outputBytes: -1, memoryBytes: NaN, timeoutMs: 1e300 },
        plugins: Array.from({ length: 5000 }, (_, n) => ({
          ...answer.info.plugins[0]!,
          name: `${n}${long}`,
          description: long,
          functions: Array.from({ length: 200 }, () => ({ ...answer.info.plugins[0]!.functions[0]!, name: long })),
        })),
      },
    }),
  });
  const discovery = await world.open();
  const { claims } = await discovery.admin.add("big.example:1", signal);
  assert.equal(claims!.name.length, 64);
  assert.ok(!claims!.name.includes("\n") && !claims!.name.includes("\x1b"));
  assert.equal(claims!.region, "");
  assert.equal(claims!.plugins.length, 64);
  assert.deepEqual(Object.values(claims!.limits), [0, 0, 0, 0]);
  await discovery.close();
  const [[, text]] = await world.store.entries("peer") as [[string, string]];
  assert.ok(text.length < 1 << 20, `${text.length} characters`);
});

test("addresses of this machine and of private networks are not taken from the registry, in whatever way they are written", async (t) => {
  const world = fakeWorld(t);
  const metrics = createMetrics({ processMetrics: false });
  const bad = [
    ...["127.0.0.1:80", "10.0.0.1:80", "192.168.1.1:80", "172.16.0.1:80", "169.254.169.254:80", "100.64.0.1:80"],
    ...["0.0.0.0:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "[::ffff:7f00:1]:80", "[fd00::1]:80", "[fe80::1]:80"],
    ...["[2002:7f00:1::]:80", "[64:ff9b::7f00:1]:80", "2130706433:80", "0x7f000001:80", "127.1:80"],
    ...[
      "https://127.0.0.1:443",
      "https://[::1]:443",
      "https://a.example",
      "https://a.example:443/x",
      "http://a.example",
    ],
    ...["a.example", "http://u:p@a.example:80", "ftp://a.example:80"],
    ...["http://a.example:80/path", "a.example:0", "a.example:65536", "a b.example:80", "\n", " ", "x".repeat(256)],
  ];
  world.pages.push(page(bad.map((url, n) => registered(n + 10, `${n % 2 === 0 ? "http://" : ""}${url}`)), 5));
  world.pages.push(page([registered(1, "http://fine.example:80/"), registered(2, "https://[2606:4700::1]:80/")], 6));
  const discovery = await world.open({ limits: LIMITS, metrics });
  discovery.start();
  await until(() => metrics.read("velas_registry_events_total") === bad.length + 2);
  assert.deepEqual(discovery.admin.list().map(({ target }) => target), [
    "fine.example:80",
    "https://[2606:4700::1]:80",
  ]);
  assert.equal(discovery.isStrangers("fine.example:80"), true);
  assert.equal(discovery.isStrangers("unknown.example:80"), false);
  await discovery.admin.add("fine.example:80", signal);
  assert.equal(discovery.isStrangers("fine.example:80"), false, "the owner wants it");
});

test("one host cannot fill the book, and this node is no peer of itself", async (t) => {
  const world = fakeWorld(t);
  const events = Array.from({ length: 200 }, (_, n) => ({
    node: strangerOf(n + 1),
    url: `crowd.example:${n + 1}`,
    region: "",
    block: 1,
  }));
  world.pages.push(page([...events, registered(0, "self.example:1"), registered(1, "last.example:1")], 2));
  const discovery = await world.open({ limits: LIMITS });
  discovery.start();
  await until(() => discovery.admin.list().some(({ target }) => target === "last.example:1"));
  assert.equal(discovery.admin.list().length, 17);
});

test("a probe that never ends is given up, and stops when the node does", async (t) => {
  const world = fakeWorld(t);
  const discovery = await world.open({
    prober: { probe: () => new Promise(() => {}) },
    limits: { ...LIMITS, probeTimeoutMs: 50 },
  });
  const peer = await discovery.admin.add("never.example:1", signal);
  assert.match(peer.problem!, /did not answer within 50 ms/);
});
