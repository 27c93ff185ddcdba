import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeError, silentLog, type TaskService } from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskRequester } from "../../src/requester/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { BOB, caller, ended, failure, readAll, spec } from "../contract-suites/task-fixtures.ts";
import { FakeClock, testProvider } from "../provider/test-node.ts";
import { PEER, SELF, setUp } from "./task-wire.ts";

test("targets that cannot be read are refused at once", () => {
  const { requester } = setUp();
  assert.throws(() => requester.at("no port"), { code: "invalid_argument" });
  assert.equal(requester.at("dns:///PEER:8081"), requester.at("peer:8081"));
});

test("every call is this node's own, whoever makes it", async () => {
  const node = setUp();
  await node.own.run(spec({ id: "here" }), caller(BOB));
  await node.there.submit(spec({ id: "there" }), caller("anonymous"));
  assert.equal((await node.own.get("here", caller("anonymous"))).requester, SELF);
  await ended(node.own, "there", caller(BOB));
  assert.deepEqual([...node.wire.requesters], [SELF]);
  await node.close();
});

test("a task sent elsewhere is known here: get, output, watch and list", async () => {
  const node = setUp();
  const sent = await node.there.submit(spec({ id: "far", function: "gate", input: "x" }), caller());
  assert.equal(sent.target, PEER);
  const gate = await node.peerHost.reached(1);
  assert.equal((await node.own.get("far", caller())).state, "running");
  const watching = ended(node.own, "far");
  gate.open();
  const record = await watching;
  assert.deepEqual([record.state, record.target], ["succeeded", PEER]);
  assert.equal((await node.own.output("far", caller())).output.length, 1);
  const { tasks } = await node.own.list({ states: ["succeeded"], pageSize: 10, pageToken: "" }, caller());
  assert.deepEqual(tasks, [record]);
  assert.equal(node.host.calls.length, 0);
  // Its end is known, so that nobody needs to be asked.
  node.wire.down = true;
  assert.deepEqual(await node.own.get("far", caller()), record);
  await node.close();
});

test("cancel() of a task sent elsewhere reaches its provider", async () => {
  const node = setUp();
  await node.there.submit(spec({ id: "far", function: "gate" }), caller());
  const gate = await node.peerHost.reached(1);
  assert.equal((await node.own.cancel("far", caller())).state, "canceled");
  assert.equal(gate.call.signal.aborted, true);
  await node.close();
});

test("when its provider does not answer, a task is shown as last known", async () => {
  const node = setUp();
  await node.there.submit(spec({ id: "far", function: "gate" }), caller());
  await node.peerHost.reached(1);
  await node.own.get("far", caller());
  node.wire.down = true;
  const record = await node.own.get("far", caller());
  assert.deepEqual([record.state, record.target], ["running", PEER]);
  assert.match(record.message!, /peer:8081 cannot be asked now .*last known/);
  await assert.rejects(node.own.output("far", caller()), failure("target_unreachable"));
  await assert.rejects(readAll(node.own.watch("far", caller())), failure("target_unreachable"));
  await node.close();
});

test("a submission is recorded before it is sent, with its input until it is acknowledged", async () => {
  const store = openMemoryStore();
  let seen: unknown;
  const service = {
    async submit() {
      const [request] = await store.requests.sending("", 10);
      seen = [request!.record.id, request!.record.target, [...(await store.requests.input("early"))!]];
      throw new NodeError("overloaded", "busy", { retryAfterMs: 7 });
    },
  } as unknown as TaskService;
  const node = setUp({ store, service });
  await assert.rejects(node.there.submit(spec({ id: "early", input: "A" }), caller()), failure("overloaded"));
  assert.deepEqual(seen, ["early", PEER, [65]]);
  await node.close();
});

test("a submission that was refused is forgotten", async () => {
  const node = setUp();
  for (const bad of [{ plugin: "none" }, { limits: { timeoutMs: 1e12 } }]) {
    await assert.rejects(node.there.submit(spec({ id: "bad", ...bad }), caller()), NodeError);
    await assert.rejects(node.own.get("bad", caller()), failure("not_found"));
  }
  await assert.rejects(node.there.submit(spec({ id: "a/b" }), caller()), failure("invalid_argument", /a\/b/));
  assert.equal((await node.there.submit(spec({ id: "bad" }), caller())).id, "bad");
  await node.close();
});

test("a submission whose answer was lost is doubtful: the provider tells, and trying again is safe", async () => {
  const node = setUp();
  node.wire.deaf = true;
  await assert.rejects(node.there.submit(spec({ id: "lost" }), caller()), (error) => {
    failure("target_unreachable", /may have been accepted: ask for lost/)(error);
    assert.equal((error as NodeError).data.id, "lost");
    return (error as NodeError).retryable;
  });
  node.wire.deaf = false;
  assert.equal((await ended(node.own, "lost")).state, "succeeded");
  assert.equal((await node.there.submit(spec({ id: "lost" }), caller())).state, "succeeded");
  assert.equal(node.peerHost.calls.length, 1);
  await node.close();
});

test("a doubtful submission that did not arrive is not found, and not sent again by itself", async () => {
  const node = setUp();
  node.wire.down = true;
  await assert.rejects(node.there.submit(spec({ id: "lost" }), caller()), failure("target_unreachable"));
  assert.match((await node.own.get("lost", caller())).message!, /cannot be asked now/);
  node.wire.down = false;
  assert.equal(await node.make().recover(), 0);
  await assert.rejects(node.own.get("lost", caller()), failure("not_found"));
  assert.deepEqual(await node.store.requests.getMany(["lost"]), [undefined]);
  await node.close();
});

test("an id belongs to one place", async () => {
  const node = setUp();
  await node.there.submit(spec({ id: "far" }), caller());
  await node.own.run(spec({ id: "near" }), caller());
  const elsewhere = node.requester.at("other:1");
  await assert.rejects(elsewhere.submit(spec({ id: "far" }), caller()), failure("already_exists", /sent to peer:8081/));
  await assert.rejects(elsewhere.submit(spec({ id: "near" }), caller()), failure("already_exists", /runs itself/));
  await assert.rejects(node.own.submit(spec({ id: "far" }), caller()), failure("already_exists", /sent to peer:8081/));
  await assert.rejects(node.own.run(spec({ id: "far" }), caller()), failure("already_exists"));
  await assert.rejects(
    readAll(node.own.runStream(spec({ id: "far" }), (async function* () {})(), caller())),
    failure("already_exists"),
  );
  const different = spec({ id: "far", input: "other" });
  await assert.rejects(
    node.there.submit(different, caller()),
    failure("already_exists", /another plugin, function, input/),
  );
  await ended(node.own, "far");
  await node.close();
});

test("the same submission many times at once is one", async () => {
  const node = setUp();
  const records = await Promise.all(
    Array.from({ length: 20 }, () => node.there.submit(spec({ id: "crowd" }), caller())),
  );
  assert(records.every((record) => record.id === "crowd"));
  await ended(node.own, "crowd");
  assert.equal(node.peerHost.calls.length, 1);
  await node.close();
});

test("list() merges what runs here with what was sent elsewhere, page by page", async () => {
  const node = setUp();
  const expected: string[] = [];
  for (let i = 0; i < 25; i++) {
    node.clock.advance(i % 3);
    const service = i % 4 === 0 ? node.there : node.own;
    const id = `t${String(i).padStart(2, "0")}`;
    await service.submit(spec({ id }), caller());
    expected.unshift(id);
  }
  for (const pageSize of [1, 2, 3, 7, 24, 25, 26, 1000]) {
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await node.own.list({ states: [], pageSize, pageToken }, caller());
      assert(page.tasks.length <= pageSize);
      seen.push(...page.tasks.map((task) => task.id));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    assert.deepEqual(seen, expected, `pages of ${pageSize}`);
  }
  await node.close();
});

test("a provider that is this node itself shows its tasks once", async () => {
  const store = openMemoryStore();
  const host = new FakeHost();
  const clock = new FakeClock();
  const local = testProvider({ store: store.tasks, host, clock });
  const requester = createTaskRequester({
    self: SELF,
    local,
    dial: () => local,
    store: store.requests,
    ledger: freeLedger,
    clock,
    log: silentLog,
  });
  await requester.at("127.0.0.1:8081").submit(spec({ id: "loop" }), caller());
  clock.advance(5);
  await requester.at("").submit(spec({ id: "near" }), caller());
  await ended(requester.at(""), "loop");
  await ended(requester.at(""), "near");
  const { tasks } = await requester.at("").list({ states: [], pageSize: 10, pageToken: "" }, caller());
  assert.deepEqual(tasks.map(({ id, target }) => [id, target]), [["near", undefined], ["loop", "127.0.0.1:8081"]]);
  assert.equal((await requester.at("127.0.0.1:8081").submit(spec({ id: "loop" }), caller())).state, "succeeded");
  assert.equal(host.calls.length, 2);
  await requester.close();
  await local.close();
});
