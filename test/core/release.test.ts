import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeno, release } from "../../src/core/mod.ts";

test("bytes that are released are empty, and with them whatever lies in their buffer", () => {
  const whole = new Uint8Array(1000);
  release(whole, true);
  assert.equal(whole.length, 0);
  const buffer = new Uint8Array(1000);
  release(buffer.subarray(500), true);
  assert.equal(buffer.length, 0);
});

test("bytes that are less than half of a buffer are left alone, since others may lie in it", () => {
  const buffer = new Uint8Array(1001);
  const some = buffer.subarray(501);
  release(some, true);
  assert.deepEqual([some.length, buffer.length], [500, 1001]);
  // What node:buffer takes from its pool is less than half of it.
  const pooled = Buffer.allocUnsafe((Buffer.poolSize >>> 1) - 1);
  release(pooled, true);
  assert.equal(pooled.length, (Buffer.poolSize >>> 1) - 1);
});

test("shared memory, and all memory on Node, is left alone", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(8));
  release(shared, true);
  assert.equal(shared.length, 8);
  const bytes = new Uint8Array(8);
  release(bytes);
  assert.equal(bytes.length, isDeno ? 0 : 8);
});
