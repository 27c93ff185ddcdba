import assert from "node:assert/strict";
import {
  type CallContext,
  newSecretKey,
  type NodeDescriber,
  nodeKeyOf,
  noMetrics,
  silentLog,
  systemClock,
} from "../../src/core/mod.ts";
import { RepeatableInput } from "../../src/rpc/client/repeatable-input.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { AllowList, Authenticator, createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../../src/rpc/mod.ts";
import { caller, readAll, spec } from "../contract-suites/task-fixtures.ts";
import { test, type TestScope } from "../testing.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";
import { FRONTS } from "./harness.ts";

const key = nodeKeyOf(newSecretKey());
const [friend, stranger] = [nodeKeyOf(newSecretKey()), nodeKeyOf(newSecretKey())];

/** A server that serves one node only. */
async function serve(t: TestScope) {
  const tasks = new FakeTasks();
  const node: NodeDescriber = {
    describe: () => ({ ...fakeNode.describe(), nodeId: key.nodeId }),
    sign: (message) => key.sign(message),
  };
  const server = createRpcServer({
    tasks,
    node,
    health: new HealthState(true),
    log: silentLog,
    metrics: noMetrics,
    clock: systemClock,
    limits: DEFAULT_RPC_LIMITS,
    frontThreads: FRONTS,
    authenticator: new Authenticator({ self: key.nodeId, chainId: 0, clock: systemClock }),
    allow: new AllowList([friend.nodeId.toLowerCase() as `0x${string}`]),
  });
  t.after(() => server.close({ graceMs: 0 }));
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  return { tasks, target: `127.0.0.1:${port}` };
}

function dial(t: TestScope, target: string, who?: typeof key) {
  const peers = createPeers(who === undefined ? { requester: friend.nodeId } : { requester: who.nodeId, key: who });
  t.after(() => peers.close());
  return { tasks: peers.dial(target), peers };
}

const ctx = (): CallContext => caller(friend.nodeId);

test("a node with a list serves those on it, who sign once they are asked to", async (t) => {
  const { tasks, target } = await serve(t);
  const { tasks: remote } = dial(t, target, friend);
  await remote.run(spec(), ctx());
  await remote.submit(spec({ id: "t1" }), ctx());
  async function* input() {
    yield new Uint8Array(1);
  }
  await readAll(remote.runStream(spec(), input(), ctx()));
  assert.deepEqual(tasks.contexts.map(({ requester, authenticated }) => [requester, authenticated]), [
    [friend.nodeId, true],
    [friend.nodeId, true],
    [friend.nodeId, true],
  ]);
});

test("calls side by side that find out together that they must sign are all served", async (t) => {
  const { tasks, target } = await serve(t);
  const { tasks: remote } = dial(t, target, friend);
  const submitting = ["a", "b", "c"].map((id) => remote.submit(spec({ id }), ctx()));
  const running = Array.from({ length: 8 }, () => remote.run(spec(), ctx()));
  await Promise.all([...submitting, ...running]);
  assert.equal(tasks.contexts.length, 11);
});

test("it serves nobody else, whatever name they give, and tells everybody who it is", async (t) => {
  const { tasks, target } = await serve(t);
  const other = dial(t, target, stranger);
  await assert.rejects(other.tasks.run(spec(), ctx()), { code: "permission_denied", message: /rpc\.allow/ });
  await assert.rejects(other.tasks.submit(spec(), ctx()), { code: "permission_denied" });
  const nameless = dial(t, target);
  await assert.rejects(nameless.tasks.run(spec(), ctx()), { code: "unauthenticated", message: /sign the call/ });
  const called = await fetch(`http://${target}/resources.Provider/RequestTaskExecution`, {
    method: "POST",
    headers: { "content-type": "application/json", "velas-requester": friend.nodeId },
    body: JSON.stringify({ id: "1", input: "hello" }),
  });
  assert.equal(called.status, 401, await called.text());
  assert.equal(tasks.contexts.length, 0);
  assert.equal((await nameless.peers.info(target, new AbortController().signal)).nodeId, key.nodeId);
});

test("a stream is sent again, signed, from its beginning", async (t) => {
  const { tasks, target } = await serve(t);
  const { tasks: remote } = dial(t, target, friend);
  let closed = 0;
  async function* input() {
    try {
      for (let i = 0; i < 5; i++) yield new Uint8Array(100_000).fill(i);
    } finally {
      closed++;
    }
  }
  assert.ok((await readAll(remote.runStream(spec(), input(), ctx()))).length > 0);
  assert.equal(tasks.contexts.length, 1);
  assert.equal(closed, 1);
});

test("what is kept of a stream is bounded, and what was taken comes again in its order", async () => {
  const taken: number[] = [];
  async function* numbers() {
    for (let i = 0; i < 40; i++) {
      taken.push(i);
      yield i;
    }
  }
  const input = new RepeatableInput(numbers());
  const first = input[Symbol.asyncIterator]();
  for (let i = 0; i < 10; i++) await first.next();
  assert.equal(input.repeatable, true);
  const second: number[] = [];
  for await (const one of input) {
    second.push(one);
    if (one === 5) input.accept();
  }
  assert.deepEqual(second, Array.from({ length: 40 }, (_, i) => i));
  assert.deepEqual(taken, second);
  const long = new RepeatableInput(numbers());
  const iterator = long[Symbol.asyncIterator]();
  for (let i = 0; i < 16; i++) await iterator.next();
  assert.equal(long.repeatable, true);
  await iterator.next();
  assert.equal(long.repeatable, false);
});
