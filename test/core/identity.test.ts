import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { isNodeId, NodeError, nodeKeyOf, parseNodeId, recoverSigner, SIGNATURE_BYTES } from "../../src/core/mod.ts";

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** Published keys: the first accounts of anvil and hardhat, the key of EIP-155's example, the key 1. */
const KNOWN_KEYS = [
  ["ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"],
  ["59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"],
  ["4646464646464646464646464646464646464646464646464646464646464646", "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"],
  ["0000000000000000000000000000000000000000000000000000000000000001", "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"],
] as const;

const invalidArgument = (error: unknown): boolean => error instanceof NodeError && error.code === "invalid_argument";

test("nodeKeyOf() gives the published addresses of published keys", () => {
  for (const [secret, address] of KNOWN_KEYS) assert.equal(nodeKeyOf(hex(secret)).nodeId, address);
});

test("nodeKeyOf() takes the largest key and rejects zero, the curve's order, and other lengths", () => {
  const bytes = (value: bigint): Uint8Array => hex(value.toString(16).padStart(64, "0"));
  assert.ok(isNodeId(nodeKeyOf(bytes(CURVE_ORDER - 1n)).nodeId));
  for (const bad of [bytes(0n), bytes(CURVE_ORDER), new Uint8Array(31).fill(1), new Uint8Array(33).fill(1)]) {
    assert.throws(() => nodeKeyOf(bad), invalidArgument);
  }
});

test("a node key does not show its secret and does not follow later changes of the bytes it was made from", () => {
  const secret = hex(KNOWN_KEYS[0][0]);
  const key = nodeKeyOf(secret);
  secret.fill(0);
  assert.equal(recoverSigner(utf8("x"), key.sign(utf8("x"))), KNOWN_KEYS[0][1]);
  assert.deepEqual(Object.keys(key), ["nodeId", "sign", "signDigest", "signingWith"]);
});

test("sign() gives the deterministic EIP-191 signatures that other implementations give", () => {
  // Made with viem 2.57 (signMessage) from anvil's first key; RFC 6979 makes them reproducible.
  const key = nodeKeyOf(hex(KNOWN_KEYS[0][0]));
  assert.equal(
    Buffer.from(key.sign(utf8("hello world"))).toString("hex"),
    "a461f509887bd19e312c0c58467ce8ff8e300d3c1a90b608a760c5b80318eaf15fe57c96f9175d6cd4daad4663763baa7e78836e067d0163e9a2ccf2ff753f5b1b",
  );
});

test("recoverSigner() names the signer of messages of any length and bytes", () => {
  const key = nodeKeyOf(hex(KNOWN_KEYS[1][0]));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (message) => {
      const signature = key.sign(message);
      assert.equal(signature.length, SIGNATURE_BYTES);
      assert.equal(recoverSigner(message, signature), key.nodeId);
    }),
    { numRuns: 20 },
  );
});

test("recoverSigner() names another signer, or none, when message or signature were changed", () => {
  const key = nodeKeyOf(hex(KNOWN_KEYS[0][0]));
  const message = utf8("velas-sphere node info v1\n");
  const signature = key.sign(message);
  assert.notEqual(recoverSigner(utf8("velas-sphere node info v2\n"), signature), key.nodeId);
  for (const index of [0, 31, 32, 63, 64]) {
    const changed = signature.slice();
    changed[index] = changed[index]! ^ 1;
    let signer: string | undefined;
    try {
      signer = recoverSigner(message, changed);
    } catch (error) {
      assert.ok(invalidArgument(error));
    }
    assert.notEqual(signer, key.nodeId, `byte ${index}`);
  }
});

test("recoverSigner() rejects malformed and malleable signatures", () => {
  const key = nodeKeyOf(hex(KNOWN_KEYS[0][0]));
  const message = utf8("m");
  const signature = key.sign(message);
  // The other signature of the same message: s' = n - s, with the other v (EIP-2).
  const highS = signature.slice();
  const s = BigInt(`0x${Buffer.from(signature.subarray(32, 64)).toString("hex")}`);
  highS.set(hex((CURVE_ORDER - s).toString(16).padStart(64, "0")), 32);
  highS[64] = signature[64] === 27 ? 28 : 27;
  const withV = (v: number): Uint8Array => Uint8Array.of(...signature.subarray(0, 64), v);
  const zeros = new Uint8Array(65);
  zeros[64] = 27;
  const bad = [highS, withV(0), withV(1), withV(26), withV(29), zeros, signature.subarray(0, 64)];
  for (const each of [...bad, new Uint8Array(0), new Uint8Array(66)]) {
    assert.throws(() => recoverSigner(message, each), invalidArgument);
  }
});

test("parseNodeId() takes the examples of EIP-55 in any of their right spellings", () => {
  const examples = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
  ];
  for (const address of examples) {
    assert.equal(parseNodeId(address), address);
    assert.equal(parseNodeId(address.toLowerCase()), address);
    assert.equal(parseNodeId(`0x${address.slice(2).toUpperCase()}`), address);
  }
});

test("parseNodeId() rejects wrong checksums, lengths, and letters, and does not repeat a long text", () => {
  const bad = [
    "",
    "0x",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",
    "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed0",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeg",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n",
    "x".repeat(10_000),
  ];
  for (const text of bad) {
    assert.throws(() => parseNodeId(text), (error) => invalidArgument(error) && (error as Error).message.length < 300);
  }
});
