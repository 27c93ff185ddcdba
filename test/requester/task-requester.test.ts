import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CallContext,
  isGpuNeeded,
  NodeError,
  type RequesterId,
  silentLog,
  type TaskEvent,
  type TaskService,
  type Usage,
} from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskRequester, type Ledger } from "../../src/requester/mod.ts";
import { openMemoryStore, type Store } from "../../src/storage/mod.ts";
import { FakeHost } from "../contract-suites/fake-host.ts";
import { ALICE, BOB, caller, ended, failure, readAll, spec } from "../contract-suites/task-service.ts";
import { FakeClock, testProvider } from "../provider/test-node.ts";

const PEER = "peer:8081";
const SELF = ALICE;

/** The way to a provider, which can break. */
class Wire {
  /** Nobody answers. */
  down = false;
  /** The call arrives and its answer does not. */
  deaf = false;
  readonly #service: TaskService;
  readonly calls: string[] = [];
  readonly requesters = new Set<RequesterId>();

  constructor(service: TaskService) {
    this.#service = service;
  }

  get service(): TaskService {
    const broken = new NodeError("target_unreachable", `${PEER} does not answer`);
    const isDown = () => this.down;
    const note = (name: string, args: readonly unknown[]) => {
      this.calls.push(name);
      this.requesters.add((args.at(-1) as CallContext).requester);
    };
    return new Proxy(this.#service, {
      get: (service, name: keyof TaskService) => {
        const method = (service[name] as (...args: unknown[]) => unknown).bind(service);
        if (name === "watch" || name === "runStream") {
          return async function* (...args: unknown[]) {
            note(name, args);
            if (isDown()) throw broken;
            yield* method(...args) as AsyncIterable<TaskEvent>;
          };
        }
        return async (...args: unknown[]) => {
          note(name, args);
          if (this.down) throw broken;
          const result = await method(...args);
          if (this.deaf) throw broken;
          return result;
        };
      },
    });
  }
}

/** A node, and a peer of it behind a wire. */
function setUp(options: { store?: Store; ledger?: Ledger; retentionMs?: number; service?: TaskService } = {}) {
  const clock = new FakeClock();
  const store = options.store ?? openMemoryStore();
  const host = new FakeHost();
  const local = testProvider({ store: store.tasks, host, clock });
  const peerStore = openMemoryStore();
  const peerHost = new FakeHost();
  const peer = testProvider({ store: peerStore.tasks, host: peerHost, clock });
  const wire = new Wire(options.service ?? peer);
  const waits: number[] = [];
  const make = () =>
    createTaskRequester({
      self: SELF,
      local,
      dial: () => options.service ?? wire.service,
      store: store.requests,
      ledger: options.ledger ?? freeLedger,
      clock,
      log: silentLog,
      ...(options.retentionMs !== undefined && { retentionMs: options.retentionMs }),
      async wait(timeMs) {
        waits.push(timeMs);
        // The peer comes back while this node waits for the third time.
        if (waits.length === 3) wire.down = false;
        await Promise.resolve();
      },
    });
  const requester = make();
  return {
    clock,
    store,
    host,
    peer,
    peerHost,
    wire,
    waits,
    make,
    requester,
    own: requester.at(""),
    there: requester.at(PEER),
    async close() {
      await requester.close();
      await local.close();
      await peer.close();
    },
  };
}

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

/** Leaves a submission in the store as a process does that ended before the answer came. */
async function leaveSending(store: Store, id: string, plugin = ""): Promise<void> {
  const { promise: never } = Promise.withResolvers<never>();
  const { promise: sent, resolve } = Promise.withResolvers<void>();
  const service = {
    submit() {
      resolve();
      return never;
    },
  } as unknown as TaskService;
  const node = setUp({ store, service });
  void node.there.submit(spec({ id, plugin, input: "left" }), caller());
  await sent;
  await node.close();
}

test("recover() sends again what was not acknowledged, until the provider answers", async () => {
  const store = openMemoryStore();
  await leaveSending(store, "one");
  await leaveSending(store, "two");
  const node = setUp({ store });
  node.wire.down = true;
  assert.equal((await node.own.get("one", caller())).state, "queued");
  assert.equal(await node.requester.recover(), 2);
  while (node.peerHost.calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(node.waits, [1000, 2000, 4000]);
  for (const id of ["one", "two"]) assert.equal((await ended(node.own, id)).state, "succeeded");
  assert.equal(new TextDecoder().decode(node.peerHost.calls[0]!.input as Uint8Array), "left");
  assert.deepEqual(await store.requests.sending("", 10), []);
  await node.close();
});

test("a submission that is refused after a restart is kept as failed", async () => {
  const store = openMemoryStore();
  await leaveSending(store, "bad", "none");
  const node = setUp({ store });
  await node.requester.recover();
  while ((await store.requests.sending("", 1)).length > 0) await new Promise((resolve) => setImmediate(resolve));
  const record = await node.own.get("bad", caller());
  assert.deepEqual([record.state, record.reason], ["failed", "plugin_not_found"]);
  await node.close();
});

test("old requests are forgotten", async () => {
  const node = setUp({ retentionMs: 1000 });
  await node.there.submit(spec({ id: "old" }), caller());
  node.clock.advance(600);
  await node.there.submit(spec({ id: "young" }), caller());
  node.clock.advance(400);
  await node.requester.sweep();
  assert.deepEqual((await node.store.requests.getMany(["old", "young"])).map((r) => r?.record.id), ["old", "young"]);
  node.clock.advance(1);
  await node.requester.sweep();
  assert.deepEqual((await node.store.requests.getMany(["old", "young"])).map((r) => r?.record.id), [
    undefined,
    "young",
  ]);
  await node.close();
});

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
