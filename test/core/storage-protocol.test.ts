import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isReceiptSigned, type NodeId, receiptText, type ShardRecord, verifySession } from "../../src/core/mod.ts";

interface Vectors {
  readonly receipt: {
    readonly provider: NodeId;
    readonly record: ShardRecord;
    readonly text: string;
    readonly signature: string;
  };
  readonly session: {
    readonly requester: NodeId;
    readonly provider: NodeId;
    readonly expiresAt: number;
    readonly text: string;
  };
}

const vectors = JSON.parse(
  readFileSync(new URL("../vectors/storage-protocol.json", import.meta.url), "utf8"),
) as Vectors;

test("a receipt signs the text of the vector, and no other", () => {
  const { provider, record, text, signature } = vectors.receipt;
  assert.equal(new TextDecoder().decode(receiptText(provider, record)), text);
  const receipt = { provider, record, signature: Buffer.from(signature, "hex") };
  assert.ok(isReceiptSigned(receipt));
  for (
    const change of [{ sizeBytes: 1024 }, { expiresAt: record.expiresAt + 1 }, { root: "00".repeat(32) }, {
      graceMs: 0,
    }]
  ) assert.ok(!isReceiptSigned({ ...receipt, record: { ...record, ...change } }), JSON.stringify(change));
  assert.ok(!isReceiptSigned({ ...receipt, provider: record.owner as NodeId }));
  assert.ok(!isReceiptSigned({ ...receipt, signature: new Uint8Array(65) }));
});

test("the session of the vector is one", () => {
  const { text, ...session } = vectors.session;
  assert.deepEqual(verifySession(text, { self: session.provider, now: session.expiresAt - 1000 }), session);
});
