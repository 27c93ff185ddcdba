import assert from "node:assert/strict";
import { createHash, createHmac, createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  checkRequest,
  isMacProof,
  macKeysOf,
  nodeKeyOf,
  openSession,
  providerMac,
  readCertificate,
  requesterMac,
  RequestMac,
  signRequest,
} from "../../src/core/mod.ts";

const { mac: vector } = JSON.parse(
  readFileSync(new URL("../vectors/storage-protocol.json", import.meta.url), "utf8"),
) as { mac: Readonly<Record<string, string>> & { readonly createdAt: number } };

const hex = (text: string) => Buffer.from(text, "hex");
const refused = { code: "unauthenticated" };
const keys = macKeysOf(nodeKeyOf(hex(vector["providerSecret"]!)));
const session = readCertificate(hex(vector["certificate"]!));
const head = { method: vector["method"]!, path: vector["path"]! };

test("a MAC is HMAC-SHA256", () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 1000]) {
    const [key, text] = [randomBytes(32), randomBytes(length)];
    assert.deepEqual(new RequestMac(key).of(text), createHmac("sha256", key).update(text).digest());
  }
});

test("both sides of the vector's session find the same secret, and nothing that differs from its proof is right", () => {
  assert.equal(Buffer.from(keys.publicKey).toString("hex"), vector["publicKey"]);
  assert.equal(session.requester, vector["requester"]);
  const d = hex(vector["sessionSeed"]!).toString("base64url");
  const x = (session.publicKey.export({ format: "jwk" }) as { x: string }).x;
  const privateKey = createPrivateKey({ key: { kty: "OKP", crv: "Ed25519", d, x }, format: "jwk" });
  const mine = requesterMac({ privateKey, certificateHash: session.certificateHash }, keys.publicKey);
  const theirs = providerMac(keys, session);
  assert.deepEqual(mine.of(hex("00ff")), theirs.of(hex("00ff")));

  const proof = hex(vector["proof"]!);
  assert.ok(isMacProof(proof));
  const bodyDigest = createHash("sha256").update(hex(vector["body"]!)).digest();
  const withMac = { ...session, mac: theirs };
  assert.deepEqual(checkRequest(withMac, proof, head), {
    createdAt: vector.createdAt,
    nonce: vector["nonce"],
    bodyDigest,
  });
  for (let at = 0; at < proof.length; at++) {
    const changed = Buffer.from(proof);
    changed[at]! ^= 1;
    assert.throws(() => checkRequest(withMac, changed, head), refused, `byte ${at}`);
  }
  assert.throws(() => checkRequest(session, proof, head), refused, "without the secret nothing is believed");
  assert.throws(() => checkRequest(withMac, proof, { ...head, path: "/" }), refused);
  const other = providerMac(macKeysOf(nodeKeyOf(hex("33".repeat(32)))), session);
  assert.throws(() => checkRequest({ ...session, mac: other }, proof, head), refused, "another provider");
});

test("a session's secret is its own, and keys whose secret everybody could guess are refused", () => {
  const key = nodeKeyOf(hex("11".repeat(32)));
  const terms = { provider: key.nodeId, chainId: 0, expiresAt: 2_000_000_000_000 };
  const [one, two] = [openSession(key, terms), openSession(key, terms)];
  const text = hex("00");
  assert.notDeepEqual(requesterMac(one, keys.publicKey).of(text), requesterMac(two, keys.publicKey).of(text));
  assert.throws(() => requesterMac(one, new Uint8Array(32)));
  assert.throws(() => requesterMac(one, new Uint8Array(31)));
  // The neutral element as the session's Ed25519 key.
  const neutral = Buffer.concat([hex("302a300506032b6570032100"), Buffer.from([1]), Buffer.alloc(31)]);
  const publicKey = createPublicKey({ key: neutral, format: "der", type: "spki" });
  assert.throws(() => providerMac(keys, { publicKey, certificateHash: session.certificateHash }));
  const proof = signRequest({ ...one, mac: requesterMac(one, keys.publicKey) }, {
    ...head,
    digest: hex("ab".repeat(32)),
  }, 1);
  const there = readCertificate(one.certificate);
  assert.equal(checkRequest({ ...there, mac: providerMac(keys, there) }, proof, head).createdAt, 1);
});
