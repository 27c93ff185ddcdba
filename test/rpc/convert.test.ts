import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { TASK_STATES, type TaskEvent, type TaskSpec } from "../../src/core/mod.ts";
import { TaskEventSchema, TaskSchema } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { decodeNodeInfo, encodeNodeInfo } from "../../src/rpc/node-convert.ts";
import * as convert from "../../src/rpc/task-convert.ts";
import { bytes, fakeNode, record } from "./fake-tasks.ts";

test("a task's specification survives the wire", () => {
  const spec: TaskSpec = {
    id: "t",
    plugin: "demo@1.0.0",
    function: "echo",
    input: bytes("x"),
    contentType: "text/plain",
    limits: { timeoutMs: 5 },
    priority: -7,
  };
  assert.deepEqual(convert.specFromProto(convert.specToProto(spec)), spec);
  const bare = { ...spec, limits: {} };
  assert.deepEqual(convert.specFromProto(convert.specToProto(bare)), bare);
});

for (const state of TASK_STATES) {
  test(`a ${state} task's record survives the wire`, () => {
    const whole = { ...record("r", state), usage: { wallMicros: 1, inputBytes: 2, outputBytes: 3, instructions: 4 } };
    assert.deepEqual(convert.recordFromProto(convert.recordToProto(whole)), whole);
    assert.deepEqual(convert.recordFromProto(convert.recordToProto(whole), "h:1"), { ...whole, target: "h:1" });
  });
}

test("what a task depends on beside its input survives the wire, in records, results and receipts", () => {
  const nondeterministic = ["clock", "kv"];
  const hex = `0x${"ab".repeat(32)}` as const;
  const usage = { wallMicros: 1, inputBytes: 2, outputBytes: 3, instructions: 4 };
  const receipt = {
    version: 3,
    provider: `0x${"11".repeat(20)}`,
    taskId: "r",
    requester: "anonymous",
    plugin: "demo@1.0.0",
    pluginSha256: "",
    function: "now",
    inputSha256: "ab".repeat(32),
    outputSha256: "cd".repeat(32),
    usage,
    nondeterministic,
    finishedAt: 5,
    key: hex,
    keySignature: hex,
    signature: hex,
  } as const;
  const whole = { ...record("r", "succeeded"), nondeterministic, receipt };
  assert.deepEqual(convert.recordFromProto(convert.recordToProto(whole)), whole);
  const result = {
    id: "r",
    output: bytes("x"),
    contentType: "text/plain",
    usage,
    replayed: false,
    nondeterministic,
    receipt,
  };
  assert.deepEqual(convert.resultFromProto(convert.resultToProto(result)), result);
});

test("a record that breaks the protocol is the peer's fault", () => {
  const good = convert.recordToProto(record("r", "queued"));
  assert.throws(() => convert.recordFromProto(undefined), { code: "target_misbehaved" });
  assert.throws(() => convert.recordFromProto(create(TaskSchema, { ...good, state: 0 })), {
    code: "target_misbehaved",
  });
  assert.throws(() => convert.recordFromProto(create(TaskSchema, { ...good, state: 99 as never })), {
    code: "target_misbehaved",
  });
  const { createdAt: _, ...timeless } = good;
  assert.throws(() => convert.recordFromProto(create(TaskSchema, timeless)), { code: "target_misbehaved" });
  const future = convert.recordFromProto(create(TaskSchema, { ...good, reason: "from_the_future", requester: "bob" }));
  assert.equal(future.reason, "target_failed");
  assert.equal(future.requester, "anonymous");
});

test("events survive the wire, and unknown ones are passed over", () => {
  const events: TaskEvent[] = [
    { type: "chunk", bytes: bytes("c") },
    { type: "log", level: "warn", message: "m", at: 1234 },
    { type: "progress", fraction: 0.25, message: "p", at: 5678 },
    { type: "state", task: record("s", "succeeded") },
  ];
  for (const event of events) assert.deepEqual(convert.eventFromProto(convert.eventToProto(event)), event);
  assert.equal(convert.eventFromProto(create(TaskEventSchema)), undefined);
  assert.equal(convert.eventFromProto(undefined), undefined);
  assert.deepEqual(events.map(convert.isLastEvent), [false, false, false, true]);
});

test("a node's description survives the wire, with enabled plugins only", () => {
  const info = { ...fakeNode.describe(), chainId: 31337 };
  const disabled = { ...info.plugins[0]!, name: "off", enabled: false };
  const encoded = encodeNodeInfo({ ...info, plugins: [...info.plugins, disabled] }, bytes("n"));
  const decoded = decodeNodeInfo(encoded);
  assert.deepEqual(decoded.info, info);
  assert.deepEqual(decoded.nonce, bytes("n"));
  assert.throws(() => decodeNodeInfo(bytes("\u00ff\u00ff")), { code: "target_misbehaved" });
  assert.throws(() => decodeNodeInfo(new Uint8Array(0)), { code: "target_misbehaved" });
});
