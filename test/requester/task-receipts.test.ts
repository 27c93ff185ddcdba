import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createReceiptSigner,
  NodeError,
  nodeKeyOf,
  type TaskReceipt,
  type TaskRecord,
  type TaskResult,
  type TaskService,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskRequester, type Ledger } from "../../src/requester/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { ALICE, caller, ended, failure, readAll, spec } from "../contract-suites/task-fixtures.ts";
import { FakeClock, testProvider } from "../provider/test-node.ts";
import { recordingLog } from "../rest/harness.ts";
import type { TestScope } from "../testing.ts";

const PEER = "peer:8081";
const key = nodeKeyOf(new Uint8Array(32).fill(7));
const stranger = createReceiptSigner(nodeKeyOf(new Uint8Array(32).fill(8)));

type Forge = (receipt: TaskReceipt, of: TaskRecord | TaskResult) => TaskReceipt | undefined;

/** A requester, and a provider that signs, whose receipts can be forged on the way. */
function setUp(
  t: TestScope,
  { forge = (receipt) => receipt, ledger = freeLedger, nodeAt }: {
    forge?: Forge;
    ledger?: Ledger;
    nodeAt?: () => Promise<typeof key.nodeId>;
  } = {},
) {
  const clock = new FakeClock();
  const provider = testProvider({
    store: openMemoryStore().tasks,
    host: new FakeHost(),
    clock,
    receipts: createReceiptSigner(key),
  });
  const local = testProvider({ store: openMemoryStore().tasks, host: new FakeHost(), clock });
  const forged = <T extends TaskRecord | TaskResult>(given: T): T => {
    const { receipt, ...rest } = given;
    const other = receipt && forge(receipt, given);
    return { ...rest, ...(other && { receipt: other }) } as T;
  };
  const service: TaskService = {
    run: async (...args) => forged(await provider.run(...args)),
    submit: async (...args) => forged(await provider.submit(...args)),
    get: async (...args) => forged(await provider.get(...args)),
    cancel: async (...args) => forged(await provider.cancel(...args)),
    list: (...args) => provider.list(...args),
    output: async (...args) => forged(await provider.output(...args)),
    watch: (...args) => forgedEvents(provider.watch(...args)),
    runStream: (...args) => forgedEvents(provider.runStream(...args)),
  };
  async function* forgedEvents(events: ReturnType<TaskService["watch"]>) {
    for await (const event of events) yield event.type === "state" ? { ...event, task: forged(event.task) } : event;
  }
  const dissents: string[] = [];
  const log = recordingLog();
  const requester = createTaskRequester({
    self: ALICE,
    local,
    dial: () => service,
    store: openMemoryStore().requests,
    ledger,
    clock,
    log,
    nodeAt: nodeAt ?? (() => Promise.resolve(key.nodeId)),
    onDissent: (target, error) => dissents.push(`${target} ${error.code}`),
  });
  t.after(() => Promise.all([requester.close(), provider.close(), local.close()]));
  return { at: requester.at(PEER), own: requester.at(""), dissents, log };
}

/** What forged receipts are refused for. */
const FORGERIES: readonly (readonly [Forge, RegExp])[] = [
  [(receipt) => ({ ...receipt, signature: `0x${"00".repeat(64)}` }), /is not signed by/],
  [(receipt) => ({ ...receipt, taskId: "other" }), /names the task "other"/],
  [(receipt) => ({ ...receipt, outputSha256: receipt.inputSha256.replace(/^./, "_") }), /names the output/],
  [(receipt) => ({ ...receipt, usage: { ...receipt.usage, wallMicros: receipt.usage.wallMicros + 1 } }), /wallMicros/],
  [
    (receipt) =>
      stranger.sign({ ...receipt, id: receipt.taskId, resolvedPlugin: receipt.plugin } as unknown as TaskRecord),
    /names the provider .*, and .* is there/,
  ],
];

test("a submitted task's receipt comes with its record and is kept; lists do without", async (t) => {
  const { at, own, dissents } = setUp(t);
  await at.submit(spec({ id: "r1", input: "hello" }), caller());
  const { receipt } = await ended(at, "r1");
  assert.equal(receipt!.provider, key.nodeId);
  assert.equal(receipt!.taskId, "r1");
  assert.deepEqual((await own.get("r1", caller())).receipt, receipt);
  assert.deepEqual((await own.output("r1", caller())).receipt, receipt);
  const { tasks } = await own.list({ states: [], pageSize: 10, pageToken: "" }, caller());
  assert.deepEqual(tasks.map(({ id, receipt }) => [id, receipt]), [["r1", undefined]]);
  assert.deepEqual(dissents, []);
});

test("a synchronous task has a receipt when it has an id, the same when it is replayed", async (t) => {
  const { at } = setUp(t);
  const first = await at.run(spec({ id: "r1", input: "hello" }), caller());
  const again = await at.run(spec({ id: "r1", input: "hello" }), caller());
  assert.equal(again.replayed, true);
  assert.equal(first.receipt!.taskId, "r1");
  assert.deepEqual(again.receipt, first.receipt);
  assert.equal((await at.run(spec({ input: "hello" }), caller())).receipt, undefined);
});

test("a forged receipt fails the run, and nothing is paid for it", async (t) => {
  for (const [forge, message] of FORGERIES) {
    const ends: string[] = [];
    const ledger: Ledger = {
      reserve: () => ({ commit: () => void ends.push("commit"), release: () => void ends.push("release") }),
    };
    const { at, dissents } = setUp(t, { forge, ledger });
    await assert.rejects(at.run(spec({ id: "r1", input: "hello" }), caller()), failure("target_misbehaved", message));
    assert.deepEqual(ends, ["release"]);
    assert.deepEqual(dissents, [`${PEER} target_misbehaved`]);
  }
});

test("a forged receipt fails a submitted task, and one on a stream", async (t) => {
  for (const [forge, message] of FORGERIES) {
    const { at, own } = setUp(t, { forge });
    await at.submit(spec({ id: "r1", input: "hello" }), caller());
    const { state, reason, message: said, receipt, usage } = await ended(at, "r1");
    assert.deepEqual([state, reason, receipt, usage], ["failed", "target_misbehaved", undefined, undefined]);
    assert.match(said!, message);
    assert.equal((await own.get("r1", caller())).state, "failed");
    const input = (async function* () {
      yield new TextEncoder().encode("hello");
    })();
    const last = (await readAll(at.runStream(spec({ id: "s1" }), input, caller()))).at(-1);
    assert.ok(last?.type === "state");
    assert.equal(last.task.reason, "target_misbehaved");
  }
});

test("a provider that signs nothing, or cannot be asked who it is, gives results without receipts", async (t) => {
  const none = setUp(t, { forge: () => undefined });
  const result = await none.at.run(spec({ id: "r1", input: "hello" }), caller());
  assert.equal(result.receipt, undefined);
  const silent = setUp(t, { nodeAt: () => Promise.reject(new NodeError("target_unreachable", "Nobody there")) });
  const other = await silent.at.run(spec({ id: "r1", input: "hello" }), caller());
  assert.equal(other.receipt, undefined);
  assert.equal(new TextDecoder().decode(other.output), "hello");
  assert.ok(silent.log.lines.some(({ message }) => message.startsWith("A receipt is not kept")));
});
