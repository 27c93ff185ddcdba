import assert from "node:assert/strict";
import { NodeError } from "../../src/core/mod.ts";
import { ALICE, caller, failure, output, pieces, readAll, type Sentence, spec, states } from "./task-fixtures.ts";

/** What holds for streamed runs at every task service. */
export function taskStreamSentences(it: Sentence): void {
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
