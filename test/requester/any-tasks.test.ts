import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import {
  type CallContext,
  gpuNeeded,
  NodeError,
  type PeerNeed,
  silentLog,
  type TaskService,
  type TaskSpec,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskRequester } from "../../src/requester/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { ALICE, BOB, caller, ended, readAll, spec } from "../contract-suites/task-fixtures.ts";
import { FakeClock, testProvider } from "../provider/test-node.ts";
import type { TestScope } from "../testing.ts";

const UNREACHED = new NodeError("target_unreachable", "No connection", { data: { requestSent: false } });

type Input = AsyncIterable<Uint8Array>;

/** What a provider gives that refuses a stream once it has the first of its input. */
function refusing(fault: NodeError, input: Input): AsyncIterable<never> {
  return {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const reading = input[Symbol.asyncIterator]();
        await reading.next();
        // As senders do that are ahead of the refusal.
        reading.next().catch(() => {});
        throw fault;
      },
    }),
  };
}

/** The same piece again and again; tells when its reader lets go of it. */
async function* endless(piece: Uint8Array, onClose: () => void): AsyncGenerator<Uint8Array> {
  try {
    for (;;) yield await Promise.resolve(piece);
  } finally {
    onClose();
  }
}

async function* noInput(): AsyncGenerator<Uint8Array> {}

/** A requester, providers at `a:1`, `b:1` and so on, and faults that a test puts before them. */
function swarm(t: TestScope, names = ["a:1", "b:1", "c:1", "d:1"], withoutGpu: readonly string[] = []) {
  const faults = new Map<string, NodeError>();
  const calls: string[] = [];
  /** Those of what was sent that allow no GPU. */
  const gpuless: string[] = [];
  const needs: PeerNeed[] = [];
  const made = (): TaskService => {
    const provider = testProvider({ host: new FakeHost(), store: openMemoryStore().tasks });
    t.after(() => provider.close());
    return provider;
  };
  const providers = new Map(names.map((name) => [name, made()]));
  const dial = (target: string) =>
    new Proxy(providers.get(target)!, {
      get: (service, name: keyof TaskService) => (...args: unknown[]) => {
        calls.push(`${name} ${target}`);
        if ((args[0] as TaskSpec).limits?.noGpu === true) gpuless.push(target);
        const fault = faults.get(target);
        if (fault !== undefined) {
          return name === "runStream" ? refusing(fault, args[1] as Input) : Promise.reject(fault);
        }
        return (service[name] as (...args: unknown[]) => unknown)(...args);
      },
    });
  const requester = createTaskRequester({
    self: ALICE,
    local: made(),
    dial,
    store: openMemoryStore().requests,
    ledger: freeLedger,
    clock: new FakeClock(),
    log: silentLog,
    chooser: {
      choose: (need) => {
        needs.push(need);
        return Promise.resolve(names.map((target) => ({ target, noGpu: withoutGpu.includes(target) })));
      },
    },
  });
  t.after(() => requester.close());
  return { requester, faults, calls, needs, gpuless };
}

const ctx = (): CallContext => caller(BOB);

test("any() runs a task at the best provider, with what the task asks for as the need", async (t) => {
  const { requester, calls, needs } = swarm(t);
  const any = requester.any({ region: "eu" });
  const result = await any.run(spec({ id: "t1", limits: { timeoutMs: 500 } }), ctx());
  assert.equal(result.id, "t1");
  assert.deepEqual(calls, ["run a:1"]);
  const { plugin, function: fn, input } = spec();
  assert.deepEqual(needs, [{
    region: "eu",
    plugin,
    function: fn,
    limits: { timeoutMs: 500 },
    inputBytes: input.length,
  }]);
});

test("any() tries the next provider when one surely has not begun, three at most", async (t) => {
  for (const method of ["run", "submit"] as const) {
    const { requester, faults, calls } = swarm(t);
    faults.set("a:1", UNREACHED);
    faults.set("b:1", new NodeError("overloaded", "The queue is full"));
    await requester.any({})[method](spec({ id: "t1" }), ctx());
    assert.deepEqual(calls, [`${method} a:1`, `${method} b:1`, `${method} c:1`]);
    const found = await ended(requester.at(""), method === "run" ? "none" : "t1", ctx()).catch(() => undefined);
    assert.equal(found?.target, method === "run" ? undefined : "c:1");
    faults.set("c:1", UNREACHED);
    await assert.rejects(requester.any({})[method](spec({ id: "t2" }), ctx()), { code: "target_unreachable" });
    assert.equal(calls.filter((call) => call.endsWith("d:1")).length, 0);
  }
});

test("any() sends a task whose price is right only without a GPU so, and to the next provider when that needs one", async (t) => {
  for (const method of ["run", "submit", "runStream"] as const) {
    const { requester, faults, calls, gpuless } = swarm(t, ["a:1", "b:1", "c:1"], ["a:1", "b:1"]);
    faults.set("a:1", gpuNeeded("ml"));
    const any = requester.any({});
    const named = spec(method === "submit" ? { id: "t1" } : {});
    if (method === "runStream") await readAll(any.runStream(named, noInput(), ctx()));
    else await any[method](named, ctx());
    assert.deepEqual([calls, gpuless], [[`${method} a:1`, `${method} b:1`], ["a:1", "b:1"]]);
  }
});

test("any() tries the next provider when one has no room for the task's module, and not when a result found none", async (t) => {
  const data = { taskSent: false };
  for (const code of ["storage_full", "input_too_large"] as const) {
    const { requester, faults, calls } = swarm(t);
    faults.set("a:1", new NodeError(code, "No room for the module", { data }));
    await requester.any({}).run(spec({ id: "t1" }), ctx());
    assert.deepEqual(calls, ["run a:1", "run b:1"]);
    faults.set("a:1", new NodeError(code, "The disk is full"));
    await assert.rejects(requester.any({}).run(spec({ id: "t2" }), ctx()), { code });
    assert.deepEqual(calls.slice(2), ["run a:1"]);
  }
});

test("any() does not try another provider when one may have begun, or the task itself failed", async (t) => {
  const faults = [
    new NodeError("target_unreachable", "The connection was lost", { data: { requestSent: true } }),
    new NodeError("target_misbehaved", "It lied"),
    new NodeError("plugin_failed", "No"),
    new NodeError("deadline_exceeded", "Late"),
  ];
  for (const fault of faults) {
    const { requester, calls, faults } = swarm(t);
    faults.set("a:1", fault);
    await assert.rejects(requester.any({}).run(spec({ id: "t1" }), ctx()), { code: fault.code });
    assert.deepEqual(calls, ["run a:1"]);
  }
});

test("any() sends the same id to the same provider again, whoever is best by then", async (t) => {
  const names = ["a:1", "b:1"];
  const { requester, calls } = swarm(t, names);
  const any = requester.any({});
  await any.run(spec({ id: "t1" }), ctx());
  await any.submit(spec({ id: "t2" }), ctx());
  names.reverse();
  assert.equal((await any.run(spec({ id: "t1" }), ctx())).replayed, true);
  await any.submit(spec({ id: "t2" }), ctx());
  await any.run(spec({ id: "t3" }), ctx());
  const begun = calls.filter((call) => /^(?:run|submit) /.test(call));
  assert.ok(begun.slice(0, -1).every((call) => call.endsWith(" a:1")), calls.join());
  assert.equal(calls.at(-1), "run b:1");
});

test("any() streams to the best provider, and fails at the first read when none fits", async (t) => {
  const { requester, calls } = swarm(t);
  async function* input() {
    yield spec().input;
  }
  const events = await readAll(
    requester.any({}).runStream(spec({ input: "" }), input(), ctx()),
  );
  assert.ok(events.length > 0);
  assert.deepEqual(calls, ["runStream a:1"]);
});

test("any() streams the whole input to the next provider when one surely has not begun", async (t) => {
  const { requester, faults, calls } = swarm(t);
  faults.set("a:1", UNREACHED);
  faults.set("b:1", new NodeError("storage_full", "No room for the module", { data: { taskSent: false } }));
  const pieces = ["a", "bc", "", "d"];
  async function* input() {
    for (const piece of pieces) yield await Promise.resolve(Buffer.from(piece));
  }
  const events = await readAll(requester.any({}).runStream(spec({ input: "", function: "echo" }), input(), ctx()));
  assert.deepEqual(calls, ["runStream a:1", "runStream b:1", "runStream c:1"]);
  const output = events.flatMap((event) => event.type === "chunk" ? [event.bytes] : []);
  assert.equal(Buffer.concat(output).toString(), "abcd");
});

test("any() streams to one provider only when it may have begun, or when too much of the input has gone to it", async (t) => {
  const large = new Uint8Array(2 << 20);
  const cases = [
    [new NodeError("plugin_failed", "No"), Buffer.from("a")],
    [UNREACHED, large],
  ] as const;
  for (const [fault, piece] of cases) {
    const { requester, faults, calls } = swarm(t);
    faults.set("a:1", fault);
    const closed = Promise.withResolvers<void>();
    const events = requester.any({}).runStream(spec({ input: "" }), endless(piece, closed.resolve), ctx());
    await assert.rejects(readAll(events), { code: fault.code });
    assert.deepEqual(calls, ["runStream a:1"]);
    await closed.promise;
  }
});
