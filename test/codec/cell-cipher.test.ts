import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CELL_BYTES, CELL_PLAINTEXT_BYTES, TAG_BYTES } from "../../src/codec/mod.ts";
import { NodeCellCipher, OpenSslCellCipher, WebCellCipher } from "../../src/codec/cell-cipher.ts";
import type { CellCipher, CellPlace } from "../../src/codec/cell-cipher.ts";
import { openSsl } from "../../src/codec/openssl.ts";
import { NodeShardMask, OpenSslShardMask, WebShardMask } from "../../src/codec/shard-mask.ts";
import { pseudoRandom, sameBytes } from "./memory-shards.ts";

const keys = { payloadKey: pseudoRandom(32, 1), headerHash: pseudoRandom(32, 2) };

const hasOpenSsl = openSsl() !== undefined;
const CIPHERS = [NodeCellCipher, WebCellCipher, ...hasOpenSsl ? [OpenSslCellCipher] : []];
const MASKS = [NodeShardMask, WebShardMask, ...hasOpenSsl ? [OpenSslShardMask] : []];

async function seal(cipher: CellCipher, plaintext: Uint8Array, place: CellPlace): Promise<Uint8Array> {
  const target = new Uint8Array(plaintext.length + TAG_BYTES);
  await cipher.seal(plaintext, place, target);
  return target;
}

test("all ciphers write the same bytes and read each other's", async () => {
  const node = new NodeCellCipher(keys);
  const others = CIPHERS.map((Cipher) => new Cipher(keys));
  for (const length of [0, 1, 15, 16, 17, 1023, 1024, CELL_PLAINTEXT_BYTES - 1, CELL_PLAINTEXT_BYTES]) {
    for (const place of [{ index: 0, last: false }, { index: 2 ** 32 + 7, last: true }]) {
      const plaintext = pseudoRandom(length, 5);
      const sealed = await seal(node, plaintext, place);
      for (const cipher of others) {
        assert.ok(sameBytes(sealed, await seal(cipher, plaintext, place)));
        assert.ok(sameBytes(await cipher.open(sealed, place), plaintext));
      }
    }
  }
});

for (const Cipher of CIPHERS) {
  test(`${Cipher.name} opens a cell only as what and where it was sealed`, async () => {
    const cipher = new Cipher(keys);
    const place = { index: 5, last: false };
    const sealed = await seal(cipher, pseudoRandom(100), place);
    const refused = (bytes: Uint8Array, at: CellPlace, by: CellCipher = cipher) =>
      assert.rejects(by.open(bytes, at), {
        code: "data_corrupt",
        message: new RegExp(`Cell ${at.index} does not open`),
      });
    await refused(sealed, { index: 6, last: false });
    await refused(sealed, { index: 5, last: true });
    await refused(sealed, { index: 5 + 2 ** 32, last: false });
    await refused(sealed.subarray(0, -1), place);
    await refused(sealed.subarray(1), place);
    await refused(new Uint8Array(0), place);
    await refused(new Uint8Array(TAG_BYTES - 1), place);
    await refused(new Uint8Array(TAG_BYTES), place);
    await refused(new Uint8Array(CELL_BYTES + 1), place);
    await refused(sealed, place, new Cipher({ ...keys, payloadKey: pseudoRandom(32, 9) }));
    await refused(sealed, place, new Cipher({ ...keys, headerHash: pseudoRandom(32, 9) }));
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length * 8 - 1), async (bit) => {
        const changed = Uint8Array.from(sealed);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        await refused(changed, place);
      }),
      { numRuns: 50 },
    );
  });

  test(`${Cipher.name} refuses to seal what is no cell`, async () => {
    const cipher = new Cipher(keys);
    const place = { index: 0, last: true };
    const long = new Uint8Array(CELL_PLAINTEXT_BYTES + 1);
    await assert.rejects(seal(cipher, long, place), { code: "invalid_argument" });
    await assert.rejects(cipher.seal(new Uint8Array(5), place, new Uint8Array(20)), { code: "invalid_argument" });
  });
}

test("all masks are one key stream wherever they begin, and undo themselves", async () => {
  const node = new NodeShardMask(pseudoRandom(32, 3));
  const others = MASKS.map((Mask) => new Mask(pseudoRandom(32, 3)));
  const whole = await node.apply(new Uint8Array(70_000), 0);
  await fc.assert(
    fc.asyncProperty(fc.nat(65_000), fc.nat(5000), async (offset, length) => {
      const bytes = pseudoRandom(length, 8);
      const masked = await node.apply(bytes, offset);
      assert.ok(sameBytes(masked, bytes.map((byte, i) => byte ^ whole[offset + i]!)));
      for (const mask of others) {
        assert.ok(sameBytes(masked, await mask.apply(bytes, offset)));
        assert.ok(sameBytes(await mask.apply(masked, offset), bytes));
      }
    }),
    { numRuns: 60 },
  );
});
