import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { isStoredRequest, optionsOf, storedRequest } from "../../grpc-plugins/media/request.ts";
import { needsSeeking } from "../../grpc-plugins/media/source.ts";
import { NodeError } from "../../src/core/mod.ts";
import { test } from "../testing.ts";

/** A box of MP4 as its header says it, with as much of its content as is given. */
function box(type: string, size: number, content = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(size);
  header.write(type, 4, "latin1");
  return Buffer.concat([header, content]);
}

const ftyp = box("ftyp", 16, Buffer.alloc(8));

test("an MP4 is read as a stream only when its index comes before its content", () => {
  assert.equal(needsSeeking(Buffer.concat([ftyp, box("moov", 1000)])), false);
  assert.equal(needsSeeking(Buffer.concat([ftyp, box("free", 8), box("moof", 100)])), false);
  assert.equal(needsSeeking(Buffer.concat([ftyp, box("mdat", 100_000)])), true);
  assert.equal(needsSeeking(Buffer.concat([ftyp, box("free", 8), box("mdat", 0)])), true);
  const long = box("free", 1, Buffer.alloc(8));
  long.writeBigUInt64BE(16n, 8);
  assert.equal(needsSeeking(Buffer.concat([ftyp, long, box("moov", 8)])), false);
  // Nonsense and what ends too early are left to a file.
  assert.equal(needsSeeking(Buffer.concat([ftyp, box("free", 4)])), true);
  assert.equal(needsSeeking(ftyp), true);
  assert.equal(needsSeeking(Buffer.from("RIFF1234WAVEfmt ")), false);
  assert.equal(needsSeeking(Buffer.alloc(3)), false);
});

test("what a task asks for stands in its media type", () => {
  assert.deepEqual(optionsOf("video/mp4"), {});
  assert.deepEqual(optionsOf(""), {});
  assert.deepEqual(optionsOf('video/mp4; AT=1.5; width="320";codecs=avc1'), { at: 1.5, width: 320 });
  for (
    const wrong of ["video/mp4; at=-1", "video/mp4; at=soon", "video/mp4; width=1e9", "video/mp4; shell=x", "x; height"]
  ) {
    assert.throws(
      () => optionsOf(wrong),
      (error: NodeError) => error.code === "invalid_argument" && /at|width|shell|height/.test(error.message),
      wrong,
    );
  }
});

test("a task that names a stored file is JSON, and every wrong field is named", () => {
  assert.equal(isStoredRequest("application/json; charset=utf-8"), true);
  assert.equal(isStoredRequest("application/jsonlines"), false);
  assert.deepEqual(storedRequest('{"file":"a","heights":[360]}'), { file: "a", heights: [360] });
  for (
    const [wrong, named] of [["{", /JSON/], ["{}", /file/], ['{"file":"a","heights":[]}', /heights/], [
      '{"file":"a","url":"x"}',
      /url/,
    ]] as const
  ) {
    assert.throws(
      () => storedRequest(wrong),
      (error: NodeError) => error.code === "invalid_argument" && named.test(error.message),
      wrong,
    );
  }
});
