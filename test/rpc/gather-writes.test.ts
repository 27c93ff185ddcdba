import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { Writable } from "node:stream";
import { gatherWrites } from "../../src/rpc/client/gather-writes.ts";
import { test } from "../testing.ts";

/** A stream that notes how many parts came together, and what they were. */
function noting(): { stream: Writable; parts: number[]; text: () => string } {
  const parts: number[] = [];
  let text = "";
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      parts.push(1);
      text += chunk;
      done();
    },
    writev(chunks: { chunk: Buffer }[], done) {
      parts.push(chunks.length);
      for (const { chunk } of chunks) text += chunk;
      done();
    },
  });
  return { stream, parts, text: () => text };
}

test("what is written in one turn leaves together and in order, each turn by itself", async () => {
  const { stream, parts, text } = noting();
  gatherWrites(stream, true);
  for (const part of ["a", "b"]) stream.write(part);
  await new Promise<void>((resolve) => stream.write("c", () => resolve()));
  await new Promise<void>((resolve) => stream.write("d", () => resolve()));
  assert.deepEqual(parts, [3, 1]);
  assert.equal(text(), "abcd");
});

test("a stream that ends in the turn of a write has it all", async () => {
  const { stream, text } = noting();
  gatherWrites(stream, true);
  stream.write("a");
  stream.end("b");
  await once(stream, "finish");
  assert.equal(text(), "ab");
});

test("without need writes are left as they are", () => {
  const { stream, parts } = noting();
  gatherWrites(stream, false);
  for (const part of ["a", "b"]) stream.write(part);
  assert.deepEqual(parts, [1, 1]);
});
