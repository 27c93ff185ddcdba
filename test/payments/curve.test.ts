import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { newSecretKey, nodeKeyOf, recoverDigestSigner } from "../../src/core/mod.ts";
import { loadCurve } from "../../src/payments/mod.ts";

const digestOf = (text: string) => createHash("sha256").update(text).digest();

test("the fast curve signs as pure JavaScript does, byte for byte, and both find the signer", async () => {
  const { sign, recover } = await loadCurve();
  const least = new Uint8Array(32);
  least[31] = 1;
  // The curve's order - 1.
  const largest = Buffer.from("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140", "hex");
  for (const secret of [least, largest, newSecretKey(), newSecretKey()]) {
    const slow = nodeKeyOf(secret);
    const fast = slow.signingWith(sign);
    assert.equal(fast.nodeId, slow.nodeId);
    for (let i = 0; i < 20; i++) {
      const digest = digestOf(`${i}`);
      const signature = fast.signDigest(digest);
      assert.deepEqual(signature, slow.signDigest(digest));
      assert.equal(recover(digest, signature), slow.nodeId);
      assert.equal(recoverDigestSigner(digest, signature), slow.nodeId);
    }
    assert.deepEqual(fast.sign(digestOf("message")), slow.sign(digestOf("message")));
    assert.deepEqual(fast.signingWith(sign).signDigest(digestOf("x")), slow.signDigest(digestOf("x")));
  }
});

test("the fast curve refuses signatures that are malleable, of the wrong length, or that no key makes", async () => {
  const { recover } = await loadCurve();
  const key = nodeKeyOf(newSecretKey());
  const digest = digestOf("a");
  const good = key.signDigest(digest);
  const changes: Uint8Array[] = [good.subarray(1), new Uint8Array(65), new Uint8Array(0)];
  for (const v of [0, 1, 26, 29]) changes.push(Uint8Array.from([...good.subarray(0, 64), v]));
  const order = BigInt("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
  const high = order - BigInt(`0x${Buffer.from(good.subarray(32, 64)).toString("hex")}`);
  const flipped = good[64] === 27 ? 28 : 27;
  changes.push(
    Uint8Array.from([...good.subarray(0, 32), ...Buffer.from(high.toString(16).padStart(64, "0"), "hex"), flipped]),
  );
  for (const bytes of changes) assert.throws(() => recover(digest, bytes), { code: "invalid_argument" });
});
