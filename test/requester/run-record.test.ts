import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createReceiptSigner,
  NodeError,
  nodeKeyOf,
  sha256Hex,
  silentLog,
  type TaskRecord,
  type TaskService,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskRequester } from "../../src/requester/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { ALICE, caller, ended, failure, readAll, spec } from "../contract-suites/task-fixtures.ts";
import { FakeClock, testProvider } from "../provider/test-node.ts";
import type { TestScope } from "../testing.ts";

const PEER = "peer:8081";
const key = nodeKeyOf(new Uint8Array(32).fill(7));

/** A requester and a provider that signs. `way.lost` loses what the provider answers, `way.gone` is a provider that is not there. */
function setUp(t: TestScope, options: { readonly maxKept?: number } = {}) {
  const clock = new FakeClock();
  const host = new FakeHost();
  const receipts = createReceiptSigner(key);
  const provider = testProvider({ store: openMemoryStore().tasks, host, clock, receipts });
  const local = testProvider({ store: openMemoryStore().tasks, host: new FakeHost(), clock });
  const way = { gone: false, lost: false };
  const asked: string[] = [];
  const broken = (requestSent: boolean) =>
    new NodeError("target_unreachable", `${PEER} does not answer`, { data: { requestSent } });
  const remote = new Proxy(provider as TaskService, {
    get: (service, name: keyof TaskService) => {
      const method = (service[name] as (...args: unknown[]) => unknown).bind(service);
      if (name === "watch" || name === "runStream") return method;
      return async (...args: unknown[]) => {
        asked.push(name);
        if (way.gone) throw broken(false);
        const answer = await method(...args);
        if (way.lost) throw broken(true);
        return answer;
      };
    },
  });
  const requester = createTaskRequester({
    self: ALICE,
    local,
    dial: () => remote,
    store: openMemoryStore().requests,
    ledger: freeLedger,
    clock,
    log: silentLog,
    ...options,
  });
  t.after(() => Promise.all([requester.close(), provider.close(), local.close()]));
  const own = requester.at("");
  const history = async (): Promise<readonly TaskRecord[]> =>
    (await own.list({ states: [], pageSize: 100, pageToken: "" }, caller())).tasks;
  return { requester, own, there: requester.at(PEER), provider, host, clock, way, asked, history };
}

test("a task with an id that was run at a provider is in the history, with what its receipt says, without asking again", async (t) => {
  const { own, there, clock, asked, history } = setUp(t);
  clock.advance(1000);
  const result = await there.run(spec({ id: "r1", plugin: "fake", input: "hello" }), caller());
  const [listed] = await history();
  assert.equal(listed!.receipt, undefined);
  const record = await own.get("r1", caller());
  const { receipt, usage, createdAt, startedAt, finishedAt, limits: _, ...rest } = record;
  assert.deepEqual(receipt, result.receipt);
  assert.deepEqual(usage, result.usage);
  assert.deepEqual([createdAt, startedAt, finishedAt], [clock.now(), clock.now(), clock.now()]);
  assert.deepEqual(rest, {
    id: "r1",
    requester: ALICE,
    target: PEER,
    plugin: "fake",
    resolvedPlugin: "fake@1.0.0",
    pluginSha256: "ab".repeat(32),
    function: "echo",
    contentType: "",
    priority: 0,
    state: "succeeded",
    attempts: 1,
    inputSha256: sha256Hex(new TextEncoder().encode("hello")),
    outputSha256: sha256Hex(result.output),
    outputContentType: "text/plain",
  });
  assert.deepEqual(asked, ["run"]);
  assert.deepEqual((await own.output("r1", caller())).output, result.output);
});

test("a task without an id is kept by nobody, and one that was refused is not in the history", async (t) => {
  const { there, way, history } = setUp(t);
  await there.run(spec({ input: "hello" }), caller());
  await assert.rejects(there.run(spec({ id: "r1", plugin: "none" }), caller()), failure("plugin_not_found"));
  way.gone = true;
  await assert.rejects(there.run(spec({ id: "r2" }), caller()), failure("target_unreachable"));
  assert.deepEqual(await history(), []);
});

test("a run that failed or was canceled is in the history as that", async (t) => {
  const { there, host, history } = setUp(t);
  await assert.rejects(there.run(spec({ id: "r1", function: "fail" }), caller()), failure("plugin_failed"));
  const leaving = new AbortController();
  const running = there.run(spec({ id: "r2", function: "gate" }), { ...caller(), signal: leaving.signal });
  await host.reached(1);
  leaving.abort(new NodeError("canceled", "gone"));
  await assert.rejects(running, failure("canceled"));
  const states = new Map((await history()).map(({ id, state, reason }) => [id, [state, reason]]));
  assert.deepEqual(states.get("r1"), ["failed", "plugin_failed"]);
  assert.deepEqual(states.get("r2"), ["canceled", "canceled"]);
});

test("a run whose answer was lost is asked for at its provider, and a second try settles it", async (t) => {
  const { own, there, way, history } = setUp(t);
  for (const id of ["r1", "r2"]) {
    way.lost = true;
    await assert.rejects(there.run(spec({ id, input: "x" }), caller()), failure("target_unreachable"));
    assert.equal((await history()).find((task) => task.id === id)?.state, "running");
    way.lost = false;
    if (id === "r1") {
      assert.equal((await own.get(id, caller())).state, "succeeded");
    } else {
      assert.equal((await there.run(spec({ id, input: "x" }), caller())).replayed, true);
    }
    const kept = (await history()).find((task) => task.id === id);
    assert.equal(kept?.state, "succeeded");
  }
  assert.equal((await own.get("r2", caller())).receipt?.taskId, "r2");
});

test("a stream with an id is in the history with its receipt", async (t) => {
  const { own, there } = setUp(t);
  const input = (async function* () {
    yield await Promise.resolve(new TextEncoder().encode("hello"));
  })();
  await readAll(there.runStream(spec({ id: "s1" }), input, caller()));
  const { state, target, receipt, outputSha256 } = await own.get("s1", caller());
  assert.deepEqual([state, target, outputSha256], [
    "succeeded",
    PEER,
    sha256Hex(new TextEncoder().encode("hello")),
  ]);
  assert.equal(receipt?.provider, key.nodeId);
});

test("a run leaves what is known under its id as it is: a submission, or a task that this node ran itself", async (t) => {
  const { own, there, requester, history } = setUp(t);
  await there.submit(spec({ id: "r1", input: "x" }), caller());
  const before = await ended(there, "r1");
  await requester.at("other:1").run(spec({ id: "r1", input: "x" }), caller());
  assert.equal((await own.get("r1", caller())).target, before.target);
  await own.run(spec({ id: "r2", input: "x" }), caller());
  await there.run(spec({ id: "r2", input: "x" }), caller());
  assert.deepEqual((await history()).map(({ id, target }) => [id, target]).sort(), [["r1", PEER], ["r2", undefined]]);
});

test("of tasks that have ended the newest are kept, and one that goes on is not forgotten", async (t) => {
  const { own, there, host, clock, requester, history } = setUp(t, { maxKept: 3 });
  await there.submit(spec({ id: "open", function: "gate" }), caller());
  const gate = await host.reached(1);
  for (let i = 0; i < 6; i++) {
    clock.advance(1);
    await there.run(spec({ id: `r${i}` }), caller());
    await requester.sweep();
  }
  assert.deepEqual((await history()).map(({ id }) => id), ["r5", "r4", "r3", "open"]);
  gate.open();
  await ended(own, "open");
});
