import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeno, release, releaseWhole } from "../../src/core/mod.ts";

const LARGE = 1 << 20; // 1 MiB

test("bytes that are released are empty, and with them whatever lies in their buffer", () => {
  const whole = new Uint8Array(LARGE);
  release(whole);
  assert.equal(whole.length, 0);
  const buffer = new Uint8Array(LARGE);
  release(buffer.subarray(LARGE / 2));
  assert.equal(buffer.length, 0);
});

test("bytes that are less than half of a buffer are left alone, since others may lie in it", () => {
  const buffer = new Uint8Array(LARGE + 1);
  const some = buffer.subarray(LARGE / 2 + 1);
  release(some);
  assert.deepEqual([some.length, buffer.length], [LARGE / 2, LARGE + 1]);
  // What node:buffer takes from its pool is less than half of it.
  const pooled = Buffer.allocUnsafe((Buffer.poolSize >>> 1) - 1);
  release(pooled);
  assert.equal(pooled.length, (Buffer.poolSize >>> 1) - 1);
});

test("who does not know what else lies in a buffer releases bytes that are all of it, and no others", () => {
  const buffer = new Uint8Array(LARGE);
  const most = buffer.subarray(1);
  releaseWhole(most);
  assert.deepEqual([most.length, buffer.length], [LARGE - 1, LARGE]);
  releaseWhole(buffer);
  assert.deepEqual([most.length, buffer.length], [0, 0]);
});

test("shared memory is left alone, and what may be a frame of HTTP/2 on Node", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(LARGE));
  release(shared);
  assert.equal(shared.length, LARGE);
  const frame = new Uint8Array(16 << 10);
  release(frame);
  assert.equal(frame.length, isDeno ? 0 : 16 << 10);
});
