import assert from "node:assert/strict";
import { BOB, caller, ended, failure, type Sentence, spec } from "./task-fixtures.ts";

/** What holds at every task service for what it keeps of tasks that ended, and how it lists them. */
export function taskKeepingSentences(it: Sentence): void {
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
}
