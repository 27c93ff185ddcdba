import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import {
  positionId,
  type RequesterId,
  type TaskChange,
  taskDigest,
  taskPosition,
  timeKey,
} from "../../src/core/mod.ts";
import {
  bodyKey,
  decodeRequest,
  decodeTask,
  encodeRequest,
  encodeTask,
  pendingKey,
  recordKey,
  recordKeyOf,
  seqKey,
} from "../../src/storage/codec.ts";
import type { WriteOp } from "../../src/storage/engine.ts";
import { GroupCommit } from "../../src/storage/group-commit.ts";
import { MemoryEngine } from "../../src/storage/memory-engine.ts";
import { TaskTable } from "../../src/storage/task-table.ts";
import { storedTask } from "../contract-suites/task-store.ts";

const vectors = JSON.parse(readFileSync(new URL("../vectors/storage.json", import.meta.url), "utf8"));

const id = fc.stringMatching(/^[A-Za-z0-9._~:-]{1,128}$/);
const requester = fc.oneof(
  fc.constant<RequesterId>("anonymous"),
  fc.stringMatching(/^0x[0-9a-f]{40}$/).map((text) => text as RequesterId),
);
const time = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const seq = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const priority = fc.integer({ min: -100, max: 100 });
const task = fc.record({ id, requester, priority, seq, createdAt: time }).map(storedTask);

function sign(a: string | number, b: string | number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

test("task records are stored as the vectors say", () => {
  for (const { stored, task } of vectors.tasks) {
    assert.deepEqual(decodeTask(stored), task);
    assert.equal(encodeTask(task), stored);
  }
});

test("request records are stored as the vectors say", () => {
  for (const { stored, request } of vectors.requests) {
    assert.deepEqual(decodeRequest(stored), request);
    assert.equal(encodeRequest(request), stored);
  }
});

test("the life of a task changes the keys that the vectors say", async () => {
  const written: string[][] = [];
  class Recorder extends MemoryEngine {
    override write(ops: readonly WriteOp[]): Promise<void> {
      written.push(ops.map((op) => op.type === "del" ? `- ${op.key}` : `+ ${op.key}`));
      return super.write(ops);
    }
  }
  const engine = new Recorder();
  const table = new TaskTable(engine, new GroupCommit(engine, { sync: false }));
  const { steps } = vectors.life;
  for (const step of steps) {
    const body = {
      input: new Uint8Array(step.task.inputBytes),
      output: new Uint8Array(step.task.storedOutputBytes ?? 0),
    };
    await table.write([{ type: step.type, task: step.task, ...body } as TaskChange], { durable: false });
  }
  assert.deepEqual(written, steps.map((step: { keys: string[] }) => step.keys));
});

test("task digests are as the vectors say", () => {
  for (const { spec, inputSha256, digest } of vectors.digests) {
    assert.equal(taskDigest({ ...spec, input: new Uint8Array(0) }, inputSha256), digest);
  }
});

test("damaged and foreign records are refused", () => {
  const good = encodeTask(storedTask());
  for (const bad of ["", "{", "null", "[]", "1", good.slice(0, -2), good.replace('"queued"', '"lost"'), '{"v":1}']) {
    assert.throws(() => decodeTask(bad), { code: "storage_failed" }, bad);
  }
  assert.throws(() => decodeTask(good.replace('"v":1', '"v":2')), { code: "storage_failed", message: /format 2/ });
});

test("records survive encoding", () => {
  fc.assert(fc.property(task, (task) => assert.deepEqual(decodeTask(encodeTask(task)), task)));
});

test("time and sequence keys sort as the numbers do", () => {
  fc.assert(fc.property(time, time, (a, b) => assert.equal(sign(timeKey(a), timeKey(b)), sign(a, b))));
  fc.assert(fc.property(seq, seq, (a, b) => assert.equal(sign(seqKey(a), seqKey(b)), sign(a, b))));
});

test("pending keys sort by priority, the highest first, then by age", () => {
  fc.assert(fc.property(task, task, (a, b) => {
    const expected = sign(b.record.priority, a.record.priority) || sign(a.seq, b.seq);
    if (expected !== 0) assert.equal(sign(pendingKey(a), pendingKey(b)), expected);
  }));
});

test("different tasks have different keys, and index keys lead back to the record", () => {
  fc.assert(fc.property(task, task, (a, b) => {
    const same = a.record.requester === b.record.requester && a.record.id === b.record.id;
    assert.equal(recordKey(a.record) === recordKey(b.record), same);
    for (const key of [pendingKey(a), bodyKey(a)]) assert.equal(recordKeyOf(key), recordKey(a.record));
  }));
});

test("positions sort by time, then id, and lead back to the id", () => {
  fc.assert(fc.property(task, task, ({ record: a }, { record: b }) => {
    const expected = sign(a.createdAt, b.createdAt) || sign(a.id, b.id);
    assert.equal(sign(taskPosition(a), taskPosition(b)), expected);
    assert.equal(positionId(taskPosition(a)), a.id);
  }));
});

test("text that is no position is refused", () => {
  fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => {
    fc.pre(!/^[0-9a-f]{12}\.[A-Za-z0-9._~:-]{1,128}$/.test(text));
    assert.throws(() => positionId(text), { code: "invalid_argument" });
  }));
});
