import assert from "node:assert/strict";
import { test } from "node:test";
import { contentDisposition, uploadContentType } from "../../src/rest/file-headers.ts";

test("a name becomes a file name that clients old and new can read", () => {
  assert.equal(contentDisposition("inline", "photos/cat.jpg"), 'inline; filename="cat.jpg"');
  assert.equal(
    contentDisposition("attachment", "Käse €.txt"),
    `attachment; filename="K_se _.txt"; filename*=UTF-8''K%C3%A4se%20%E2%82%AC.txt`,
  );
  assert.equal(
    contentDisposition("inline", `it's "100%" (*).txt`),
    `inline; filename="it's _100__ (*).txt"; filename*=UTF-8''it%27s%20%22100%25%22%20%28%2A%29.txt`,
  );
});

test("a name cannot lead out of a folder, break the header, or read backwards", () => {
  assert.equal(contentDisposition("inline", "a/../.."), 'inline; filename="file"');
  assert.equal(contentDisposition("inline", "///"), 'inline; filename="file"');
  assert.equal(contentDisposition("inline", "C:\\evil"), 'inline; filename="C__evil"');
  assert.equal(contentDisposition("inline", "a\r\nSet-Cookie: x"), 'inline; filename="a__Set-Cookie_ x"');
  assert.equal(contentDisposition("inline", "gpj.\u202eexe"), 'inline; filename="gpj._exe"');
});

test("a long name is cut within what a header holds", () => {
  const header = contentDisposition("inline", "é".repeat(2048));
  assert.ok(header.length < 2048, String(header.length));
  assert.doesNotThrow(() => contentDisposition("inline", "😀".repeat(1024)));
});

test("an upload without a type gets the one of its ending", () => {
  assert.equal(uploadContentType("image/png", "a.jpg"), "image/png");
  assert.equal(uploadContentType(undefined, "a.JPG"), "image/jpeg");
  assert.equal(uploadContentType("application/x-www-form-urlencoded", "a.mp4"), "video/mp4");
  assert.equal(uploadContentType(undefined, "constructor"), "");
  assert.equal(uploadContentType(undefined, "a.constructor"), "");
});
