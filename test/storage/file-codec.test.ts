import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { decodeFileRecord, decodeScore, encodeFileRecord, encodeScore } from "../../src/storage/file-codec.ts";

const read = (name: string) => JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), "utf8"));
const { records, scores } = read("storage-files");

test("stored files have the form that the vectors pin, with the leases of their shards and without", () => {
  for (const { what, file, text } of records) {
    assert.equal(encodeFileRecord(file), text, what);
    assert.deepEqual(decodeFileRecord(text), file, what);
  }
});

test("stored scores have the form that the vectors pin, and those from before faults were kept have none", () => {
  for (const { what, score, text } of scores) {
    assert.equal(encodeScore(score), text, what);
    assert.deepEqual(decodeScore(text), score, what);
  }
  assert.equal(decodeScore(scores[0].text).faults, undefined);
});

test("the lease that is kept with a shard is the one that its provider signed", () => {
  const [{ lease }] = records[0].file.shards;
  const { shardLease } = read("payments");
  assert.deepEqual(lease, {
    v: 1,
    quote: shardLease.quote,
    startsAt: shardLease.startsAt,
    expiresAt: shardLease.record.expiresAt,
    signature: shardLease.signature,
  });
});

test("a stored file of another format is refused with both formats", () => {
  const text = records[0].text.replace('{"v":1', '{"v":2');
  assert.throws(() => decodeFileRecord(text), {
    code: "storage_failed",
    message: /has the format 2, and this program reads 1/,
  });
});
