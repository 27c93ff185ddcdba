import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import type { ServerHttp2Stream } from "node:http2";
import { PassThrough } from "node:stream";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { PutShardRequestSchema } from "../../src/gen/velas/sphere/v1/storage_pb.ts";
import { bytesFieldHead, frameOf } from "../../src/rpc/grpc-frame.ts";
import { UploadBody, type UploadItem } from "../../src/rpc/upload-body.ts";
import { test } from "../testing.ts";

const MAX_MESSAGE_BYTES = 1 << 20;
const CHUNK_FIELD = 2;

function bodyOf(maxMessageBytes = MAX_MESSAGE_BYTES) {
  const stream = new PassThrough();
  const body = new UploadBody(stream as unknown as ServerHttp2Stream, { field: CHUNK_FIELD, maxMessageBytes });
  return { stream, body };
}

function frame(message: MessageInitShape<typeof PutShardRequestSchema>["message"]): Uint8Array {
  return frameOf(toBinary(PutShardRequestSchema, create(PutShardRequestSchema, { message: message! })));
}

async function itemsOf(body: UploadBody): Promise<UploadItem[]> {
  const items: UploadItem[] = [];
  for (let item = await body.next(); item !== undefined; item = await body.next()) items.push(item);
  return items;
}

/** What the items say, pieces of bytes beside each other put together. */
function told(items: readonly UploadItem[]): string[] {
  const parts: string[] = [];
  let bytes: Uint8Array[] = [];
  const flush = () => {
    if (bytes.length > 0) parts.push(`bytes ${createHash("sha256").update(Buffer.concat(bytes)).digest("hex")}`);
    bytes = [];
  };
  for (const item of items) {
    if (item.kind === "bytes") {
      bytes.push(item.bytes);
      continue;
    }
    flush();
    parts.push(`message ${Buffer.from(item.message).toString("hex")}`);
  }
  flush();
  return parts;
}

const order = frame({ case: "order", value: { id: "a".repeat(32), maxBytes: 1n << 40n, leaseMs: 5n } });
const end = frame({ case: "end", value: {} });

test("the bytes of an upload come out as they went in, however the connection cuts its frames", async () => {
  const chunks = [randomBytes(1), randomBytes(127), randomBytes(128), randomBytes(300_000)];
  const whole = Buffer.concat([order, ...chunks.map((value) => frame({ case: "chunk", value })), end]);
  const expected = [
    `message ${Buffer.from(order.subarray(5)).toString("hex")}`,
    `bytes ${createHash("sha256").update(Buffer.concat(chunks)).digest("hex")}`,
    `message ${Buffer.from(end.subarray(5)).toString("hex")}`,
  ];
  for (const size of [1, 2, 3, 5, 6, 7, 8, 16, 4096, 16_384, whole.length]) {
    const { stream, body } = bodyOf();
    const items = itemsOf(body);
    for (let at = 0; at < whole.length; at += size) {
      if (!stream.write(whole.subarray(at, at + size))) await new Promise((resolve) => stream.once("drain", resolve));
    }
    stream.end();
    assert.deepEqual(told(await items), expected, `in pieces of ${size}`);
  }
});

test("the head before a field's bytes is what protobuf writes", () => {
  for (const length of [1, 127, 128, 16_383, 16_384, 300_000]) {
    const value = randomBytes(length);
    assert.deepEqual(Buffer.concat([bytesFieldHead(CHUNK_FIELD, length), value]), frame({ case: "chunk", value }));
  }
});

test("a chunk in any other form is handed on as a message: empty, with more behind it, and in a long form", async () => {
  const odd = [
    [0x12, 0], // no bytes
    [0x12, 1, 7, 0x1a, 0], // the end behind them
    [0x92, 0x00, 2, 7, 8], // a tag of two bytes
    [0x12, 0x82, 0x80, 0x00, 7, 8], // a length of three bytes
    [0x12, 9, 7], // fewer bytes than it says
    [0x12], // no length
    [], // nothing
  ];
  const { stream, body } = bodyOf();
  stream.end(Buffer.concat(odd.map((message) => frameOf(Buffer.from(message)))));
  const items = await itemsOf(body);
  const kinds = items.map((item) => Buffer.from(item.kind === "bytes" ? item.bytes : item.message).toString("hex"));
  // The long forms say the same as the short ones, and either way gives the same bytes.
  assert.deepEqual(kinds, ["1200", "1201071a00", "0708", "0708", "120907", "12", ""]);
});

test("what is no gRPC fails where it begins, and what came before is handed on", async () => {
  const chunk = frame({ case: "chunk", value: randomBytes(10) });
  const compressed = Buffer.from(chunk);
  compressed[0] = 1;
  const large = frameOf(new Uint8Array(MAX_MESSAGE_BYTES + 1));
  for (
    const [bad, message] of [
      [compressed, /do not know how to decompress/],
      [large, /larger than configured readMaxBytes 1048576/],
      [chunk.subarray(0, 3), /incomplete envelope/],
      [chunk.subarray(0, 12), /incomplete envelope/],
      [order.subarray(0, 20), /incomplete envelope/],
    ] as const
  ) {
    const { stream, body } = bodyOf();
    stream.end(Buffer.concat([order, chunk, bad]));
    assert.equal((await body.next())?.kind, "message");
    assert.equal((await body.next())?.kind, "bytes");
    await assert.rejects(itemsOf(body), message);
  }
});

test("bytes of a chunk that is cut off are handed on before the failure", async () => {
  const { stream, body } = bodyOf();
  stream.write(frame({ case: "chunk", value: randomBytes(100_000) }).subarray(0, 60_009));
  await new Promise((resolve) => setImmediate(resolve));
  stream.destroy();
  const item = await body.next();
  assert.equal(item?.kind === "bytes" && item.bytes.length, 60_000);
  await assert.rejects(body.next(), { code: "canceled" });
});

test("a stream is read no further than its reader takes", async () => {
  const { stream, body } = bodyOf();
  const chunk = frame({ case: "chunk", value: randomBytes(65_536) });
  let written = 0;
  while (written < 400 && stream.write(chunk)) {
    written++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(written > 1 && written < 40, `${written} chunks of 64 KiB went in though nobody read`);
  stream.end();
  const items = await itemsOf(body);
  assert.equal(
    items.reduce((sum, item) => sum + (item.kind === "bytes" ? item.bytes.length : 0), 0),
    (written + 1) * 65_536,
  );
});

test("a reader that stops lets the sender end", async () => {
  const { stream, body } = bodyOf();
  const sent = (async () => {
    for (let i = 0; i < 100; i++) {
      const chunk = frame({ case: "chunk", value: randomBytes(65_536) });
      if (!stream.write(chunk)) await new Promise((resolve) => stream.once("drain", resolve));
    }
    stream.end();
  })();
  await body.next();
  body.stop();
  await sent;
});
