import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import fc from "fast-check";
import { RunTaskRequestSchema, RunTaskResponseSchema } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { resultFromProto, resultToProto, specFromProto, specToProto } from "../../src/rpc/task-convert.ts";
import { decodeRunRequest, decodeRunResponse, encodeRunRequest, encodeRunResponse } from "../../src/rpc/run-codec.ts";

const validator = createValidator();
const encode = (task: MessageInitShape<typeof RunTaskRequestSchema>["task"]) =>
  toBinary(RunTaskRequestSchema, create(RunTaskRequestSchema, { ...(task === undefined ? {} : { task }) }));

/** The general way: undefined when the bytes are no valid request. */
function general(bytes: Uint8Array) {
  let message;
  try {
    message = fromBinary(RunTaskRequestSchema, bytes);
  } catch {
    return undefined;
  }
  return validator.validate(RunTaskRequestSchema, message).kind === "valid" ? specFromProto(message.task!) : undefined;
}

const plain = (spec: object) => ({
  ...spec,
  input: Buffer.from((spec as { input: Uint8Array }).input).toString("hex"),
});

/** What the hand-written reader takes, the general way takes too, and reads the same. */
function agree(bytes: Uint8Array): boolean {
  const fast = decodeRunRequest(bytes);
  if (fast === undefined) return false;
  const slow = general(bytes);
  assert.ok(slow !== undefined, `taken, though not valid: ${Buffer.from(bytes).toString("hex")}`);
  assert.deepEqual(plain(fast), plain(slow));
  return true;
}

const edge = (max: bigint) => fc.constantFrom(0n, 1n, 127n, 128n, max - 1n, max, max + 1n, 2n ** 49n, 2n ** 63n);
const shortText = (max: number) =>
  fc.oneof(
    fc.string({ unit: fc.constantFrom("a", "Z", "0", ".", "_", "~", ":", "-"), maxLength: 20 }),
    fc.constantFrom(
      "x".repeat(max - 1),
      "x".repeat(max),
      "x".repeat(max + 1),
      "ü",
      "a b",
      "\u0000",
      "漢字",
      "😀".repeat(max),
    ),
  );
const task = fc.record({
  id: shortText(128),
  plugin: shortText(160),
  function: shortText(128),
  contentType: shortText(255),
  input: fc.uint8Array({ maxLength: 300 }) as fc.Arbitrary<Uint8Array<ArrayBuffer>>,
  priority: fc.oneof(fc.integer({ min: -102, max: 102 }), fc.constantFrom(2 ** 31 - 1, -(2 ** 31))),
  limits: fc.record({
    timeoutMs: edge(86_400_000n),
    memoryBytes: edge(4_294_967_296n),
    outputBytes: edge(4_294_967_296n),
    noGpu: fc.boolean(),
  }),
}, { requiredKeys: [] });

test("decodeRunRequest() agrees with protobuf and protovalidate on generated requests", () => {
  fc.assert(fc.property(task, (value) => void agree(encode(value))), { numRuns: 3000 });
});

test("decodeRunRequest() takes every ordinary valid request", () => {
  const ordinary = [
    {},
    { input: new Uint8Array(5000) },
    { id: "x".repeat(128), plugin: "p@1.0.0", function: "f", contentType: "text/plain", input: new Uint8Array([1]) },
    { priority: -100, limits: { timeoutMs: 86_400_000n, memoryBytes: 4_294_967_296n, outputBytes: 1n, noGpu: true } },
    { priority: 100 },
  ];
  for (const value of ordinary) assert.ok(agree(encode(value)));
});

test("decodeRunRequest() leaves broken rules to the general way", () => {
  const broken = [
    { id: "x".repeat(129) },
    { id: "a b" },
    { plugin: "x".repeat(161) },
    { function: "x".repeat(129) },
    { contentType: "x".repeat(256) },
    { priority: 101 },
    { priority: -101 },
    { limits: { timeoutMs: 86_400_001n } },
    { limits: { memoryBytes: 4_294_967_297n } },
  ];
  for (const value of broken) assert.equal(decodeRunRequest(encode(value)), undefined);
  assert.equal(decodeRunRequest(encode(undefined)), undefined);
});

test("decodeRunRequest() agrees with protobuf on mutated and random bytes", () => {
  const mutated = fc.tuple(task, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat());
  fc.assert(
    fc.property(mutated, ([value, changes, cut]) => {
      const bytes = encode(value);
      for (const [at, byte] of changes) if (bytes.length > 0) bytes[at % bytes.length] = byte;
      agree(bytes);
      agree(bytes.subarray(0, cut % (bytes.length + 1)));
    }),
    { numRuns: 3000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void agree(bytes)), { numRuns: 3000 });
});

test("decodeRunRequest() takes the last of a field that comes twice, as protobuf does", () => {
  const twice = Buffer.concat([encode({ id: "a", priority: 3 }).subarray(2), encode({ id: "b" }).subarray(2)]);
  assert.ok(agree(Buffer.concat([Buffer.from([0x0a, twice.length]), twice])));
});

/** What tasks use, some of them a GPU. */
function usageOf(size: fc.Arbitrary<number>) {
  const usage = { wallMicros: size, inputBytes: size, outputBytes: size, instructions: size };
  const gpuMicros = fc.integer({ min: 1, max: 2 ** 40 });
  return fc.oneof(fc.record(usage), fc.record({ ...usage, gpuMicros }));
}

test("encodeRunResponse() writes what protobuf writes", () => {
  const size = fc.oneof(fc.nat(300), fc.constantFrom(127, 128, 16383, 16384, 2 ** 31, 2 ** 45));
  const result = fc.record({
    id: fc.string({ unit: "grapheme" }),
    output: fc.uint8Array({ maxLength: 400 }),
    contentType: fc.string({ maxLength: 200 }),
    usage: usageOf(size),
    replayed: fc.boolean(),
  });
  fc.assert(fc.property(result, (value) => {
    const frame = Buffer.from(encodeRunResponse(value));
    const message = toBinary(RunTaskResponseSchema, resultToProto(value));
    assert.equal(frame[0], 0);
    assert.equal(frame.readUInt32BE(1), message.length);
    assert.equal(frame.subarray(5).toString("hex"), Buffer.from(message).toString("hex"));
  }));
});

test("encodeRunRequest() writes what protobuf writes", () => {
  const text = fc.oneof(
    fc.string({ unit: "grapheme", maxLength: 60 }),
    fc.constantFrom("", "x".repeat(127), "ü".repeat(64)),
  );
  const limit = fc.oneof(fc.nat(300), fc.constantFrom(0, 127, 128, 2 ** 31, 2 ** 32, 2 ** 49, Number.MAX_SAFE_INTEGER));
  const spec = fc.record({
    id: text,
    plugin: text,
    function: text,
    contentType: text,
    input: fc.uint8Array({ maxLength: 400 }),
    limits: fc.record(
      { timeoutMs: limit, memoryBytes: limit, outputBytes: limit, instructions: limit, noGpu: fc.boolean() },
      { requiredKeys: [] },
    ),
    priority: fc.oneof(fc.integer({ min: -100, max: 100 }), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1)),
  });
  fc.assert(fc.property(spec, (value) => {
    const message = create(RunTaskRequestSchema, { task: specToProto(value) });
    const read = fromBinary(RunTaskRequestSchema, encodeRunRequest(value)!);
    // An empty message of limits, which means the same as none, is not sent.
    if (Object.values(value.limits).every((one) => !one)) delete message.task!.limits;
    assert.equal(
      Buffer.from(toBinary(RunTaskRequestSchema, read)).toString("hex"),
      Buffer.from(toBinary(RunTaskRequestSchema, message)).toString("hex"),
    );
  }));
});

test("encodeRunRequest() leaves limits that are no whole numbers to the general way", () => {
  const spec = { id: "", plugin: "", function: "", contentType: "", input: new Uint8Array(0), priority: 0 };
  for (const timeoutMs of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assert.equal(encodeRunRequest({ ...spec, limits: { timeoutMs } }), undefined);
  }
});

test("decodeRunResponse() agrees with protobuf on generated, mutated and random bytes", () => {
  const size = fc.oneof(fc.nat(300), fc.constantFrom(127, 128, 2 ** 31, 2 ** 45, 2 ** 49, 2 ** 53 - 1));
  const result = fc.record({
    id: fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom("x".repeat(128), "x".repeat(129), "ü")),
    output: fc.uint8Array({ maxLength: 300 }),
    contentType: fc.constantFrom("", "text/plain", "x".repeat(256), "ü"),
    usage: usageOf(size),
    replayed: fc.boolean(),
  });
  const shown = (one: { output: Uint8Array }) => ({ ...one, output: Buffer.from(one.output).toString("hex") });
  const same = (bytes: Uint8Array): boolean => {
    const fast = decodeRunResponse(bytes);
    if (fast === undefined) return false;
    assert.deepEqual(shown(fast), shown(resultFromProto(fromBinary(RunTaskResponseSchema, bytes))));
    return true;
  };
  fc.assert(
    fc.property(
      result,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
      fc.nat(),
      (value, changes, cut) => {
        const bytes = Buffer.from(encodeRunResponse(value).subarray(5));
        same(bytes);
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        same(bytes);
        same(bytes.subarray(0, cut % (bytes.length + 1)));
      },
    ),
    { numRuns: 3000 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void same(bytes)), { numRuns: 3000 });
  const ordinary = { wallMicros: 12, inputBytes: 5, outputBytes: 5, instructions: 99 };
  assert.ok(same(
    encodeRunResponse({
      id: "1",
      output: Buffer.from("world"),
      contentType: "text/plain",
      usage: ordinary,
      replayed: true,
    }).subarray(5),
  ));
});
