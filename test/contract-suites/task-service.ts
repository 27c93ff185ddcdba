import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type CallContext,
  isEnd,
  NodeError,
  type RequesterId,
  silentLog,
  systemClock,
  type TaskEvent,
  type TaskRecord,
  type TaskService,
  type TaskSpec,
} from "../../src/core/mod.ts";
import { noMetrics } from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskProvider, type TaskSettings } from "../../src/provider/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeHost, join } from "./fake-host.ts";

export const ALICE: RequesterId = "0x00000000000000000000000000000000000000A1";
export const BOB: RequesterId = "0x00000000000000000000000000000000000000B2";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A spec with defaults. */
export function spec(fields: Partial<Omit<TaskSpec, "input">> & { readonly input?: string } = {}): TaskSpec {
  return {
    id: "",
    plugin: "",
    function: "",
    contentType: "",
    limits: {},
    priority: 0,
    ...fields,
    input: encoder.encode(fields.input ?? ""),
  };
}

/** A caller who stays. */
export function caller(
  requester: RequesterId = ALICE,
  signal: AbortSignal = new AbortController().signal,
): CallContext {
  return { requester, signal, requestId: "test" };
}

/** Matches a NodeError with this code, for `assert.rejects`. */
export function failure(code: string, message = /./): (error: unknown) => true {
  return (error) => {
    assert(error instanceof NodeError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

/** All events of a stream. */
export async function readAll(events: AsyncIterable<TaskEvent>): Promise<TaskEvent[]> {
  const all: TaskEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

/** Waits for a task's end. */
export async function ended(service: TaskService, id: string, ctx: CallContext = caller()): Promise<TaskRecord> {
  for await (const event of service.watch(id, ctx)) {
    if (event.type === "state" && isEnd(event.task.state)) return event.task;
  }
  throw new Error("the events ended without an end state");
}

function output(events: readonly TaskEvent[]): string {
  const pieces = events.filter((event) => event.type === "chunk").map((event) => event.bytes);
  return decoder.decode(join(pieces));
}

function states(events: readonly TaskEvent[]): string[] {
  return events.filter((event) => event.type === "state").map((event) => event.task.state);
}

async function* pieces(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield encoder.encode(text);
}

/** A way to a task service: `service` gives what `connect` was given, over whatever lies between. */
export interface Connection {
  readonly service: TaskService;
  close(): Promise<void>;
}

/**
 * What holds for every {@link TaskService}. `connect` puts the subject in front of a provider that runs on a fake host in this
 * process, such as an RPC server and client; calls must arrive with their requester.
 */
export function taskServiceContract(name: string, connect: (local: TaskService) => Promise<Connection>): void {
  const it = (
    sentence: string,
    settings: Partial<TaskSettings>,
    body: (s: TaskService, h: FakeHost) => Promise<void>,
  ) =>
    test(`${name}: ${sentence}`, async () => {
      const host = new FakeHost();
      const store = openMemoryStore();
      const provider = createTaskProvider({
        store: store.tasks,
        host,
        ledger: freeLedger,
        clock: systemClock,
        log: silentLog,
        metrics: noMetrics,
        ...settings,
      });
      const { service, close } = await connect(provider);
      try {
        await body(service, host);
      } finally {
        await close();
        await provider.close();
        await store.close();
      }
    });

  it("run() without an id returns the output", {}, async (service) => {
    const result = await service.run(spec({ input: "hello" }), caller());
    assert.equal(decoder.decode(result.output), "hello");
    assert.equal(result.contentType, "text/plain");
    assert.equal(result.usage.inputBytes, 5);
    assert.equal(result.replayed, false);
    assert.match(result.id, /^[0-9A-Z]{26}$/);
  });

  it("run() takes an empty input and gives an empty output", {}, async (service) => {
    assert.equal((await service.run(spec(), caller())).output.length, 0);
    assert.equal((await service.run(spec({ id: "empty" }), caller())).output.length, 0);
    const again = await service.run(spec({ id: "empty" }), caller());
    assert.equal(again.output.length, 0);
    assert.equal(again.replayed, true);
  });

  it("run() hands plugin, function, limits and content type to the host", {}, async (service, host) => {
    const limits = { timeoutMs: 1234, memoryBytes: 1 << 20, outputBytes: 99, instructions: 5_000_000_000 };
    await service.run(
      spec({ plugin: "fake", function: "echo", contentType: "text/csv", limits, input: "x" }),
      caller(),
    );
    const call = host.calls[0]!;
    assert.deepEqual(call.limits, limits);
    assert.equal(call.contentType, "text/csv");
  });

  it("run() fails with what the plugin reported", {}, async (service) => {
    await assert.rejects(
      service.run(spec({ function: "fail", input: "no" }), caller()),
      failure("plugin_failed", /says: no/),
    );
    await assert.rejects(
      service.run(spec({ id: "f", function: "fail", input: "no" }), caller()),
      failure("plugin_failed", /says: no/),
    );
  });

  it("run() does not tell what went wrong within the node", {}, async (service) => {
    await assert.rejects(service.run(spec({ function: "internal" }), caller()), (error) => {
      failure("internal")(error);
      assert.doesNotMatch(String(error), /secret/);
      return true;
    });
  });

  it("unknown plugins and functions are named in the error", {}, async (service) => {
    await assert.rejects(service.run(spec({ plugin: "nope" }), caller()), failure("plugin_not_found", /nope/));
    await assert.rejects(service.run(spec({ function: "nope" }), caller()), failure("function_not_found", /nope/));
    await assert.rejects(service.submit(spec({ plugin: "nope" }), caller()), failure("plugin_not_found", /nope/));
    await assert.rejects(service.run(spec({ id: "x", plugin: "nope" }), caller()), failure("plugin_not_found", /nope/));
    await assert.rejects(service.get("x", caller()), failure("not_found"));
  });

  it("limits above the node's are refused with value and maximum", {
    maxLimits: { timeoutMs: 1000, memoryBytes: 1000, outputBytes: 1000, instructions: 1000, inputBytes: 10 },
  }, async (service) => {
    await service.run(spec({ limits: { timeoutMs: 1000 } }), caller());
    for (const name of ["timeoutMs", "memoryBytes", "outputBytes", "instructions"]) {
      const refused = failure(
        "invalid_argument",
        new RegExp(`limits.${name} is 1001, and this node allows at most 1000`),
      );
      await assert.rejects(service.run(spec({ limits: { [name]: 1001 } }), caller()), refused);
      await assert.rejects(service.submit(spec({ limits: { [name]: 1001 } }), caller()), refused);
    }
    await service.run(spec({ input: "0123456789" }), caller());
    await assert.rejects(
      service.run(spec({ input: "0123456789a" }), caller()),
      failure("input_too_large", /11 bytes.*10/),
    );
  });

  it("malformed ids and priorities are refused", {}, async (service) => {
    for (const id of ["a/b", "ä", "x".repeat(129), "a b"]) {
      await assert.rejects(service.submit(spec({ id }), caller()), failure("invalid_argument"));
    }
    await service.submit(spec({ id: "x".repeat(128) }), caller());
    for (const priority of [-101, 101]) {
      await assert.rejects(service.submit(spec({ priority }), caller()), failure("invalid_argument", /priority|-?101/));
    }
    await service.submit(spec({ priority: -100 }), caller());
    await service.submit(spec({ priority: 100 }), caller());
  });

  it("the same task runs once and is answered again", {}, async (service, host) => {
    const task = spec({ id: "same", input: "one" });
    const first = await service.run(task, caller());
    const second = await service.run(task, caller());
    assert.deepEqual([first.replayed, second.replayed], [false, true]);
    assert.deepEqual([...second.output], [...first.output]);
    assert.deepEqual(second.usage, first.usage);
    assert.equal(host.calls.length, 1);
  });

  it("another input, function, limit or content type under the same id is refused", {}, async (service, host) => {
    await service.run(spec({ id: "same", input: "one" }), caller());
    const others = [
      { input: "two" },
      { input: "one", function: "echo" },
      { input: "one", limits: { timeoutMs: 5 } },
      { input: "one", contentType: "text/csv" },
    ];
    for (const other of others) {
      const task = spec({ id: "same", ...other });
      await assert.rejects(service.run(task, caller()), failure("already_exists", /same/));
      await assert.rejects(service.submit(task, caller()), failure("already_exists"));
    }
    await service.run(spec({ id: "same", input: "one", priority: 5 }), caller());
    assert.equal(host.calls.length, 1);
  });

  it("ids of different requesters are different tasks", {}, async (service, host) => {
    await service.run(spec({ id: "mine", input: "a" }), caller(ALICE));
    await service.run(spec({ id: "mine", input: "b" }), caller(BOB));
    assert.equal(host.calls.length, 2);
    assert.equal(decoder.decode((await service.output("mine", caller(ALICE))).output), "a");
    await service.run(spec({ id: "alices" }), caller(ALICE));
    for (const read of [service.get("alices", caller(BOB)), service.output("alices", caller(BOB))]) {
      await assert.rejects(read, failure("not_found", /alices/));
    }
    await assert.rejects(service.cancel("alices", caller(BOB)), failure("not_found"));
    await assert.rejects(readAll(service.watch("alices", caller(BOB))), failure("not_found"));
  });

  it("100 calls of the same task at once run it once and all get the result", {}, async (service, host) => {
    const task = spec({ id: "crowd", function: "gate", input: "all" });
    const calls = Array.from({ length: 100 }, () => service.run(task, caller()));
    (await host.reached(1)).open();
    const results = await Promise.all(calls);
    assert(results.every((result) => decoder.decode(result.output) === "all"));
    assert.equal(host.calls.length, 1);
  });

  it("a failed task is not run again", {}, async (service, host) => {
    const task = spec({ id: "bad", function: "fail", input: "no" });
    await assert.rejects(service.run(task, caller()), failure("plugin_failed"));
    await assert.rejects(service.run(task, caller()), (error) => {
      failure("plugin_failed", /says: no/)(error);
      assert.equal((error as NodeError).retryable, false);
      return true;
    });
    assert.equal(host.calls.length, 1);
  });

  it("submit() answers before the task has run, and get() follows it to its end", {}, async (service, host) => {
    const submitted = await service.submit(spec({ function: "gate", input: "later", priority: 7 }), caller());
    assert.match(submitted.id, /^[0-9A-Z]{26}$/);
    assert.equal(isEnd(submitted.state), false);
    assert.equal(submitted.priority, 7);
    assert.equal(submitted.requester, ALICE);
    const gate = await host.reached(1);
    assert.equal((await service.get(submitted.id, caller())).state, "running");
    await assert.rejects(service.output(submitted.id, caller()), failure("failed_precondition", /running/));
    gate.open();
    const record = await ended(service, submitted.id);
    assert.equal(record.state, "succeeded");
    assert.equal(record.resolvedPlugin, "fake@1.0.0");
    assert.equal(record.attempts, 1);
    assert.equal(record.outputContentType, "text/plain");
    assert(record.createdAt <= record.startedAt! && record.startedAt! <= record.finishedAt!);
    assert(record.expiresAt! > record.finishedAt!);
    assert.equal(record.inputSha256, record.outputSha256);
    assert.deepEqual(await service.get(submitted.id, caller()), record);
    const result = await service.output(submitted.id, caller());
    assert.equal(decoder.decode(result.output), "later");
    assert.equal(result.replayed, true);
  });

  it("submit() of a known task returns its record", {}, async (service, host) => {
    const task = spec({ id: "twice", input: "x" });
    await service.submit(task, caller());
    await ended(service, "twice");
    assert.equal((await service.submit(task, caller())).state, "succeeded");
    assert.equal(host.calls.length, 1);
  });

  it("a failed task has no output, and says why", {}, async (service) => {
    await service.submit(spec({ id: "bad", function: "fail", input: "no" }), caller());
    const record = await ended(service, "bad");
    assert.equal(record.state, "failed");
    assert.equal(record.reason, "plugin_failed");
    assert.match(record.message!, /says: no/);
    await assert.rejects(service.output("bad", caller()), failure("failed_precondition", /failed/));
  });

  it("an output over the cap goes to the caller and is not kept", { maxStoredOutputBytes: 100 }, async (service) => {
    assert.equal((await service.run(spec({ id: "fits", function: "big", input: "100" }), caller())).output.length, 100);
    assert.equal((await service.output("fits", caller())).output.length, 100);
    assert.equal((await service.run(spec({ id: "over", function: "big", input: "101" }), caller())).output.length, 101);
    assert.equal((await service.get("over", caller())).state, "succeeded");
    await assert.rejects(service.output("over", caller()), failure("failed_precondition", /101 bytes.*100/));
    await assert.rejects(
      service.run(spec({ id: "over", function: "big", input: "101" }), caller()),
      failure("failed_precondition", /101 bytes.*100/),
    );
  });

  it("who has as much kept as one requester may is refused with the cure, and others are not", {
    maxStoredBytesPerRequester: 2200,
  }, async (service) => {
    await service.run(spec({ id: "one", function: "big", input: "100" }), caller());
    await service.run(spec({ id: "two", function: "big", input: "100" }), caller());
    const refused = failure(
      "storage_full",
      /take 22\d\d of 2200 bytes \(tasks.maxStoredBytesPerRequester\).*without an id/,
    );
    await assert.rejects(service.run(spec({ id: "three", function: "echo" }), caller()), refused);
    await assert.rejects(service.submit(spec({ id: "three", function: "echo" }), caller()), refused);
    // What was kept still answers, what is not kept runs, and another requester has room of his own.
    assert.equal((await service.run(spec({ id: "one", function: "big", input: "100" }), caller())).output.length, 100);
    await service.run(spec({ id: "", function: "echo" }), caller());
    await service.run(spec({ id: "three", function: "echo" }), caller(BOB));
  });

  it("of submissions at once no more are kept than there is room for", {
    maxStoredBytesPerRequester: 3000,
  }, async (service) => {
    const all = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => service.submit(spec({ id: `t${i}`, function: "echo" }), caller())),
    );
    const kept = all.filter(({ status }) => status === "fulfilled").length;
    assert.ok(kept > 0 && kept <= 3, `${kept}`);
  });

  it("a node that keeps as much as it may keeps no more tasks", { maxStoredBytes: 1100 }, async (service) => {
    await service.run(spec({ id: "one", function: "big", input: "100" }), caller());
    await assert.rejects(
      service.run(spec({ id: "one", function: "echo" }), caller(BOB)),
      failure("storage_full", /of 1100 bytes \(tasks.maxStoredBytes\)/),
    );
  });

  it("list() gives the caller's tasks, newest first, in pages", {}, async (service) => {
    for (let i = 0; i < 7; i++) {
      await service.submit(spec({ id: `t${i}`, function: i % 2 === 0 ? "echo" : "fail" }), caller());
      await ended(service, `t${i}`);
      // Ids decide among tasks of the same millisecond, so that the order is known either way.
    }
    await service.submit(spec({ id: "other" }), caller(BOB));
    const query = { states: [], pageSize: 3, pageToken: "" };
    const seen: string[] = [];
    let pageToken = "";
    let pages = 0;
    do {
      const page = await service.list({ ...query, pageToken }, caller());
      seen.push(...page.tasks.map((task) => task.id));
      pageToken = page.nextPageToken;
      pages++;
    } while (pageToken !== "");
    assert.deepEqual(seen, ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]);
    assert.equal(pages, 3);
    const failed = await service.list({ states: ["failed"], pageSize: 1000, pageToken: "" }, caller());
    assert.deepEqual(failed.tasks.map((task) => task.id), ["t5", "t3", "t1"]);
    assert.equal(failed.nextPageToken, "");
    assert.deepEqual((await service.list({ ...query, states: ["queued"] }, caller())).tasks, []);
  });

  it("list() refuses page sizes and tokens that cannot be", {}, async (service) => {
    for (const pageToken of ["x", "0".repeat(12), "../../etc", "!"]) {
      await assert.rejects(
        service.list({ states: [], pageSize: 10, pageToken }, caller()),
        failure("invalid_argument", /page token/),
      );
    }
    await assert.rejects(
      service.list({ states: [], pageSize: 1001, pageToken: "" }, caller()),
      failure("invalid_argument"),
    );
  });

  it(
    "watch() tells who comes late the newest progress, and the last 64 lines of 16 Ki characters",
    {},
    async (service, host) => {
      await service.submit(spec({ id: "w", function: "gate" }), caller());
      const { call, open } = await host.reached(1);
      const say = (message: string) => call.onEvent?.({ type: "log", level: "info", message, at: 1 });
      const heard = async () => {
        const words: string[] = [];
        for await (const event of service.watch("w", caller())) {
          if (event.type === "log") words.push(event.message);
          if (event.type === "progress") return [...words, String(event.fraction)];
        }
        return words;
      };
      for (let i = 0; i < 70; i++) say(`line ${i}`);
      for (const fraction of [0.25, 0.5]) call.onEvent?.({ type: "progress", fraction, message: "", at: 1 });
      assert.deepEqual(await heard(), [...Array.from({ length: 64 }, (_, i) => `line ${i + 6}`), "0.5"]);
      for (const letter of ["a", "b", "c"]) say(letter.repeat(6000));
      assert.deepEqual(await heard(), ["b".repeat(6000), "c".repeat(6000), "0.5"]);
      open();
      await ended(service, "w");
    },
  );

  it("watch() begins with the present state and ends with the last", {}, async (service, host) => {
    await service.submit(spec({ id: "w", function: "gate" }), caller());
    const gate = await host.reached(1);
    const watching = readAll(service.watch("w", caller()));
    const seen: string[] = [];
    for await (const event of service.watch("w", caller())) {
      assert.equal(event.type, "state");
      if (event.type === "state") seen.push(event.task.state);
      if (seen.length === 1) gate.open();
    }
    assert.deepEqual(seen, ["running", "succeeded"]);
    assert.equal(states(await watching).at(-1), "succeeded");
    assert.deepEqual(states(await readAll(service.watch("w", caller()))), ["succeeded"]);
    await assert.rejects(readAll(service.watch("none", caller())), failure("not_found", /none/));
  });

  it("cancel() stops a running task and reaches the plugin", {}, async (service, host) => {
    await service.submit(spec({ id: "c", function: "gate" }), caller());
    const gate = await host.reached(1);
    const record = await service.cancel("c", caller());
    assert.equal(gate.call.signal.aborted, true);
    assert.equal(record.state, "canceled");
    assert.equal(record.reason, "canceled");
    assert.deepEqual(await service.cancel("c", caller()), record);
    await assert.rejects(service.output("c", caller()), failure("failed_precondition", /canceled/));
    await assert.rejects(service.cancel("none", caller()), failure("not_found"));
  });

  it("cancel() takes a waiting task out of the queue", { maxRunning: 1 }, async (service, host) => {
    await service.submit(spec({ id: "first", function: "gate" }), caller());
    const gate = await host.reached(1);
    await service.submit(spec({ id: "second" }), caller());
    assert.equal((await service.get("second", caller())).state, "queued");
    assert.equal((await service.cancel("second", caller())).state, "canceled");
    gate.open();
    await ended(service, "first");
    assert.equal(host.calls.length, 1);
  });

  it("cancel() of a finished task changes nothing", {}, async (service) => {
    await service.run(spec({ id: "done" }), caller());
    const before = await service.get("done", caller());
    assert.deepEqual(await service.cancel("done", caller()), before);
  });

  it("a caller who goes away stops a synchronous task", {}, async (service, host) => {
    for (const [index, id] of ["", "named"].entries()) {
      const caring = new AbortController();
      const call = service.run(spec({ id, function: "gate" }), caller(ALICE, caring.signal));
      const rejected = assert.rejects(call, failure("canceled"));
      const gate = await host.reached(index + 1);
      const stopped = new Promise((resolve) => gate.call.signal.addEventListener("abort", resolve));
      caring.abort(new NodeError("canceled", "The caller hung up"));
      await rejected;
      await stopped;
    }
    assert.equal((await ended(service, "named")).state, "canceled");
  });

  it("a caller who goes away leaves a task to those who joined it", {}, async (service, host) => {
    const caring = new AbortController();
    const task = spec({ id: "shared", function: "gate", input: "both" });
    const first = service.run(task, caller(ALICE, caring.signal));
    const rejected = assert.rejects(first, failure("canceled"));
    const gate = await host.reached(1);
    const second = service.submit(task, caller());
    await second;
    caring.abort(new NodeError("canceled", "The caller hung up"));
    await rejected;
    assert.equal(gate.call.signal.aborted, false);
    gate.open();
    assert.equal((await ended(service, "shared")).state, "succeeded");
  });

  it("a full queue refuses with the time to try again", { maxRunning: 1, maxQueued: 2 }, async (service, host) => {
    const waiting = [service.submit(spec({ id: "r", function: "gate" }), caller())];
    const gate = await host.reached(1);
    waiting.push(service.submit(spec({ id: "q1" }), caller()), service.submit(spec({ id: "q2" }), caller()));
    await Promise.all(waiting);
    for (const refused of [service.run(spec(), caller()), service.submit(spec({ id: "q3" }), caller())]) {
      await assert.rejects(refused, (error) => {
        failure("overloaded", /tasks.maxQueued/)(error);
        assert((error as NodeError).retryAfterMs! >= 100);
        return (error as NodeError).retryable;
      });
    }
    await assert.rejects(service.get("q3", caller()), failure("not_found"));
    gate.open();
    assert.equal((await ended(service, "q2")).state, "succeeded");
    await service.submit(spec({ id: "q3" }), caller());
  });

  it("runStream() streams input and output, and ends with a state", {}, async (service) => {
    const events = await readAll(
      service.runStream(spec({ function: "words" }), pieces("one ", "two ", "three"), caller()),
    );
    assert.equal(output(events), "one two three");
    assert(events.some((event) => event.type === "progress"));
    const last = events.at(-1)!;
    assert(last.type === "state" && last.task.state === "succeeded");
    assert.equal(last.task.usage!.inputBytes, 13);
  });

  it("runStream() gives the output of a plugin that does not stream", {}, async (service) => {
    const events = await readAll(service.runStream(spec(), pieces("ab", "cd"), caller()));
    assert.equal(output(events), "abcd");
  });

  it("runStream() ends with the state of a failed task", {}, async (service) => {
    const events = await readAll(service.runStream(spec({ function: "fail" }), pieces("no"), caller()));
    const last = events.at(-1)!;
    assert(last.type === "state" && last.task.state === "failed" && last.task.reason === "plugin_failed");
  });

  it("runStream() refuses what run() refuses", {}, async (service) => {
    await assert.rejects(
      readAll(service.runStream(spec({ limits: { timeoutMs: 1e12 } }), pieces(), caller())),
      failure("invalid_argument"),
    );
  });

  it("runStream() refuses an input over the limit", {
    maxLimits: { timeoutMs: 1000, memoryBytes: 1000, outputBytes: 1000, instructions: 1000, inputBytes: 10 },
  }, async (service) => {
    const events = await readAll(service.runStream(spec({ function: "words" }), pieces("012345", "6789a"), caller()));
    const last = events.at(-1)!;
    assert(last.type === "state" && last.task.reason === "input_too_large", JSON.stringify(last));
    await assert.rejects(
      readAll(service.runStream(spec({ id: "s", function: "words" }), pieces("012345", "6789a"), caller())),
      failure("input_too_large"),
    );
  });

  it("runStream() with an id is the same task as run()", {}, async (service, host) => {
    const task = spec({ id: "both", function: "words" });
    const events = await readAll(service.runStream(task, pieces("one ", "two"), caller()));
    assert.equal(output(events), "one two");
    const again = await readAll(service.runStream(task, pieces("one two"), caller()));
    assert.equal(output(again), "one two");
    assert.deepEqual(states(again), ["succeeded"]);
    assert.equal(
      (await service.run(spec({ id: "both", function: "words", input: "one two" }), caller())).replayed,
      true,
    );
    await assert.rejects(readAll(service.runStream(task, pieces("other"), caller())), failure("already_exists"));
    assert.equal(host.calls.length, 1);
  });

  it("runStream() is stopped when its reader goes away", {}, async (service, host) => {
    const caring = new AbortController();
    const reading = readAll(service.runStream(spec({ function: "gate" }), pieces("x"), caller(ALICE, caring.signal)));
    const rejected = assert.rejects(reading, failure("canceled"));
    const gate = await host.reached(1);
    const stopped = new Promise((resolve) => gate.call.signal.addEventListener("abort", resolve));
    caring.abort(new NodeError("canceled", "The caller hung up"));
    await rejected;
    await stopped;
  });
}
