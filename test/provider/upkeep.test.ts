import assert from "node:assert/strict";
import { test } from "../testing.ts";
import { NodeError, type StoredTask, type TaskChange, type Usage } from "../../src/core/mod.ts";
import type { Ledger, TaskStore } from "../../src/provider/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { ALICE, caller, ended, failure, readAll, spec } from "../contract-suites/task-fixtures.ts";
import { FakeClock, testProvider } from "./test-node.ts";

function setUp(settings: Omit<Parameters<typeof testProvider>[0], "store" | "host" | "clock"> = {}) {
  const store = openMemoryStore();
  const host = new FakeHost();
  const clock = new FakeClock();
  return { store, host, clock, provider: testProvider({ ...settings, store: store.tasks, host, clock }) };
}

test("a task that waits too long expires, stored or not", async () => {
  const { host, clock, provider } = setUp({ maxRunning: 1, queueTimeoutMs: 1000 });
  await provider.submit(spec({ id: "first", function: "gate" }), caller());
  const gate = await host.reached(1);
  await provider.submit(spec({ id: "stored" }), caller());
  const quick = assert.rejects(provider.run(spec(), caller()), failure("expired", /tasks\.queueTimeoutMs/));
  const named = assert.rejects(provider.run(spec({ id: "named" }), caller()), failure("expired"));
  assert.equal((await provider.get("named", caller())).state, "queued");
  clock.advance(999);
  await provider.sweep();
  assert.equal((await provider.get("stored", caller())).state, "queued");
  clock.advance(1);
  await provider.sweep();
  await Promise.all([quick, named]);
  const record = await provider.get("stored", caller());
  assert.deepEqual([record.state, record.reason], ["expired", "expired"]);
  gate.open();
  assert.equal((await ended(provider, "first")).state, "succeeded");
  assert.equal(host.calls.length, 1);
  await provider.close();
});

test("ended tasks are dropped when their retention is over, many in one sweep", async () => {
  const { store, clock, provider } = setUp({ retentionMs: 5000 });
  for (let i = 0; i < 450; i++) await provider.run(spec({ id: `t${i}`, input: "x" }), caller());
  clock.advance(4999);
  await provider.sweep();
  assert.equal(store.tasks.totals().tasks, 450);
  clock.advance(1);
  await provider.sweep();
  assert.deepEqual(store.tasks.totals(), { tasks: 0, inputBytes: 0, outputBytes: 0 });
  await assert.rejects(provider.get("t0", caller()), failure("not_found"));
  assert.equal((await provider.run(spec({ id: "t0", input: "x" }), caller())).replayed, false);
  await provider.close();
});

test("one sweep drops at most 2,000 tasks", async () => {
  const { store, clock, provider } = setUp({ retentionMs: 1 });
  await Promise.all(Array.from({ length: 2100 }, (_, i) => provider.run(spec({ id: `t${i}` }), caller())));
  clock.advance(10);
  await provider.sweep();
  assert.equal(store.tasks.totals().tasks, 100);
  await provider.sweep();
  assert.equal(store.tasks.totals().tasks, 0);
  await provider.close();
});

test("a stream whose input stalls is stopped", async () => {
  const { host, clock, provider } = setUp({ inputIdleMs: 1000 });
  const { promise: never } = Promise.withResolvers<void>();
  async function* stalling() {
    yield new Uint8Array(1);
    await never;
  }
  const events = provider.runStream(spec({ function: "words" }), stalling(), caller())[Symbol.asyncIterator]();
  for (;;) {
    const { value } = await events.next();
    if (value.type === "progress") break;
  }
  clock.advance(999);
  await provider.sweep();
  assert.equal(host.calls[0]!.signal.aborted, false);
  clock.advance(1);
  await provider.sweep();
  const { reason } = host.calls[0]!.signal;
  failure("deadline_exceeded", /No input came for 1000 ms/)(reason);
  await events.return!();
});

test("drain() lets running tasks end and hands waiting ones back", async () => {
  const { store, host, clock, provider } = setUp({ maxRunning: 2 });
  const running = provider.run(spec({ id: "running", function: "gate" }), caller());
  const quick = provider.run(spec({ function: "gate" }), caller());
  await host.reached(2);
  await provider.submit(spec({ id: "waiting", input: "w" }), caller());
  const refused = [
    assert.rejects(provider.run(spec(), caller()), failure("shutting_down")),
    assert.rejects(provider.run(spec({ id: "waiting", input: "w" }), caller()), failure("shutting_down")),
    assert.rejects(readAll(provider.watch("waiting", caller())), failure("shutting_down")),
  ];
  await new Promise((resolve) => setImmediate(resolve));
  const draining = provider.drain({ graceMs: 60_000 });
  await Promise.all(refused);
  await assert.rejects(provider.run(spec(), caller()), failure("shutting_down"));
  await assert.rejects(provider.submit(spec({ id: "new" }), caller()), failure("shutting_down"));
  for (const gate of host.gated) gate.open();
  await draining;
  assert.equal((await running).replayed, false);
  await quick;
  await provider.close();

  const next = testProvider({ store: store.tasks, host, clock });
  assert.deepEqual(await next.recover(), { queued: 1, interrupted: 0 });
  assert.equal((await ended(next, "waiting")).attempts, 1);
  await next.close();
});

test("drain() stops what is left after its grace and hands stored tasks back without counting the attempt", async () => {
  const { store, host, clock, provider } = setUp({ maxAttempts: 1 });
  await provider.submit(spec({ id: "long", function: "gate", input: "again" }), caller());
  const quick = assert.rejects(provider.run(spec({ function: "gate" }), caller()), failure("shutting_down"));
  const stream = readAll(provider.runStream(spec({ function: "gate" }), (async function* () {})(), caller()));
  await host.reached(3);
  await provider.drain({ graceMs: 0 });
  await quick;
  const last = (await stream).at(-1)!;
  assert(last.type === "state" && last.task.state === "canceled" && last.task.reason === "shutting_down");
  assert(host.gated.every((gate) => gate.call.signal.aborted));
  await provider.close();
  const stored = (await store.tasks.get({ requester: ALICE, id: "long" }))!.record;
  assert.deepEqual([stored.state, stored.attempts, stored.startedAt], ["queued", 0, undefined]);

  const next = testProvider({ store: store.tasks, host, clock, maxAttempts: 1 });
  assert.deepEqual(await next.recover(), { queued: 1, interrupted: 0 });
  (await host.reached(4)).open();
  assert.equal((await ended(next, "long")).state, "succeeded");
  await next.close();
});

test("recover() takes tasks up in the order of the queue and retries those that ran, as often as they may", async () => {
  const { store, host, clock, provider } = setUp({ maxRunning: 1 });
  await provider.submit(spec({ id: "ran", function: "gate" }), caller());
  await host.reached(1);
  for (const [id, priority] of [["old", 0], ["new", 0], ["urgent", 9], ["later", -9]] as const) {
    await provider.submit(spec({ id, priority, input: id }), caller());
  }
  // The process ends here, as far as the store can tell.
  const second = testProvider({ store: store.tasks, host, clock, maxRunning: 1, maxAttempts: 2 });
  assert.deepEqual(await second.recover(), { queued: 5, interrupted: 0 });
  const inputs = () => host.calls.slice(1).map((call) => new TextDecoder().decode(call.input as Uint8Array));
  const again = await host.reached(2);
  assert.deepEqual(inputs(), ["urgent", ""]);
  assert.equal((await second.get("ran", caller())).attempts, 2);
  // And here once more, while it runs for the second time.
  const third = testProvider({ store: store.tasks, host, clock, maxRunning: 1, maxAttempts: 2 });
  assert.deepEqual(await third.recover(), { queued: 3, interrupted: 1 });
  const record = await third.get("ran", caller());
  assert.deepEqual([record.state, record.reason, record.attempts], ["failed", "interrupted", 2]);
  await ended(third, "later");
  assert.deepEqual(inputs(), ["urgent", "", "old", "new", "later"]);
  again.open();
  for (const one of [third, second, provider]) await one.close();
});

test("a running task that is asked for before recover() runs once", async () => {
  const { store, host, clock, provider } = setUp();
  await provider.submit(spec({ id: "one", function: "gate" }), caller());
  await host.reached(1);
  const next = testProvider({ store: store.tasks, host, clock });
  const joined = next.run(spec({ id: "one", function: "gate" }), caller());
  const gate = await host.reached(2);
  assert.deepEqual(await next.recover(), { queued: 0, interrupted: 0 });
  gate.open();
  await joined;
  assert.equal(host.calls.length, 2);
  await next.close();
  await provider.close();
});

test("a plugin that is gone after a restart fails the task by name", async () => {
  const { store, host, clock, provider } = setUp({ maxRunning: 1 });
  await provider.submit(spec({ id: "first", function: "gate" }), caller());
  await host.reached(1);
  await provider.submit(spec({ id: "second" }), caller());
  class Gone extends FakeHost {
    override resolve(): never {
      throw new NodeError("plugin_not_found", "There is no plugin fake here");
    }
  }
  const next = testProvider({ store: store.tasks, host: new Gone(), clock });
  await next.recover();
  const record = await ended(next, "second");
  assert.deepEqual([record.state, record.reason], ["failed", "plugin_not_found"]);
  await next.close();
  await provider.close();
});

test("money is reserved before the run, settled after it, and released when there is no result", async () => {
  const entries: string[] = [];
  const ledger: Ledger = {
    reserve(quote) {
      entries.push(`reserve ${quote.inputBytes}`);
      if (quote.inputBytes === 13) throw new NodeError("failed_precondition", "no credit");
      return {
        prepare: ({ id }, usage) => void entries.push(`prepare ${id} ${usage.inputBytes}`),
        settle: (usage: Usage) => void entries.push(`settle ${usage.inputBytes}`),
        release: () => void entries.push("release"),
      };
    },
  };
  const { provider, host } = setUp({ ledger, maxRunning: 1, maxQueued: 0 });
  const seen = async (work: Promise<unknown>) => {
    await work.catch(() => {});
    return entries.splice(0);
  };
  for (const id of ["", "named"]) {
    assert.deepEqual(await seen(provider.run(spec({ id, input: "12" }), caller())), [
      "reserve 2",
      ...id === "" ? [] : ["prepare named 2"],
      "settle 2",
    ]);
    assert.deepEqual(await seen(provider.run(spec({ id: id && "f", function: "fail" }), caller())), [
      "reserve 0",
      "release",
    ]);
    assert.deepEqual(await seen(provider.run(spec({ id: id && "x", input: "1".repeat(13) }), caller())), [
      "reserve 13",
    ]);
  }
  assert.deepEqual(
    await seen(provider.run(spec({ id: "named", input: "12" }), caller())),
    [],
    "a replay costs nothing",
  );
  const stream = readAll(provider.runStream(spec(), (async function* () {})(), caller()));
  assert.deepEqual(await seen(stream), ["reserve undefined", "settle 0"]);
  const running = provider.submit(spec({ id: "r", function: "gate" }), caller());
  const gate = await host.reached(1);
  await running;
  assert.deepEqual(entries.splice(0), ["reserve 0"]);
  assert.deepEqual(await seen(provider.run(spec(), caller())), ["reserve 0", "release"], "overloaded");
  assert.deepEqual(await seen(provider.submit(spec({ id: "q" }), caller())), ["reserve 0", "release"], "overloaded");
  await seen(provider.cancel("r", caller()));
  assert.equal(gate.call.signal.aborted, true);
  await provider.close();
});

test("a result that cannot be stored fails the task, which is stored as soon as it can be", async () => {
  const memory = openMemoryStore();
  let full = false;
  const store: TaskStore = {
    get: (key) => memory.tasks.get(key),
    body: (task: StoredTask, part) => memory.tasks.body(task, part),
    list: (range) => memory.tasks.list(range),
    room: (requester) => memory.tasks.room(requester),
    unfinished: (after, limit) => memory.tasks.unfinished(after, limit),
    expired: (now, limit) => memory.tasks.expired(now, limit),
    write: (changes: readonly TaskChange[], options) =>
      full
        ? Promise.reject(new NodeError("storage_full", "The disk is full", { retryAfterMs: 5 }))
        : memory.tasks.write(changes, options),
  };
  const host = new FakeHost();
  const provider = testProvider({ store, host });
  const call = provider.run(spec({ id: "big", function: "gate", input: "x" }), caller());
  const gate = await host.reached(1);
  full = true;
  gate.open();
  await assert.rejects(call, failure("storage_full", /disk is full/));
  assert.equal((await provider.get("big", caller())).reason, "storage_full");
  await assert.rejects(
    provider.run(spec({ id: "big", function: "gate", input: "x" }), caller()),
    failure("storage_full"),
  );
  await assert.rejects(provider.submit(spec({ id: "other" }), caller()), failure("storage_full"));
  await assert.rejects(provider.get("other", caller()), failure("not_found"));
  assert.equal(
    (await provider.run(spec({ input: "quick" }), caller())).output.length,
    5,
    "nothing to store, nothing to fail",
  );
  await provider.sweep();
  full = false;
  await provider.sweep();
  const record = (await memory.tasks.get({ requester: ALICE, id: "big" }))!.record;
  assert.deepEqual([record.state, record.reason], ["failed", "storage_full"]);
  assert.deepEqual(memory.tasks.totals(), { tasks: 1, inputBytes: 0, outputBytes: 0 });
  assert.equal((await provider.submit(spec({ id: "other" }), caller())).id, "other");
  await ended(provider, "other");
  assert.equal(host.calls.length, 3);
  await provider.close();
});

test("a caller's deadline bounds the run", async () => {
  const { host, clock, provider } = setUp();
  await provider.run(spec({ limits: { timeoutMs: 5000 } }), { ...caller(), deadlineAt: clock.now() + 1200 });
  assert.equal(host.calls[0]!.limits.timeoutMs, 1200);
  await provider.run(spec({ limits: { timeoutMs: 500 } }), { ...caller(), deadlineAt: clock.now() + 1200 });
  assert.equal(host.calls[1]!.limits.timeoutMs, 500);
  await assert.rejects(
    provider.run(spec(), { ...caller(), deadlineAt: clock.now() }),
    failure("deadline_exceeded", /deadline/),
  );
  assert.equal(host.calls.length, 2);
  await provider.close();
});

test("a caller that has gone before it called starts nothing", async () => {
  const { host, provider, store } = setUp();
  const gone = caller(ALICE, AbortSignal.abort());
  for (const id of ["", "named"]) await assert.rejects(provider.run(spec({ id }), gone), failure("canceled"));
  await assert.rejects(readAll(provider.runStream(spec(), (async function* () {})(), gone)), failure("canceled"));
  assert.equal(host.calls.length, 0);
  assert.equal(store.tasks.totals().tasks, 0);
  await provider.close();
});

test("a waiting caller who goes away leaves the queue", async () => {
  const { host, provider } = setUp({ maxRunning: 1 });
  await provider.submit(spec({ id: "first", function: "gate" }), caller());
  const gate = await host.reached(1);
  const leaving = new AbortController();
  const calls = ["", "named"].map((id) => provider.run(spec({ id }), caller(ALICE, leaving.signal)));
  await provider.list({ states: [], pageSize: 1, pageToken: "" }, caller());
  leaving.abort();
  for (const call of calls) await assert.rejects(call, failure("canceled"));
  assert.equal((await ended(provider, "named")).state, "canceled");
  gate.open();
  await ended(provider, "first");
  assert.equal(host.calls.length, 1);
  await provider.close();
});

test("a plugin that ignores being stopped does not hold its caller", async () => {
  const { host, provider } = setUp();
  const leaving = new AbortController();
  const call = provider.run(spec({ id: "deaf", function: "stubborn" }), caller(ALICE, leaving.signal));
  const gate = await host.reached(1);
  leaving.abort();
  await assert.rejects(call, failure("canceled"));
  gate.open();
  assert.equal((await ended(provider, "deaf")).state, "succeeded", "what has run has run");
  await provider.close();
});
