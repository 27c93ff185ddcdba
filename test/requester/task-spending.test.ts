import assert from "node:assert/strict";
import { test } from "node:test";
import { isGpuNeeded, NodeError, type TaskService, type Usage } from "../../src/core/mod.ts";
import type { Ledger } from "../../src/requester/mod.ts";
import { caller, ended, failure, readAll, spec } from "../contract-suites/task-fixtures.ts";
import { PEER, setUp } from "./task-wire.ts";

test("money is reserved before a task is sent, committed for a good result, released otherwise", async () => {
  const entries: string[] = [];
  const ledger: Ledger = {
    reserve(order) {
      assert.equal(order.target, PEER);
      entries.push("reserve");
      if (order.function === "dear") throw new NodeError("failed_precondition", "over the cap");
      return {
        commit: (usage: Usage) => void entries.push(`commit ${usage.inputBytes}`),
        release: () => void entries.push("release"),
      };
    },
  };
  const node = setUp({ ledger });
  const { there, own, wire, peerHost } = node;
  const seen = async (work: Promise<unknown>) => {
    await work.catch(() => {});
    return entries.splice(0);
  };
  assert.deepEqual(await seen(there.run(spec({ input: "12" }), caller())), ["reserve", "commit 2"]);
  assert.deepEqual(await seen(there.run(spec({ function: "fail" }), caller())), ["reserve", "release"]);
  assert.deepEqual(await seen(there.run(spec({ function: "dear" }), caller())), ["reserve"]);
  assert.equal(wire.calls.length, 2, "what cannot be paid is not sent");
  await there.submit(spec({ id: "far", function: "gate", input: "123" }), caller());
  assert.deepEqual(entries.splice(0), ["reserve"]);
  (await peerHost.reached(1)).open();
  await ended(own, "far");
  assert.deepEqual(entries.splice(0), ["commit 3"]);
  await own.get("far", caller());
  assert.deepEqual(await seen(there.submit(spec({ id: "none", plugin: "none" }), caller())), ["reserve", "release"]);
  assert.deepEqual(await seen(there.submit(spec({ id: "dear", function: "dear" }), caller())), ["reserve"]);
  await node.close();
});

test("a stream is paid when it has succeeded, and not when its reader leaves", async () => {
  const entries: string[] = [];
  const ledger: Ledger = {
    reserve: () => ({ commit: () => void entries.push("commit"), release: () => void entries.push("release") }),
  };
  const { peer } = setUp();
  const node = setUp({ ledger, service: peer });
  const input = () => (async function* () {})();
  await readAll(node.there.runStream(spec(), input(), caller()));
  await readAll(node.there.runStream(spec({ function: "fail" }), input(), caller()));
  const events = node.there.runStream(spec({ function: "gate" }), input(), caller())[Symbol.asyncIterator]();
  await events.next();
  await events.return!();
  assert.deepEqual(entries, ["commit", "release", "release"]);
  await node.close();
  await peer.close();
});

test("an answer that cannot be is not trusted and not paid", async () => {
  const result = {
    id: "other",
    output: new Uint8Array(11),
    contentType: "",
    usage: { wallMicros: 1, inputBytes: 1, outputBytes: 1, instructions: 0 },
    replayed: false,
  };
  const service = { run: () => Promise.resolve(result) } as unknown as TaskService;
  const node = setUp({ service });
  await assert.rejects(
    node.there.run(spec({ id: "mine" }), caller()),
    failure("target_misbehaved", /"other" for mine/),
  );
  await assert.rejects(
    node.there.run(spec({ limits: { outputBytes: 10 } }), caller()),
    failure("target_misbehaved", /11 bytes where at most 10/),
  );
  await node.there.run(spec({ limits: { outputBytes: 11 } }), caller());
  await node.close();
});

/** Sets nothing aside for a GPU until it hears that a provider's plugin works on one. */
function gpuLedger() {
  const entries: string[] = [];
  let known = false;
  const ledger: Ledger = {
    reserve({ limits }) {
      const noGpu = limits.noGpu ?? !known;
      entries.push(noGpu ? "without" : "with");
      return {
        ...(noGpu && { noGpu }),
        commit: () => void entries.push("commit"),
        release: (error) => {
          known ||= isGpuNeeded(error);
          entries.push(isGpuNeeded(error) ? "refused" : "release");
        },
      };
    },
  };
  const forget = () => known = false;
  return { ledger, entries, forget };
}

test("a task is sent with money for a GPU once its provider says that the plugin works on one, and runs once", async () => {
  const { ledger, entries, forget } = gpuLedger();
  const { there, peerHost, wire, close } = setUp({ ledger });
  const of = async (work: () => Promise<unknown>) => {
    await work();
    return entries.splice(0).join(" ");
  };
  const input = async function* () {
    yield await Promise.resolve(new TextEncoder().encode("12"));
  };
  const kinds: Record<string, () => Promise<unknown>> = {
    quick: () => there.run(spec({ input: "12" }), caller()),
    stored: () => there.run(spec({ id: "stored", input: "12" }), caller()),
    submitted: async () => {
      await there.submit(spec({ id: "submitted", input: "12" }), caller());
      assert.equal((await ended(there, "submitted")).state, "succeeded");
    },
    stream: async () => {
      const events = await readAll(there.runStream(spec(), input(), caller()));
      assert.ok(events.some((event) => event.type === "state" && event.task.state === "succeeded"));
    },
  };
  assert.equal(await of(kinds["quick"]!), "without commit");
  assert.equal(await of(kinds["stream"]!), "without commit");
  assert.equal(wire.calls.length, 2);
  assert.deepEqual(peerHost.calls.map(({ limits }) => limits.noGpu), [true, true]);
  peerHost.calls.length = 0;
  peerHost.gpu = true;
  for (const [kind, send] of Object.entries(kinds)) {
    forget();
    assert.equal(await of(send), "without refused with commit", kind);
  }
  assert.deepEqual(peerHost.calls.map(({ limits }) => limits.noGpu), [undefined, undefined, undefined, undefined]);
  // Known now: nothing is sent twice.
  assert.equal(await of(kinds["quick"]!), "with commit");
  // Who allows no GPU hears of it.
  await assert.rejects(there.run(spec({ limits: { noGpu: true } }), caller()), isGpuNeeded);
  assert.equal(entries.splice(0).join(" "), "without refused");
  await assert.rejects(there.submit(spec({ id: "none", limits: { noGpu: true } }), caller()), isGpuNeeded);
  assert.equal(entries.splice(0).join(" "), "without release");
  await close();
});

test("a submitted task keeps across a restart whether a GPU is paid for, and one that its provider has with a GPU is paid with it", async () => {
  const { ledger, entries, forget } = gpuLedger();
  const { requester, there, peerHost, wire, make, close } = setUp({ ledger });
  await there.submit(spec({ id: "plain", function: "gate" }), caller());
  peerHost.gpu = true;
  await there.submit(spec({ id: "onGpu", function: "gate" }), caller());
  assert.equal(entries.splice(0).join(" "), "without without refused with");
  // The answer is lost, and with the process what it knew.
  wire.deaf = true;
  await assert.rejects(there.submit(spec({ id: "deaf", function: "gate" }), caller()));
  assert.equal(entries.splice(0).join(" "), "with");
  wire.deaf = false;
  await requester.close();
  forget();
  const next = make();
  await next.recover();
  assert.deepEqual(entries.splice(0).sort(), ["with", "without"]);
  await next.at(PEER).submit(spec({ id: "deaf", function: "gate" }), caller());
  assert.equal(entries.splice(0).join(" "), "without release with");
  await next.close();
  await close();
});
