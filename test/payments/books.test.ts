import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { PaymentChange, PaymentStore } from "../../src/core/mod.ts";
import { Books, fromText, toText } from "../../src/payments/books.ts";

test("what books write they read again: amounts of any size, bytes, and buffers as bytes", () => {
  const value = { sum: 2n ** 128n - 1n, zero: 0n, bytes: new Uint8Array([0, 255]), text: "n", list: [1n] };
  assert.deepEqual(fromText(toText(value)), value);
  assert.deepEqual(fromText(toText({ bytes: Buffer.from([1, 2]) })), { bytes: new Uint8Array([1, 2]) });
});

/** A store whose writes wait until they are let go. */
function slowStore() {
  const writes: { readonly changes: readonly PaymentChange[]; readonly durable: boolean; end(error?: Error): void }[] =
    [];
  const store: PaymentStore = {
    entries: () => Promise.resolve([]),
    write: (changes, { durable }) =>
      new Promise((resolve, reject) => {
        writes.push({ changes, durable, end: (error) => error === undefined ? resolve() : reject(error) });
      }),
  };
  return {
    store,
    writes,
    keys: () => writes.map(({ changes }) => changes.map(({ key, text }) => `${key}=${text}`).join()),
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("what is touched while a write is under way goes into the next one, once and in its newest form", async () => {
  const { store, writes, keys } = slowStore();
  const books = new Books(store);
  let value = 0;
  const a = { kind: "earning", key: "a", text: () => String(value) } as const;
  const touch = () => books.touch(a);
  const first = touch();
  await turn();
  value = 1;
  const [second, third] = [touch(), books.touch({ kind: "earning", key: "b", text: () => "b" })];
  value = 2;
  await turn();
  assert.deepEqual(keys(), ["a=0"]);
  writes[0]!.end();
  await first;
  await turn();
  assert.deepEqual(keys(), ["a=0", "a=2,b=b"]);
  writes[1]!.end(new Error("The disk is full"));
  await assert.rejects(second, /full/);
  await assert.rejects(third, /full/);
  const fourth = touch();
  await turn();
  writes[2]!.end();
  await fourth;
});

test("what may be written late goes with the next durable write, or at the end", async () => {
  const { store, writes, keys } = slowStore();
  const books = new Books(store);
  books.note({ kind: "spending", key: "a", text: () => "1" });
  const committing = books.commit([{ kind: "spending", key: "b", text: "2" }]);
  await turn();
  assert.deepEqual(keys(), ["a=1,b=2"]);
  assert.ok(writes[0]!.durable);
  writes[0]!.end();
  await committing;
  books.note({ kind: "total", key: "c", text: () => "3" });
  const closing = books.close();
  await turn();
  assert.deepEqual(keys().slice(1), ["c=3"]);
  writes[1]!.end();
  await closing;
});
