import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { x25519 } from "@noble/curves/ed25519.js";
import {
  addRecipient,
  createHeader,
  deriveMasterKey,
  filterRecipients,
  MAX_HEADER_BYTES,
  MAX_STANZAS,
  openHeader,
  parseHeader,
} from "../../src/codec/mod.ts";
import type { Recipient } from "../../src/codec/mod.ts";
import { NodeError } from "../../src/core/mod.ts";
import { FILE_ID, FILE_KEY, MASTER_KEY, pseudoRandom } from "./memory-shards.ts";

const alice = { secretKey: pseudoRandom(32, 11), publicKey: x25519.getPublicKey(pseudoRandom(32, 11)) };
const master = { type: "master", key: MASTER_KEY } as const;
const forAlice = { type: "x25519", publicKey: alice.publicKey } as const;
const asAlice = { type: "x25519", secretKey: alice.secretKey } as const;

function make(recipients: readonly Recipient[] = [master]): Uint8Array {
  return createHeader({ fileId: FILE_ID, fileKey: FILE_KEY, recipients });
}

test("a header opens for each recipient and gives the same keys", () => {
  const header = make([master, forAlice]);
  assert.deepEqual(openHeader(header, master), openHeader(header, asAlice));
  assert.deepEqual(openHeader(header, master).fileKey, FILE_KEY);
});

test("two headers of one file key share no wrapped bytes, but the hash that cells are bound to", () => {
  const one = parseHeader(make());
  const two = parseHeader(make());
  assert.deepEqual(one.hash, two.hash);
  assert.notDeepEqual(one.stanzas[0]!.body.subarray(8), two.stanzas[0]!.body.subarray(8));
});

test("a header stays closed for other keys", () => {
  const header = make([master, forAlice]);
  const others = [
    { type: "master", key: pseudoRandom(32, 3) },
    { type: "x25519", secretKey: pseudoRandom(32, 3) },
  ] as const;
  for (const identity of others) assert.throws(() => openHeader(header, identity), { code: "permission_denied" });
  assert.throws(() => openHeader(make(), asAlice), { code: "permission_denied" });
  assert.throws(() => openHeader(header, { type: "file", key: pseudoRandom(32, 3) }), { code: "data_corrupt" });
});

test("no changed bit of a header goes unnoticed", () => {
  const header = make([master, forAlice]);
  for (let at = 0; at < header.length; at++) {
    const changed = Uint8Array.from(header);
    changed[at]! ^= 1 << (at % 8);
    assert.throws(() => openHeader(changed, { type: "file", key: FILE_KEY }), NodeError, `byte ${at}`);
    assert.throws(() => openHeader(changed, master), NodeError, `byte ${at}`);
  }
});

test("a stanza does not open in another file's header", () => {
  const other = createHeader({ fileId: pseudoRandom(16, 9), fileKey: FILE_KEY, recipients: [master] });
  const header = make();
  const spliced = Uint8Array.from(header);
  spliced.set(other.subarray(25, 25 + 92), 25);
  assert.throws(() => openHeader(spliced, master), { code: "permission_denied" });
});

test("a header cut or stretched anywhere is rejected with the place", () => {
  const header = make([master, forAlice]);
  for (let length = 0; length < header.length; length++) {
    assert.throws(() => parseHeader(header.subarray(0, length)), { code: "invalid_argument", message: /at byte \d+/ });
  }
  assert.throws(() => parseHeader(Buffer.concat([header, Uint8Array.of(0)])), { message: /1 bytes too many/ });
});

test("headers of other versions and suites, with no or too many stanzas, or too long ones, are rejected", () => {
  const header = make();
  const change = (at: number, value: number) => Uint8Array.from(header, (byte, i) => i === at ? value : byte);
  assert.throws(() => parseHeader(change(7, 2)), { code: "unimplemented", message: /version 2/ });
  assert.throws(() => parseHeader(change(8, 9)), { code: "unimplemented", message: /suite 9/ });
  assert.throws(() => parseHeader(change(25, 0)), {
    code: "invalid_argument",
    message: /stanza count at byte 25 is 0/,
  });
  assert.throws(() => parseHeader(change(25, 33)), { code: "invalid_argument", message: /is 33/ });
  assert.throws(() => parseHeader(change(27, 255)), { code: "invalid_argument", message: /stanza 0 length/ });
  assert.throws(() => parseHeader(new Uint8Array(MAX_HEADER_BYTES + 1)), {
    code: "invalid_argument",
    message: /too long/,
  });
});

test("parseHeader() never throws anything but a NodeError", () => {
  const start = make().subarray(0, 25);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, withStart) => {
    try {
      parseHeader(withStart ? Buffer.concat([start, bytes]) : bytes);
    } catch (error) {
      assert.ok(error instanceof NodeError);
    }
  }));
});

test("a recipient can be added and removed without touching the cells", () => {
  const header = make();
  const shared = addRecipient(header, { fileKey: FILE_KEY, recipient: forAlice });
  assert.deepEqual(openHeader(shared, asAlice).hash, parseHeader(header).hash);
  assert.deepEqual(openHeader(shared, master).fileKey, FILE_KEY);
  const unshared = filterRecipients(shared, { fileKey: FILE_KEY, keep: (_stanza, index) => index === 0 });
  assert.deepEqual(unshared, header);
  assert.throws(() => filterRecipients(header, { fileKey: FILE_KEY, keep: () => false }), { code: "invalid_argument" });
});

test("a header takes up to 32 recipients", () => {
  let header = make();
  for (let i = 1; i < MAX_STANZAS; i++) header = addRecipient(header, { fileKey: FILE_KEY, recipient: master });
  assert.equal(openHeader(header, master).stanzas.length, MAX_STANZAS);
  assert.throws(() => addRecipient(header, { fileKey: FILE_KEY, recipient: master }), { code: "invalid_argument" });
  assert.throws(() => make(Array.from({ length: 33 }, () => master)), { code: "invalid_argument" });
  assert.throws(() => make([]), { code: "invalid_argument" });
});

test("a stanza of an unknown type is kept and passed over", () => {
  const header = make();
  const { stanzas } = parseHeader(header);
  const open = filterRecipients(
    // The first stanza becomes one of type 200; its code is made anew by filterRecipients().
    addRecipient(Uint8Array.from(header, (byte, i) => i === 26 ? 200 : byte), { fileKey: FILE_KEY, recipient: master }),
    { fileKey: FILE_KEY, keep: () => true },
  );
  assert.deepEqual(openHeader(open, master).stanzas[0], { type: 200, body: stanzas[0]!.body });
});

test("keys of low order and of wrong length are rejected", () => {
  assert.throws(() => make([{ type: "x25519", publicKey: new Uint8Array(32) }]), {
    code: "invalid_argument",
    message: /low order/,
  });
  assert.throws(() => make([{ type: "x25519", publicKey: new Uint8Array(31) }]), { code: "invalid_argument" });
  assert.throws(() => make([{ type: "master", key: new Uint8Array(16) }]), { code: "invalid_argument" });
  assert.throws(() => openHeader(make(), { type: "master", key: new Uint8Array(0) }), { code: "invalid_argument" });
  assert.throws(() => openHeader(make([forAlice]), { type: "x25519", secretKey: new Uint8Array(5) }), {
    code: "invalid_argument",
  });
  assert.throws(() => createHeader({ fileId: new Uint8Array(15), fileKey: FILE_KEY, recipients: [master] }), {
    code: "invalid_argument",
  });
});

test("passphrases are checked before they are used", async () => {
  const salt = new Uint8Array(16);
  await assert.rejects(deriveMasterKey("", { salt, logN: 10 }), { code: "invalid_argument" });
  await assert.rejects(deriveMasterKey("x", { salt: new Uint8Array(15), logN: 10 }), { code: "invalid_argument" });
  await assert.rejects(deriveMasterKey("x", { salt, logN: 9 }), { code: "invalid_argument" });
  await assert.rejects(deriveMasterKey("x", { salt, logN: 23 }), { code: "invalid_argument" });
});
