import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  checkRequest,
  isReceiptSigned,
  newSecretKey,
  type NodeError,
  type NodeId,
  nodeKeyOf,
  openSession,
  readCertificate,
  receiptText,
  type ShardRecord,
  signRequest,
  STREAM_DIGEST,
} from "../../src/core/mod.ts";

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
    readonly chainId: number;
    readonly expiresAt: number;
    readonly certificate: string;
  };
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly body: string;
    readonly createdAt: number;
    readonly nonce: string;
    readonly proof: string;
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

test("the session and the request of the vector are right, and nothing that differs from them is", () => {
  const { certificate, ...terms } = vectors.session;
  const bytes = Buffer.from(certificate, "hex");
  const session = readCertificate(bytes);
  const { requester, provider, chainId, expiresAt } = session;
  assert.deepEqual({ requester, provider, chainId, expiresAt }, terms);

  const { proof: hex, method, path, body, createdAt, nonce } = vectors.request;
  const proof = Buffer.from(hex, "hex");
  const bodyDigest = createHash("sha256").update(Buffer.from(body, "hex")).digest();
  assert.deepEqual(checkRequest(session, proof, { method, path }), { createdAt, nonce, bodyDigest });

  const refused = { code: "unauthenticated" };
  for (let at = 0; at < proof.length; at++) {
    const changed = Buffer.from(proof);
    changed[at]! ^= 1;
    assert.throws(() => checkRequest(session, changed, { method, path }), refused, `byte ${at}`);
  }
  assert.throws(() => checkRequest(session, proof.subarray(1), { method, path }), refused);
  assert.throws(() => checkRequest(session, proof, { method: "GET", path }), refused);
  assert.throws(() => checkRequest(session, proof, { method, path: `${path}?` }), refused);
  // A certificate that was changed names nobody, or somebody else.
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    try {
      const other = readCertificate(changed);
      assert.notEqual(other.requester, requester, `byte ${at}`);
      assert.throws(() => checkRequest(other, proof, { method, path }), refused, `byte ${at}`);
    } catch (error) {
      assert.equal((error as NodeError).code, "unauthenticated", `byte ${at}: ${error}`);
    }
  }
});

test("a request is signed for its method, path, body, provider and time", () => {
  const key = nodeKeyOf(newSecretKey());
  const provider = nodeKeyOf(newSecretKey()).nodeId;
  const mine = openSession(key, { provider, chainId: 0, expiresAt: 2_000_000_000_999 });
  assert.equal(mine.expiresAt, 2_000_000_000_000);
  const session = readCertificate(mine.certificate);
  assert.equal(session.requester, key.nodeId);
  const head = { method: "PUT", path: "/x?y=1" };
  const stream = checkRequest(session, signRequest(mine, { ...head, digest: STREAM_DIGEST }, 5), head);
  assert.deepEqual([stream.createdAt, stream.bodyDigest], [5, undefined]);
  const again = checkRequest(session, signRequest(mine, { ...head, digest: STREAM_DIGEST }, 5), head);
  assert.notEqual(again.nonce, stream.nonce);
});
