import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import {
  createHeader,
  decodeManifest,
  deriveFileKeys,
  encodeManifest,
  MAX_FILE_BYTES,
  MAX_MANIFEST_BYTES,
  MAX_PROVIDERS,
  openManifest,
} from "../../src/codec/mod.ts";
import type { Manifest } from "../../src/codec/mod.ts";
import { NodeError } from "../../src/core/mod.ts";
import { FILE_ID, FILE_KEY, MASTER_KEY, pseudoRandom } from "./memory-shards.ts";

const master = { type: "master", key: MASTER_KEY } as const;
const { manifestKey } = deriveFileKeys(FILE_KEY, FILE_ID);

function manifest(change: Partial<Manifest> = {}): Manifest {
  return {
    fileId: FILE_ID,
    version: 1,
    createdAtMs: 1_790_000_000_000,
    sizeBytes: 12_345,
    policy: { dataShards: 2, parityShards: 1 },
    name: "a/file.txt",
    contentType: "text/plain",
    header: createHeader({ fileId: FILE_ID, fileKey: FILE_KEY, recipients: [master] }),
    shards: [1, 2, 3].map((seed) => ({ root: pseudoRandom(32, seed), providers: [`node-${seed}:8081`] })),
    ...change,
  };
}

/** Makes the checksum right again after a change. */
function rechecked(bytes: Uint8Array): Uint8Array {
  const body = bytes.subarray(0, -32);
  return new Uint8Array(Buffer.concat([body, createHash("sha256").update(body).digest()]));
}

test("a manifest comes back as it was", () => {
  const value = manifest();
  const bytes = encodeManifest(value, manifestKey);
  assert.deepEqual(decodeManifest(bytes), value);
  assert.deepEqual(openManifest(bytes, master).manifest, value);
});

test("whatever value a manifest holds, it has one form and comes back", () => {
  const printable = (minLength: number) =>
    fc.string({
      unit: fc.integer({ min: 32, max: 126 }).map((code) => String.fromCharCode(code)),
      minLength,
      maxLength: 255,
    });
  const plain = { noNullPrototype: true };
  const value = fc.record({
    version: fc.integer({ min: 1, max: 0xffff_ffff }),
    createdAtMs: fc.maxSafeNat(),
    sizeBytes: fc.integer({ min: 0, max: MAX_FILE_BYTES }),
    name: fc.string({ unit: "binary", minLength: 1, maxLength: 300 }),
    contentType: printable(0),
    shards: fc.array(
      fc.record({
        root: fc.uint8Array({ minLength: 32, maxLength: 32 }),
        providers: fc.array(printable(1), { maxLength: MAX_PROVIDERS }),
      }, plain),
      { minLength: 3, maxLength: 3 },
    ),
  }, plain);
  fc.assert(fc.property(value, (change) => {
    const bytes = encodeManifest(manifest(change), manifestKey);
    const decoded = decodeManifest(bytes);
    assert.deepEqual({ ...decoded, header: null }, { ...manifest(change), header: null });
    assert.deepEqual(encodeManifest(decoded, manifestKey), bytes);
  }));
});

test("no changed bit of a manifest goes unnoticed", () => {
  const bytes = encodeManifest(manifest(), manifestKey);
  for (let at = 0; at < bytes.length; at++) {
    const changed = Uint8Array.from(bytes);
    changed[at]! ^= 1 << (at % 8);
    assert.throws(() => decodeManifest(changed), NodeError, `byte ${at}`);
  }
});

test("a manifest changed by somebody who makes the checksum right does not open", () => {
  const bytes = encodeManifest(manifest(), manifestKey);
  for (let at = 0; at < bytes.length - 32; at++) {
    const changed = Uint8Array.from(bytes);
    changed[at]! ^= 1 << (at % 8);
    assert.throws(() => openManifest(rechecked(changed), master), NodeError, `byte ${at}`);
  }
  const renamed = encodeManifest(manifest({ name: "another" }), pseudoRandom(32));
  assert.equal(decodeManifest(renamed).name, "another");
  assert.throws(() => openManifest(renamed, master), { code: "data_corrupt", message: /without the file's key/ });
});

test("a manifest cut or stretched anywhere is rejected", () => {
  const bytes = encodeManifest(manifest(), manifestKey);
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => decodeManifest(bytes.subarray(0, length)), NodeError);
    if (length >= 40) assert.throws(() => decodeManifest(rechecked(bytes.subarray(0, length))), NodeError);
  }
  const longer = Buffer.concat([bytes.subarray(0, -32), Uint8Array.of(0), bytes.subarray(-32)]);
  assert.throws(() => decodeManifest(rechecked(longer)), { code: "invalid_argument", message: /1 bytes too many/ });
});

test("decodeManifest() throws only NodeErrors, that name field and byte", () => {
  const bytes = encodeManifest(manifest(), manifestKey);
  const edits = fc.array(fc.record({ at: fc.nat(bytes.length - 33), value: fc.nat(255) }), {
    minLength: 1,
    maxLength: 8,
  });
  fc.assert(
    fc.property(edits, (list) => {
      const changed = Uint8Array.from(bytes);
      for (const { at, value } of list) changed[at] = value;
      try {
        decodeManifest(rechecked(changed));
      } catch (error) {
        assert.ok(error instanceof NodeError, String(error));
        assert.ok(["invalid_argument", "unimplemented"].includes(error.code), error.message);
      }
    }),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
    assert.throws(() => decodeManifest(noise), NodeError);
  }));
});

test("a size above the limit, a wrong magic and another version are named", () => {
  const bytes = encodeManifest(manifest(), manifestKey);
  const change = (at: number, value: number) => rechecked(Uint8Array.from(bytes, (byte, i) => i === at ? value : byte));
  assert.throws(() => decodeManifest(change(0, 0)), {
    code: "invalid_argument",
    message: /magic at byte 0 is not "VSPHMAN"/,
  });
  assert.throws(() => decodeManifest(change(7, 2)), { code: "unimplemented", message: /version 2/ });
  assert.throws(() => decodeManifest(change(36, 255)), { code: "invalid_argument", message: /size at byte 36 is/ });
  assert.throws(() => decodeManifest(change(36 + 8, 0)), { code: "invalid_argument", message: /0 data shards/ });
  assert.throws(() => decodeManifest(change(48, 0xff)), {
    code: "invalid_argument",
    message: /name at byte 48 is not UTF-8/,
  });
  assert.throws(() => decodeManifest(new Uint8Array(MAX_MANIFEST_BYTES + 1)), {
    code: "invalid_argument",
    message: /too long/,
  });
});

test("values that a manifest cannot hold are rejected", () => {
  const shard = { root: pseudoRandom(32), providers: [] };
  const wrong: readonly Partial<Manifest>[] = [
    { name: "" },
    { name: "n".repeat(4097) },
    { name: "ü".repeat(2049) },
    { name: "\ud800" },
    { contentType: "text/plain\n" },
    { contentType: "t".repeat(256) },
    { contentType: "ü" },
    { version: 0 },
    { version: 2 ** 32 },
    { createdAtMs: -1 },
    { createdAtMs: 0.5 },
    { sizeBytes: MAX_FILE_BYTES + 1 },
    { sizeBytes: -1 },
    { fileId: new Uint8Array(15) },
    { fileId: pseudoRandom(16, 99) },
    { policy: { dataShards: 3, parityShards: 1 } },
    { policy: { dataShards: 0, parityShards: 3 } },
    { shards: [] },
    { shards: [shard, shard, { root: new Uint8Array(31), providers: [] }] },
    { shards: [shard, shard, { ...shard, providers: [""] }] },
    { shards: [shard, shard, { ...shard, providers: ["p".repeat(256)] }] },
    { shards: [shard, shard, { ...shard, providers: Array.from({ length: MAX_PROVIDERS + 1 }, () => "p") }] },
    { header: new Uint8Array(3) },
  ];
  for (const change of wrong) {
    assert.throws(
      () => encodeManifest(manifest(change), manifestKey),
      { code: "invalid_argument" },
      JSON.stringify(change).slice(0, 80),
    );
  }
  assert.throws(() => encodeManifest(manifest(), new Uint8Array(31)), { code: "invalid_argument" });
  assert.equal(decodeManifest(encodeManifest(manifest({ name: "n".repeat(4096) }), manifestKey)).name.length, 4096);
});
