import assert from "node:assert/strict";
import { test } from "node:test";
import type { CallContext, PeerWish, TaskSpec, VerifyWish } from "../../src/core/mod.ts";
import * as schemas from "../../src/rest/peer-schemas.ts";
import { TaskResult } from "../../src/rest/task-schemas.ts";
import { FakePeers, FULL } from "./fake-peers.ts";
import { FakeTasks, postJson, serve } from "./harness.ts";

const PATH = `/v1/peers/${encodeURIComponent(FULL.target)}`;

test("GET /v1/peers lists peers as the schema says, up to a limit, and by plugin", async (t) => {
  const peerBook = new FakePeers();
  const { url } = await serve(t, { peerBook });
  await peerBook.add("[::1]:2");
  const list = async (query = "") => schemas.PeerList.parse(await (await fetch(`${url}/v1/peers${query}`)).json());
  const all = await list();
  assert.deepEqual(all.peers.map(({ target }) => target), [FULL.target, "[::1]:2"]);
  assert.equal(all.peers[0]!.claims!.offer!.rates.cpuSecond, String(2n ** 127n));
  assert.deepEqual([(await list("?limit=1")).peers.length, (await list("?limit=1")).total], [1, 2]);
  assert.equal((await list("?plugin=demo")).total, 1);
  for (const query of ["?limit=0", "?limit=x", "?what=1"]) {
    assert.equal((await fetch(`${url}/v1/peers${query}`)).status, 400, query);
  }
});

test("a peer is added, shown, probed and removed", async (t) => {
  const { url } = await serve(t, { peerBook: new FakePeers() });
  const added = await postJson(`${url}/v1/peers`, { target: "127.0.0.1:9" });
  assert.equal(added.status, 201);
  assert.equal(schemas.Peer.parse(await added.json()).reachability, "unreachable");
  assert.deepEqual(schemas.Peer.parse(await (await fetch(`${url}${PATH}`)).json()).nodeId, FULL.nodeId);
  assert.equal((await fetch(`${url}${PATH}/probe`, { method: "POST" })).status, 200);
  assert.equal((await fetch(`${url}${PATH}`, { method: "DELETE" })).status, 204);
  for (const method of ["GET", "DELETE"]) assert.equal((await fetch(`${url}${PATH}`, { method })).status, 404);
  assert.equal((await postJson(`${url}/v1/peers`, { target: "x".repeat(301) })).status, 400);
  assert.equal((await postJson(`${url}/v1/peers`, {})).status, 400);
});

test("a task with any goes to whoever is chosen; with a target as well it is refused", async (t) => {
  const wishes: PeerWish[] = [];
  const fake = new FakeTasks();
  const tasks = {
    at: (target: string) => fake.at(target),
    any: (wish: PeerWish) => {
      wishes.push(wish);
      return fake.at("chosen:1");
    },
  };
  const { url } = await serve(t, { tasks });
  const spec = { plugin: "demo", function: "greet", input: "hello" };
  assert.equal((await postJson(`${url}/v1/tasks/run`, { ...spec, any: {} })).status, 200);
  assert.equal((await postJson(`${url}/v1/tasks`, { ...spec, any: { maxPrice: "5", region: "eu" } })).status, 202);
  assert.equal(
    (await fetch(`${url}/v1/run/demo/greet?any=true&maxPrice=7`, { method: "POST", body: "x" })).status,
    200,
  );
  assert.deepEqual(wishes, [{}, { maxPrice: 5n, region: "eu" }, { maxPrice: 7n }]);
  for (
    const any of [{ maxPrice: "-1" }, { maxPrice: 5 }, { maxPrice: "1".repeat(39) }, { region: "" }, { x: 1 }, true]
  ) {
    assert.equal((await postJson(`${url}/v1/tasks/run`, { ...spec, any })).status, 400, JSON.stringify(any));
  }
  assert.equal((await postJson(`${url}/v1/tasks`, { ...spec, any: {}, target: "127.0.0.1:1" })).status, 400);
  for (const query of ["?maxPrice=5", "?region=eu", "?any=true&target=127.0.0.1:1", "?any=1"]) {
    const answer = await fetch(`${url}/v1/run/demo/greet${query}`, { method: "POST", body: "x" });
    assert.equal(answer.status, 400, query);
  }
  const { url: without } = await serve(t);
  assert.equal((await postJson(`${without}/v1/tasks/run`, { ...spec, any: {} })).status, 501);
});

test("a task with verify runs at several providers; what goes with it is checked", async (t) => {
  const wishes: VerifyWish[] = [];
  const fake = new FakeTasks();
  const verification = { agreed: 2, asked: 3, dissenters: ["c:1"], failed: [], meterAgreed: true };
  const tasks = {
    at: (target: string) => fake.at(target),
    any: () => fake.at("chosen:1"),
    verified: (wish: VerifyWish) => {
      wishes.push(wish);
      return {
        run: async (task: TaskSpec, ctx: CallContext) => ({ ...await fake.at("many:1").run(task, ctx), verification }),
      };
    },
  };
  const { url } = await serve(t, { tasks });
  const run = (more: object) => postJson(`${url}/v1/tasks/run`, { plugin: "demo", function: "greet", ...more });
  const targets = ["a:1", "b:1", "c:1"];
  const answer = await run({ verify: { replicas: 3, targets } });
  assert.equal(answer.status, 200);
  assert.deepEqual(TaskResult.parse(await answer.json()).verification, verification);
  assert.equal((await run({ verify: { replicas: 2 }, any: { region: "eu", maxPrice: "7" } })).status, 200);
  assert.deepEqual(wishes, [{ replicas: 3, targets }, { replicas: 2, wish: { region: "eu", maxPrice: 7n } }]);
  const wrong = [{}, { replicas: 1 }, { replicas: 8 }, { replicas: "3" }, { replicas: 3, targets: "a:1" }, {
    replicas: 2,
    targets: Array(11).fill("a:1"),
  }, { replicas: 2, x: 1 }];
  for (const verify of wrong) assert.equal((await run({ verify })).status, 400, JSON.stringify(verify));
  assert.equal((await run({ verify: { replicas: 3 }, target: "a:1" })).status, 400);
  assert.equal((await postJson(`${url}/v1/tasks`, { verify: { replicas: 3 } })).status, 400);
  assert.equal(wishes.length, 2);
});
