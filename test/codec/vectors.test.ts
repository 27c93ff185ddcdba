// Checks every format against vectors that an independent implementation of docs/formats.md wrote (test/vectors/codec/reference.py).
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CELL_BYTES,
  CELL_PLAINTEXT_BYTES,
  createHeader,
  decodeManifest,
  deriveFileKeys,
  deriveMaskKey,
  deriveMasterKey,
  encodeManifest,
  ErasureCoder,
  fileLayout,
  LEAF_BYTES,
  masterKeyId,
  MerkleBuilder,
  openHeader,
  openManifest,
  parseHeader,
  proveRange,
  TAG_BYTES,
  verifyRange,
} from "../../src/codec/mod.ts";
import type { Manifest, NodePosition } from "../../src/codec/mod.ts";
import { NodeCellCipher, OpenSslCellCipher, WebCellCipher } from "../../src/codec/cell-cipher.ts";
import { hashLeaves } from "../../src/codec/merkle-hash.ts";
import { openSsl } from "../../src/codec/openssl.ts";
import { parityCoefficient } from "../../src/codec/reed-solomon.ts";
import { NodeShardMask, OpenSslShardMask, WebShardMask } from "../../src/codec/shard-mask.ts";
import { inChunks, MemoryShard } from "./memory-shards.ts";
import { encodeFile } from "../../src/codec/mod.ts";
import { hex, readVectors, sha256, stream, unhex } from "./vectors.ts";

test("the parity coefficients are those of the reference", () => {
  const { coefficients } = readVectors("erasure");
  for (let row = 0; row < 32; row++) {
    for (let column = 0; column < 32; column++) {
      assert.equal(parityCoefficient(row, column), coefficients[row][column], `row ${row}, column ${column}`);
    }
  }
});

for (const variant of ["relaxed", "plain"] as const) {
  test(`the ${variant} kernel makes the parity of the reference`, () => {
    for (const { dataShards, parityShards, data, parity } of readVectors("erasure").cases) {
      const coder = new ErasureCoder({ dataShards, parityShards }, { variant });
      const made = parity.map(() => new Uint8Array(100));
      coder.encode(data.map(unhex), made);
      assert.deepEqual(made.map(hex), parity, `${dataShards}+${parityShards}`);
    }
  });
}

test("trees and range proofs are those of the reference", async () => {
  const { label, cases, farLeaves } = readVectors("tree");
  for (const { leafCount, root, proofs } of cases) {
    const bytes = stream(label, leafCount * LEAF_BYTES);
    const nodes = new Map<string, Uint8Array>();
    const builder = new MerkleBuilder(({ level, index }, digest) => nodes.set(`${level}/${index}`, digest));
    builder.append(bytes);
    const head = builder.finish();
    assert.equal(hex(head.root), root, `${leafCount} leaves`);
    assert.equal(head.leafCount, leafCount);
    const source = {
      nodes: (positions: readonly NodePosition[]) =>
        positions.map(({ level, index }) => nodes.get(`${level}/${index}`)!),
      leaves: (range: { first: number; end: number }) =>
        bytes.subarray(range.first * LEAF_BYTES, range.end * LEAF_BYTES),
    };
    for (const { first, end, proof } of proofs) {
      assert.equal(
        hex(await proveRange(source, leafCount, { first, end })),
        proof,
        `${first} to ${end} of ${leafCount}`,
      );
      const leaves = bytes.subarray(first * LEAF_BYTES, end * LEAF_BYTES);
      assert.ok(verifyRange(head, { firstLeaf: first, bytes: leaves, proof: unhex(proof) }));
    }
  }
  const leaf = stream(farLeaves.label, LEAF_BYTES);
  for (const { index, digest } of farLeaves.digests) {
    assert.equal(hex(hashLeaves(leaf, index)), digest, `leaf ${index}`);
  }
});

test("file keys, mask keys, key ids and passphrase keys are those of the reference", async () => {
  const vectors = readVectors("keys");
  const fileKey = unhex(vectors.fileKey);
  const fileId = unhex(vectors.fileId);
  const keys = deriveFileKeys(fileKey, fileId);
  assert.equal(hex(keys.payloadKey), vectors.keys.payload);
  assert.equal(hex(keys.headerKey), vectors.keys.header);
  assert.equal(hex(keys.manifestKey), vectors.keys.manifest);
  for (const [shard, key] of Object.entries(vectors.maskKeys)) {
    assert.equal(hex(deriveMaskKey(fileKey, fileId, Number(shard))), key);
  }
  assert.equal(hex(masterKeyId(unhex(vectors.masterKey))), vectors.masterKeyId);
  for (const { passphrase, salt, logN, masterKey } of vectors.passphrases) {
    assert.equal(hex(await deriveMasterKey(passphrase, { salt: unhex(salt), logN })), masterKey);
  }
});

test("headers are those of the reference and open for both recipients", () => {
  const vectors = readVectors("header");
  const fileKey = unhex(vectors.fileKey);
  const random = vectors.random.map(unhex);
  const header = createHeader({
    fileId: unhex(vectors.fileId),
    fileKey,
    recipients: [
      { type: "master", key: unhex(vectors.masterKey) },
      { type: "x25519", publicKey: unhex(vectors.x25519PublicKey) },
    ],
    random: () => random.shift(),
  });
  assert.equal(hex(header), vectors.header);
  assert.equal(hex(parseHeader(header).hash), vectors.hash);
  for (
    const identity of [
      { type: "master", key: unhex(vectors.masterKey) },
      { type: "x25519", secretKey: unhex(vectors.x25519SecretKey) },
      { type: "file", key: fileKey },
    ] as const
  ) {
    assert.deepEqual(openHeader(header, identity).fileKey, fileKey);
  }
});

for (const Cipher of [NodeCellCipher, WebCellCipher, ...openSsl() === undefined ? [] : [OpenSslCellCipher]]) {
  test(`${Cipher.name} seals and opens the reference's cells`, async () => {
    const { label, fileKey, fileId, cases, far } = readVectors("cells");
    const header = createHeader({
      fileId: unhex(fileId),
      fileKey: unhex(fileKey),
      recipients: [{ type: "master", key: new Uint8Array(32) }],
    });
    const { keys, hash } = openHeader(header, { type: "file", key: unhex(fileKey) });
    const cipher = new Cipher({ payloadKey: keys.payloadKey, headerHash: hash });
    for (const { sizeBytes, sealedBytes, sha256: digest, sealed } of cases) {
      const plaintext = stream(label, sizeBytes);
      const made = new Uint8Array(sealedBytes);
      const cells = Math.max(1, Math.ceil(sizeBytes / CELL_PLAINTEXT_BYTES));
      for (let index = 0; index < cells; index++) {
        const cell = plaintext.subarray(index * CELL_PLAINTEXT_BYTES, (index + 1) * CELL_PLAINTEXT_BYTES);
        const target = made.subarray(index * CELL_BYTES, index * CELL_BYTES + cell.length + TAG_BYTES);
        const place = { index, last: index === cells - 1 };
        await cipher.seal(cell, place, target);
        assert.ok(hex(await cipher.open(target, place)) === hex(cell));
      }
      assert.equal(sha256(made), digest, `${sizeBytes} bytes`);
      if (sealed !== undefined) assert.equal(hex(made), sealed);
    }
    for (const { index, last, sealed } of far.cells) {
      assert.equal(hex(await cipher.open(unhex(sealed), { index, last })), far.plaintext, `cell ${index}`);
    }
  });
}

for (const Mask of [NodeShardMask, WebShardMask, ...openSsl() === undefined ? [] : [OpenSslShardMask]]) {
  test(`${Mask.name} makes the reference's key stream at every offset`, async () => {
    const { key, cases } = readVectors("mask");
    const mask = new Mask(unhex(key));
    for (const { offset, keystream } of cases) {
      assert.equal(hex(await mask.apply(new Uint8Array(40), offset)), keystream, `offset ${offset}`);
    }
  });
}

test("layouts are those of the reference", () => {
  for (const { dataShards, parityShards, sizeBytes, ...expected } of readVectors("layout").cases) {
    const policy = { dataShards, parityShards };
    assert.deepEqual(fileLayout(sizeBytes, policy), { sizeBytes, policy, ...expected });
  }
});

test("whole files become the reference's shards", async () => {
  const { label, fileKey, fileId, cases } = readVectors("file");
  const bytes = createHeader({
    fileId: unhex(fileId),
    fileKey: unhex(fileKey),
    recipients: [{ type: "master", key: new Uint8Array(32) }],
  });
  const header = openHeader(bytes, { type: "file", key: unhex(fileKey) });
  for (const { sizeBytes, dataShards, parityShards, shardBytes, shards } of cases) {
    const writers = shards.map(() => new MemoryShard());
    const policy = { dataShards, parityShards };
    const { heads } = await encodeFile(inChunks(stream(label, sizeBytes)), { header, policy, writers });
    for (const [index, writer] of writers.entries()) {
      writer.close();
      const what = `shard ${index} of ${sizeBytes} bytes at ${dataShards}+${parityShards}`;
      assert.equal(writer.bytes.length, shardBytes, what);
      assert.equal(sha256(writer.bytes), shards[index].sha256, what);
      assert.equal(hex(heads[index]!.root), shards[index].root, what);
    }
  }
});

test("manifests are those of the reference in both directions", () => {
  const vectors = readVectors("manifest");
  const fileKey = unhex(vectors.fileKey);
  for (const { bytes, dataShards, parityShards, shards, fileId, ...rest } of vectors.cases) {
    const manifest: Manifest = {
      ...rest,
      fileId: unhex(fileId),
      header: unhex(vectors.header),
      policy: { dataShards, parityShards },
      shards: shards.map(({ root, providers }: { root: string; providers: string[] }) => ({
        root: unhex(root),
        providers,
      })),
    };
    const encoded = encodeManifest(manifest, deriveFileKeys(fileKey, manifest.fileId).manifestKey);
    assert.equal(hex(encoded), bytes);
    assert.deepEqual(decodeManifest(encoded), manifest);
    assert.deepEqual(openManifest(encoded, { type: "file", key: fileKey }).manifest, manifest);
  }
});
