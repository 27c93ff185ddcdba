import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeError, type NodeId, type TaskResult, type TaskService, type VerifyWish } from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskRequester, type Ledger } from "../../src/requester/mod.ts";
import { VerifiedTasks } from "../../src/requester/verified-tasks.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { ALICE, BOB, caller, spec } from "../contract-suites/task-fixtures.ts";
import { FakeClock, testProvider } from "../provider/test-node.ts";
import { recordingLog } from "../rest/harness.ts";
import type { TestScope } from "../testing.ts";

/** What a provider does with a result, instead of giving it as it is. */
type Fault = (result: Promise<TaskResult>, signal: AbortSignal) => Promise<TaskResult>;

const lie: Fault = async (result) => ({ ...await result, output: new TextEncoder().encode("lie") });
const otherLie: Fault = async (result) => ({ ...await result, output: new TextEncoder().encode("other lie") });
const otherType: Fault = async (result) => ({ ...await result, contentType: "text/html" });
const meter = (instructions: number): Fault => async (result) => {
  const given = await result;
  return { ...given, usage: { ...given.usage, instructions } };
};
const fail = (error: NodeError): Fault => () => Promise.reject(error);
const unreached = fail(new NodeError("target_unreachable", "No connection", { data: { requestSent: false } }));
/** Never answers, whatever its signal says. */
const hang: Fault = () => new Promise(() => {});

const nodeId = (digit: string): NodeId => `0x${digit.repeat(40)}`;

/** A requester and providers at `a:1`, `b:1` and so on, each with a fault or none. */
function swarm(
  t: TestScope,
  faults: Readonly<Record<string, Fault>> = {},
  { names = ["a:1", "b:1", "c:1"], ledger = freeLedger }: { names?: string[]; ledger?: Ledger } = {},
) {
  const calls: string[] = [];
  const dissents: [target: string, error: NodeError][] = [];
  const nodes = new Map(names.map((name, place) => [name, nodeId(String(place + 1))]));
  const log = recordingLog();
  const made = (): TaskService => {
    const provider = testProvider({ host: new FakeHost(), store: openMemoryStore().tasks });
    t.after(() => provider.close());
    return provider;
  };
  const providers = new Map(names.map((name) => [name, made()]));
  const requester = createTaskRequester({
    self: ALICE,
    local: made(),
    dial: (target) => {
      const provider = providers.get(target)!;
      return {
        ...provider,
        run: (task, ctx) => {
          calls.push(`${target} ${task.id}`.trim());
          const result = provider.run(task, ctx);
          result.catch(() => {});
          return faults[target] === undefined ? result : faults[target](result, ctx.signal);
        },
      };
    },
    store: openMemoryStore().requests,
    ledger,
    clock: new FakeClock(),
    log,
    chooser: { choose: () => Promise.resolve(names.map((target) => ({ target }))) },
    nodeAt: (target) => Promise.resolve(nodes.get(target)!),
    onDissent: (target, error) => dissents.push([target, error]),
  });
  t.after(() => requester.close());
  /** The same without waiting for those that are late. */
  const hasty = (wish: VerifyWish) =>
    new VerifiedTasks({
      wish,
      chooser: undefined,
      at: (target) => requester.at(target),
      nodeAt: undefined,
      onDissent: (target, error) => dissents.push([target, error]),
      log,
      now: () => Date.now(),
      graceMs: 1,
    });
  return { requester, hasty, calls, dissents, nodes, log };
}

/** Where calls went, in alphabetical order. */
const targetsOf = (calls: readonly string[]) => calls.map((call) => call.split(" ")[0]).sort();

const ctx = () => caller(BOB);
const THREE: VerifyWish = { replicas: 3, targets: ["a:1", "b:1", "c:1"] };

test("providers that agree give one result, each having run the task under an id of its own", async (t) => {
  const { requester, calls, dissents } = swarm(t);
  const result = await requester.verified(THREE).run(spec({ id: "t1", input: "hello" }), ctx());
  assert.equal(new TextDecoder().decode(result.output), "hello");
  assert.equal(result.id, "t1");
  assert.deepEqual(result.verification, { agreed: 3, asked: 3, dissenters: [], failed: [] });
  assert.deepEqual(calls.sort(), ["a:1 t1~1", "b:1 t1~2", "c:1 t1~3"]);
  assert.deepEqual(dissents, []);
});

test("one that lies, about output or media type, is outvoted, named, logged and told of", async (t) => {
  for (const fault of [lie, otherType]) {
    const { requester, dissents, log } = swarm(t, { "b:1": fault });
    const result = await requester.verified({ replicas: 3 }).run(spec({ input: "hello" }), ctx());
    assert.equal(new TextDecoder().decode(result.output), "hello");
    assert.deepEqual(result.verification, { agreed: 2, asked: 3, dissenters: ["b:1"], failed: [] });
    const [[target, error]] = dissents as [[string, NodeError]];
    assert.equal(target, "b:1");
    assert.equal(error.code, "target_misbehaved");
    assert.equal(dissents.length, 1);
    assert.ok(log.lines.some(({ fields }) => fields?.["target"] === "b:1"));
  }
});

test("one that fails is told apart from one that lies", async (t) => {
  const { requester, dissents } = swarm(t, { "c:1": fail(new NodeError("internal", "Broken")) });
  const { verification } = await requester.verified(THREE).run(spec(), ctx());
  assert.deepEqual(verification, {
    agreed: 2,
    asked: 3,
    dissenters: [],
    failed: [{ target: "c:1", code: "internal" }],
  });
  assert.deepEqual(dissents, []);
});

test("without a majority the error says who said what, and nobody is told of", async (t) => {
  const faults: Record<string, Fault>[] = [
    { "b:1": lie, "c:1": otherLie },
    { "b:1": lie, "c:1": fail(new NodeError("overloaded", "Full")) },
  ];
  for (const fault of faults) {
    const { requester, dissents } = swarm(t, fault);
    await assert.rejects(requester.verified(THREE).run(spec(), ctx()), (error: NodeError) => {
      assert.equal(error.code, "target_misbehaved");
      assert.match(error.message, /a:1 gave [0-9a-f]{12}… .*b:1 gave [0-9a-f]{12}… .*c:1 (?:gave|failed \(overloaded)/);
      return true;
    });
    assert.deepEqual(dissents, []);
  }
  const { requester } = swarm(t, { "b:1": lie });
  const tie = requester.verified({ replicas: 2, targets: ["a:1", "b:1"] });
  await assert.rejects(tie.run(spec(), ctx()), { code: "target_misbehaved" });
});

test("of a task that depends on the clock agreement is qualified, and nobody is told of who differs", async (t) => {
  const clocked = (fault?: Fault): Fault => async (result, signal) => ({
    ...await (fault?.(result, signal) ?? result),
    nondeterministic: ["clock"],
  });
  const some = swarm(t, { "a:1": clocked(), "b:1": clocked(), "c:1": clocked(lie) });
  const { verification } = await some.requester.verified(THREE).run(spec({ input: "hello" }), ctx());
  assert.deepEqual([verification.agreed, verification.dissenters], [2, ["c:1"]]);
  assert.deepEqual(verification.nondeterministic, ["clock"]);
  assert.deepEqual(some.dissents, []);

  const none = swarm(t, { "a:1": clocked(), "b:1": clocked(lie), "c:1": clocked(otherLie) });
  await assert.rejects(none.requester.verified(THREE).run(spec({ input: "hello" }), ctx()), {
    code: "failed_precondition",
    message: /cannot verify this task, since its result depends on more than its input \(clock\)/,
  });
  assert.deepEqual(none.dissents, []);

  // Only those that most agree with can excuse it.
  const excuse = swarm(t, { "c:1": clocked(lie) });
  await excuse.requester.verified(THREE).run(spec({ input: "hello" }), ctx());
  assert.equal(excuse.dissents.length, 1);
});

test("when too few answer, the error is what most of the others failed with", async (t) => {
  const { requester } = swarm(t, { "b:1": unreached, "c:1": unreached });
  await assert.rejects(requester.verified(THREE).run(spec(), ctx()), {
    code: "target_unreachable",
    message: /a:1 gave .*b:1 failed \(target_unreachable: No connection\)/,
  });
  await assert.rejects(swarm(t).requester.verified(THREE).run(spec({ function: "fail" }), ctx()), {
    code: "plugin_failed",
  });
});

test("others stand in for providers that cannot begin, and for a node that was asked under another address", async (t) => {
  const names = ["a:1", "b:1", "c:1", "d:1", "e:1"];
  const { requester, calls, nodes } = swarm(t, { "a:1": unreached }, { names });
  nodes.set("c:1", nodes.get("b:1")!);
  const { verification } = await requester.verified({ replicas: 3, targets: names }).run(spec(), ctx());
  assert.deepEqual(verification, { agreed: 3, asked: 3, dissenters: [], failed: [] });
  // Each run has an id of its own, so that its provider keeps it and signs a receipt.
  assert.ok(calls.every((call) => /^.:1 [0-9A-Z]{26}~[123]$/.test(call)), calls.join());
  assert.deepEqual(targetsOf(calls), names.filter((name) => name !== "c:1"));

  const alone = swarm(t, {}, { names: ["a:1", "b:1"] });
  alone.nodes.set("b:1", alone.nodes.get("a:1")!);
  await assert.rejects(alone.requester.verified({ replicas: 2 }).run(spec(), ctx()), {
    code: "failed_precondition",
    message: /b:1 is the same node as a:1/,
  });
  assert.equal(alone.calls.length, 1);
});

test("each run is paid for by itself, and a cap that is reached holds", async (t) => {
  const paid: string[] = [];
  const freed: string[] = [];
  const ledger: Ledger = {
    reserve: ({ target }) => {
      if (target === "c:1") throw new NodeError("cap_reached", "It would cost more than the cap");
      return { commit: () => void paid.push(target), release: () => void freed.push(target) };
    },
  };
  const { requester, calls } = swarm(t, { "b:1": fail(new NodeError("internal", "Broken")) }, { ledger });
  const wish = { replicas: 3, targets: ["a:1", "b:1", "c:1"] };
  await assert.rejects(requester.verified(wish).run(spec(), ctx()), {
    code: "internal",
    message: /a:1 gave .*; b:1 failed \(internal: Broken\); c:1 failed \(cap_reached/,
  });
  assert.deepEqual([paid, freed, targetsOf(calls)], [["a:1"], ["b:1"], ["a:1", "b:1"]]);
});

test("meters that differ are noted, and are no dispute", async (t) => {
  const cases: [Record<string, Fault>, boolean | undefined][] = [
    [{ "a:1": meter(5), "b:1": meter(5) }, true],
    [{ "a:1": meter(5), "b:1": meter(6) }, false],
    [{ "a:1": meter(5) }, undefined],
  ];
  for (const [faults, meterAgreed] of cases) {
    const { requester, dissents } = swarm(t, faults);
    const { verification } = await requester.verified(THREE).run(spec(), ctx());
    assert.equal(verification.agreed, 3);
    assert.equal(verification.meterAgreed, meterAgreed);
    assert.deepEqual(dissents, []);
  }
});

test("one that never answers holds up nobody once most agree", async (t) => {
  const { hasty } = swarm(t, { "a:1": hang });
  const { verification } = await hasty(THREE).run(spec(), ctx());
  assert.deepEqual(verification.failed, [{ target: "a:1", code: "canceled" }]);
  assert.equal(verification.agreed, 2);
});

test("the caller's cancel and deadline end it, and cancel the runs", async (t) => {
  for (const code of ["canceled", "deadline_exceeded"] as const) {
    const signals: AbortSignal[] = [];
    const stop = new AbortController();
    const wait: Fault = (_, signal) => {
      signals.push(signal);
      if (signals.length === 3) stop.abort(new NodeError(code, "Enough"));
      return new Promise(() => {});
    };
    const { requester, dissents } = swarm(t, { "a:1": wait, "b:1": wait, "c:1": wait });
    const running = requester.verified(THREE).run(spec(), { ...ctx(), signal: stop.signal });
    await assert.rejects(running, { code, message: "Enough" });
    assert.ok(signals.every(({ aborted }) => aborted));
    assert.deepEqual(dissents, []);
  }
  const { requester, calls } = swarm(t);
  const before = { ...ctx(), signal: AbortSignal.abort(new NodeError("canceled", "Gone")) };
  await assert.rejects(requester.verified(THREE).run(spec(), before), { code: "canceled" });
  assert.deepEqual(calls, []);
});

test("wishes that make no sense are refused by name", async (t) => {
  const { requester, calls } = swarm(t);
  const wishes: [VerifyWish, RegExp][] = [
    [{ replicas: 1 }, /2 to 7 replicas, not 1/],
    [{ replicas: 8 }, /not 8/],
    [{ replicas: 2.5 }, /not 2.5/],
    [{ replicas: 2, targets: ["a:1"] }, /2 replicas take 2 targets/],
    [{ replicas: 2, targets: ["a:1", "A:1"] }, /a:1 is named twice/],
    [{ replicas: 2, targets: ["a:1", "b"] }, /Cannot read the target "b": it has no port/],
    [{ replicas: 2, targets: ["a:1", "b:1"], wish: {} }, /not both/],
  ];
  for (const [wish, message] of wishes) {
    assert.throws(() => requester.verified(wish), { code: "invalid_argument", message });
  }
  await assert.rejects(requester.verified({ replicas: 4 }).run(spec(), ctx()), {
    code: "no_peer_fits",
    message: /only 3 of those known fit/,
  });
  await assert.rejects(requester.verified(THREE).run(spec({ id: "x".repeat(127) }), ctx()), {
    code: "invalid_argument",
    message: /at most 126/,
  });
  assert.deepEqual(calls, []);
});
