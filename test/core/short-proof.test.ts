import assert from "node:assert/strict";
import { createHash, createHmac, createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  macKeysOf,
  nodeKeyOf,
  openSession,
  providerShortMac,
  readCertificate,
  requesterShortMac,
  ShortMac,
  shortName,
} from "../../src/core/mod.ts";

interface Vector {
  readonly [name: string]: string | number;
  readonly createdAt: number;
  readonly number: number;
}

const { shortProof: vector } = JSON.parse(
  readFileSync(new URL("../vectors/storage-protocol.json", import.meta.url), "utf8"),
) as { shortProof: Vector };

const hex = (text: unknown) => Buffer.from(text as string, "hex");
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
const refused = { code: "unauthenticated" };
const keys = macKeysOf(nodeKeyOf(hex(vector["providerSecret"])));
const session = readCertificate(hex(vector["certificate"]));
const head = { method: vector["method"] as string, path: vector["path"] as string };
const header = vector["header"] as string;
const { createdAt, number } = vector;

/** The requester's half of the vector's session. */
function requesterHalf() {
  const d = hex(vector["sessionSeed"]).toString("base64url");
  const x = (session.publicKey.export({ format: "jwk" }) as { x: string }).x;
  const privateKey = createPrivateKey({ key: { kty: "OKP", crv: "Ed25519", d, x }, format: "jwk" });
  return { privateKey, certificateHash: session.certificateHash };
}

test("both sides make the vector's proof of its request, which is what the protocol says, byte by byte", () => {
  const mine = requesterShortMac(requesterHalf(), keys.publicKey);
  const theirs = providerShortMac(keys, session);
  const body = hex(vector["body"]);
  assert.equal(mine.prove(head, body, { number, createdAt }), header);
  assert.deepEqual(theirs.check(header, head), { createdAt, number, bodySha256: sha256(body).toString("hex") });
  assert.equal(session.requester, vector["requester"]);

  const integer = (value: number) => {
    const bytes = Buffer.alloc(6);
    bytes.writeUIntBE(value, 0, 6);
    return bytes;
  };
  const start = Buffer.concat([
    Buffer.of(2),
    sha256(hex(vector["certificate"])).subarray(0, 14),
    integer(createdAt),
    integer(number),
    sha256(body),
  ]);
  const hmac = createHmac("sha256", hex(vector["macKey"])).update(start).update(`${head.method}\n${head.path}`);
  const proof = Buffer.concat([start, hmac.digest().subarray(0, 16)]);
  assert.equal(proof.toString("hex"), vector["proof"]);
  assert.equal(proof.toString("base64url"), header);
  assert.equal(shortName(header), proof.toString("base64url", 0, 15));
});

test("nothing that differs from a proof is right: not a byte, not the method, the path, the provider or the session", () => {
  const theirs = providerShortMac(keys, session);
  const proof = hex(vector["proof"]);
  for (let at = 15; at < proof.length; at++) {
    const changed = Buffer.from(proof);
    changed[at]! ^= 1;
    assert.throws(() => theirs.check(changed.toString("base64url"), head), refused, `byte ${at}`);
  }
  for (const other of [{ method: "GET" }, { path: "/" }, { path: `${head.path}?` }, { path: head.path.slice(0, -1) }]) {
    assert.throws(() => theirs.check(header, { ...head, ...other }), refused, JSON.stringify(other));
  }
  assert.throws(
    () => providerShortMac(macKeysOf(nodeKeyOf(hex("33".repeat(32)))), session).check(header, head),
    refused,
  );
  const key = nodeKeyOf(hex("11".repeat(32)));
  const terms = { provider: key.nodeId, chainId: 0, expiresAt: 2_000_000_000_000 };
  const [one, two] = [openSession(key, terms), openSession(key, terms)].map((opened) => ({
    mine: requesterShortMac(opened, keys.publicKey),
    theirs: providerShortMac(keys, readCertificate(opened.certificate)),
  }));
  const text = one!.mine.prove(head, "stream", { number: 0, createdAt: 1 });
  assert.deepEqual(one!.theirs.check(text, head), { createdAt: 1, number: 0, bodySha256: undefined });
  assert.throws(() => two!.theirs.check(text, head), refused);
});

test("a proof whose end is no base64url is refused, whatever was checked before it", () => {
  const theirs = providerShortMac(keys, session);
  theirs.check(header, head);
  for (const rubbish of [" ", "!", "\xff", "=", "\0"]) {
    for (const kept of [0, 20, 79, 80, 99]) {
      const text = header.slice(0, kept) + rubbish.repeat(header.length - kept);
      assert.throws(() => theirs.check(text, head), refused, JSON.stringify(text));
    }
  }
});

test("only what has a proof's length names a session", () => {
  assert.equal(shortName(header)?.length, 20);
  for (const other of ["", header.slice(1), `${header}A`, header.slice(0, 20)]) {
    assert.equal(shortName(other), undefined);
  }
});

test("a path longer than any before is covered whole, and the numbers reach 48 bits", () => {
  const mac = new ShortMac(new Uint8Array(32).fill(7), new Uint8Array(32).fill(9));
  const number = 2 ** 48 - 1;
  for (const length of [1, 900, 1100, 70_000]) {
    const path = `/${"ä".repeat(length)}`;
    const proof = mac.prove({ method: "POST", path }, "stream", { number, createdAt: number });
    assert.deepEqual(mac.check(proof, { method: "POST", path }), { createdAt: number, number, bodySha256: undefined });
    assert.throws(() => mac.check(proof, { method: "POST", path: `${path.slice(0, -1)}a` }), refused);
  }
  assert.throws(() => mac.prove({ method: "POST", path: "/" }, "stream", { number: number + 1, createdAt: 1 }));
});
