import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { ProtoWriter } from "../../src/tracing/proto-writer.ts";
import { test } from "../testing.ts";

/** What was written; there is room for more than any of these tests writes. */
function bytesOf(write: (writer: ProtoWriter) => void): Buffer {
  const writer = new ProtoWriter(Buffer.alloc(1 << 20, 0xff));
  write(writer);
  assert(writer.fits);
  return writer.bytes.subarray(0, writer.length);
}

function written(write: (writer: ProtoWriter) => void): BinaryReader {
  return new BinaryReader(bytesOf(write));
}

function readAll(reader: BinaryReader, read: () => unknown): unknown {
  const value = read();
  assert.equal(reader.pos, reader.len);
  return value;
}

test("varint() writes every whole number that a number holds", () => {
  for (const edge of [2 ** 7, 2 ** 14, 2 ** 31, 2 ** 32, 2 ** 35, 2 ** 53]) {
    for (const value of [edge - 1, edge, edge + 1].filter(Number.isSafeInteger)) {
      const reader = written((writer) => writer.varint(value));
      assert.equal(String(readAll(reader, () => reader.uint64())), String(value));
    }
  }
  const zero = written((writer) => writer.varint(0));
  assert.equal(readAll(zero, () => zero.uint32()), 0);
});

test("words and doubles are written in the order of their bytes", () => {
  for (const word of [0, 1, -1, 0x12345678, -0x12345678]) {
    const big = bytesOf((writer) => writer.bigEndian(word));
    assert.deepEqual([big.length, big.readInt32BE()], [4, word]);
    const little = written((writer) => writer.littleEndian(word));
    assert.equal(readAll(little, () => little.sfixed32()), word);
  }
  for (const value of [0, -1.5, Math.PI, Infinity]) {
    const reader = written((writer) => writer.double(value));
    assert.equal(readAll(reader, () => reader.double()), value);
  }
});

test("text() writes UTF-8 of any length and content", () => {
  const texts = ["", "a", "\u007f", "\u0080", "東京", "🦊", "\u0000", "almost ascii é", "\u{1f98a}".repeat(32)];
  for (const length of [63, 64, 65, 127, 128, 129, 16_383, 16_384]) {
    texts.push("x".repeat(length), `${"x".repeat(length - 1)}é`);
  }
  for (const text of texts) {
    const reader = written((writer) => writer.text(0x0a, text));
    assert.deepEqual(reader.tag(), [1, 2]);
    assert.equal(readAll(reader, () => reader.string()), text);
  }
  const lone = written((writer) => writer.text(0x0a, "\ud800 alone"));
  lone.tag();
  assert.equal(lone.string(), "\ufffd alone", "what is no Unicode is replaced, for a decoder may refuse it");
});

test("messages have their length before them, however they are nested", () => {
  for (const size of [0, 1, 127, 128, 16_384, 500_000]) {
    const reader = written((writer) => {
      const outer = writer.begin(0x0a);
      const inner = writer.begin(0x12);
      for (let i = 0; i < size; i++) writer.byte(i & 0x7f);
      writer.end(inner);
      writer.end(outer);
    });
    reader.tag();
    assert.equal(reader.uint32(), size + 5);
    assert.deepEqual(reader.tag(), [2, 2]);
    assert.equal(reader.uint32(), size);
    assert.equal(reader.len - reader.pos, size);
  }
});

test("what finds no room is counted as no less than it needs, and nothing is written past the end", () => {
  const write = (writer: ProtoWriter) => {
    const start = writer.begin(0x0a);
    writer.text(0x12, "short");
    writer.text(0x12, "é".repeat(50));
    writer.varint(300);
    writer.bigEndian(1);
    writer.double(2);
    writer.end(start);
  };
  const whole = new ProtoWriter(Buffer.alloc(1000));
  write(whole);
  for (let room = 0; room < whole.length; room++) {
    const memory = Buffer.alloc(1000, 0xee);
    const writer = new ProtoWriter(memory.subarray(0, room));
    write(writer);
    assert(!writer.fits && writer.length >= whole.length, `${room}`);
    assert(memory.subarray(room).every((byte) => byte === 0xee), `${room}`);
  }
});
