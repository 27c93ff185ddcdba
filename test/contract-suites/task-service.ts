import assert from "node:assert/strict";
import { test } from "node:test";
import { isEnd, NodeError, noMetrics, silentLog, systemClock, type TaskService } from "../../src/core/mod.ts";
import { freeLedger } from "../../src/payments/mod.ts";
import { createTaskProvider } from "../../src/provider/mod.ts";
import { openMemoryStore } from "../../src/storage/mod.ts";
import { FakeHost } from "./fake-host.ts";
import { ALICE, BOB, caller, decoder, ended, failure, readAll, type Sentence, spec, states } from "./task-fixtures.ts";
import { taskKeepingSentences } from "./task-keeping.ts";
import { taskStreamSentences } from "./task-streams.ts";

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
  const it: Sentence = (sentence, settings, body) =>
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

  taskKeepingSentences(it);
  taskStreamSentences(it);
}
