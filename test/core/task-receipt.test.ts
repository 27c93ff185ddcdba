import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  createReceiptSigner,
  faultOfReceipt,
  isTaskReceiptSigned,
  nodeKeyOf,
  type TaskReceipt,
  taskReceiptText,
} from "../../src/core/mod.ts";

const vectors = JSON.parse(readFileSync(new URL("../vectors/task-receipt.json", import.meta.url), "utf8"));
const { record, terms } = vectors;
const paid: TaskReceipt = vectors.paid.receipt;

/** The signer that made the vectors. */
function vectorSigner() {
  const der = Buffer.from(`302e020100300506032b657004220420${vectors.receiptKey}`, "hex");
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const key = nodeKeyOf(Buffer.from(vectors.nodeKey, "hex"));
  return createReceiptSigner(key, { privateKey, publicKey: createPublicKey(privateKey) });
}

test("receipts, free and paid, are those of the vectors, and signed", () => {
  for (const [name, given] of [["free", undefined], ["paid", terms]] as const) {
    const receipt = vectorSigner().sign(record, given);
    assert.deepEqual(JSON.parse(JSON.stringify(receipt)), vectors[name].receipt);
    assert.equal(new TextDecoder().decode(taskReceiptText(receipt)), vectors[name].text);
    assert.ok(isTaskReceiptSigned(receipt));
  }
});

test("the receipt of a task with a GPU is that of the vectors, and signs the time on it", () => {
  const vector = vectors.gpu;
  const usage = { ...record.usage, instructions: 0, gpuMicros: 250 };
  const receipt = vectorSigner().sign({ ...record, pluginSha256: "", usage }, terms);
  assert.deepEqual(JSON.parse(JSON.stringify(receipt)), vector.receipt);
  assert.equal(new TextDecoder().decode(taskReceiptText(receipt)), vector.text);
  assert.equal(receipt.version, 2);
  assert.ok(isTaskReceiptSigned(receipt));
  const { gpuMicros, ...without } = receipt.usage;
  for (
    const changed of [
      { ...receipt, usage: { ...receipt.usage, gpuMicros: 251 } },
      { ...receipt, usage: without },
      { ...receipt, version: 1 as const },
      { ...receipt, version: 1 as const, usage: without },
      { ...paid, usage: { ...paid.usage, gpuMicros } },
      { ...paid, version: 2 as const },
      { ...paid, version: 2 as const, usage: { ...paid.usage, gpuMicros: 0 } },
    ]
  ) assert.equal(isTaskReceiptSigned(changed as TaskReceipt), false, JSON.stringify(changed));
  assert.match(faultOfReceipt(receipt, { usage: without })!, /says 250 gpuMicros, and its answer 0/);
});

test("the receipt of a non-deterministic task is that of the vectors, and signs what it depends on", () => {
  const vector = vectors.nondeterministic;
  const nondeterministic = ["clock", "kv"];
  const receipt = vectorSigner().sign({ ...record, nondeterministic }, terms);
  assert.deepEqual(JSON.parse(JSON.stringify(receipt)), vector.receipt);
  assert.equal(new TextDecoder().decode(taskReceiptText(receipt)), vector.text);
  assert.equal(receipt.version, 3);
  assert.ok(isTaskReceiptSigned(receipt));
  const { nondeterministic: _, ...without } = receipt;
  for (
    const changed of [
      without,
      { ...without, version: 1 as const },
      { ...receipt, nondeterministic: ["kv"] },
      { ...receipt, nondeterministic: ["clock,kv"] },
      { ...receipt, nondeterministic: [] },
      { ...paid, nondeterministic },
      { ...paid, version: 3 as const, nondeterministic },
    ]
  ) assert.equal(isTaskReceiptSigned(changed as TaskReceipt), false, JSON.stringify(changed));
  const { usage } = record;
  assert.equal(faultOfReceipt(receipt, { usage, nondeterministic }), undefined);
  assert.match(faultOfReceipt(receipt, { usage })!, /depends on clock,kv beside its input, and its answer on nothing/);
  assert.throws(() => vectorSigner().sign({ ...record, nondeterministic: ["a\nb"] }), { code: "invalid_argument" });
});

test("a receipt of which any field is changed is not signed", () => {
  const other = createReceiptSigner(nodeKeyOf(new Uint8Array(32).fill(9))).sign(record, terms);
  const changes: Record<string, unknown> = {
    version: 2,
    provider: other.provider,
    taskId: "count-2",
    requester: "anonymous",
    plugin: "demo@1.0.1",
    pluginSha256: "",
    function: "greet",
    inputSha256: paid.outputSha256,
    outputSha256: paid.inputSha256,
    usage: { ...paid.usage, instructions: 4211 },
    finishedAt: paid.finishedAt + 1,
    terms: { ...terms, charge: "999" },
    key: other.key,
    keySignature: other.keySignature,
    signature: other.signature,
  };
  assert.deepEqual(Object.keys(changes).sort(), Object.keys(paid).sort(), "each field has its change");
  for (const [name, value] of Object.entries(changes)) {
    assert.equal(isTaskReceiptSigned({ ...paid, [name]: value }), false, name);
  }
  const { terms: _, ...free } = paid;
  assert.equal(isTaskReceiptSigned(free), false, "without its terms");
  // A key for which another node vouches.
  assert.equal(isTaskReceiptSigned({ ...paid, key: other.key, keySignature: other.keySignature }), false);
});

test("what is no receipt at all is not signed, and does not throw", () => {
  const broken: Partial<Record<keyof TaskReceipt, unknown>>[] = [
    { key: "" },
    { key: "0x00" },
    { keySignature: "0x" },
    { signature: "0x" + "00".repeat(63) },
    { signature: "bad" },
    { taskId: "a\nb" },
    { usage: { ...paid.usage, wallMicros: -1 } },
    { usage: { ...paid.usage, wallMicros: 0.5 } },
    { finishedAt: 2 ** 60 },
    { provider: "nobody" },
    { usage: undefined },
  ];
  for (const change of broken) {
    assert.equal(isTaskReceiptSigned({ ...paid, ...change } as TaskReceipt), false, JSON.stringify(change));
  }
});

test("faultOfReceipt() names what a receipt says otherwise", () => {
  const { provider, taskId, requester, inputSha256, outputSha256, usage } = paid;
  const expected = { provider, taskId, requester, inputSha256, outputSha256, usage };
  assert.equal(faultOfReceipt(paid, {}), undefined);
  assert.equal(faultOfReceipt(paid, expected), undefined);
  const wrong = [
    [{ taskId: "t" }, /names the task "count-1", not t/],
    [{ requester: provider }, /names the requester/],
    [{ provider: "0x00000000000000000000000000000000000000A1" }, /names the provider/],
    [{ inputSha256: outputSha256 }, /names the input/],
    [{ outputSha256: inputSha256 }, /names the output/],
    [{ usage: { ...usage, outputBytes: 4 } }, /says 3 outputBytes, and its answer 4/],
  ] as const;
  for (const [change, message] of wrong) assert.match(faultOfReceipt(paid, { ...expected, ...change })!, message);
  assert.match(faultOfReceipt({ ...paid, signature: paid.key }, expected)!, /is not signed by/);
  // Calls that are not signed are nobody's to their provider.
  const nobodys = vectorSigner().sign({ ...record, requester: "anonymous" });
  assert.equal(faultOfReceipt(nobodys, { requester }), undefined);
});

test("a receipt holds no line break, and only what has succeeded gets one", () => {
  const signer = vectorSigner();
  assert.throws(() => signer.sign({ ...record, function: "a\nb" }), /holds a line break, as "a\\nb" does/);
  const { outputSha256: _, ...running } = record;
  assert.throws(() => signer.sign({ ...running, state: "running" }), /has no receipt: it is running/);
});
