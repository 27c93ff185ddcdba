import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { fromText, toText } from "../../src/payments/books.ts";

test("what books write they read again: amounts of any size, bytes, and buffers as bytes", () => {
  const value = { sum: 2n ** 128n - 1n, zero: 0n, bytes: new Uint8Array([0, 255]), text: "n", list: [1n] };
  assert.deepEqual(fromText(toText(value)), value);
  assert.deepEqual(fromText(toText({ bytes: Buffer.from([1, 2]) })), { bytes: new Uint8Array([1, 2]) });
});
