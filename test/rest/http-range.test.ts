import assert from "node:assert/strict";
import { test } from "node:test";
import { conditionStatus, MAX_RANGES, parseRange, rangeCounts } from "../../src/rest/http-range.ts";

const spans = (header: string, size: number) => {
  const answer = parseRange(header, size);
  return answer.kind === "spans" ? answer.spans.map(({ start, end }) => [start, end]) : answer.kind;
};

test("a range at the bounds of a file is cut to it", () => {
  assert.deepEqual(spans("bytes=0-0", 10), [[0, 1]]);
  assert.deepEqual(spans("bytes=9-9", 10), [[9, 10]]);
  assert.deepEqual(spans("bytes=9-10", 10), [[9, 10]]);
  assert.deepEqual(spans("bytes=0-", 10), [[0, 10]]);
  assert.deepEqual(spans("bytes=-1", 10), [[9, 10]]);
  assert.deepEqual(spans("bytes=-11", 10), [[0, 10]]);
  assert.deepEqual(spans("bytes=0-99999999999999999999", 10), [[0, 10]]);
  assert.equal(spans("bytes=10-", 10), "unsatisfiable");
  assert.equal(spans("bytes=-0", 10), "unsatisfiable");
  assert.equal(spans("bytes=99999999999999999999-", 10), "unsatisfiable");
});

test("an empty file has no range, but a suffix of it is all of it", () => {
  assert.equal(spans("bytes=0-", 0), "unsatisfiable");
  assert.equal(spans("bytes=-5", 0), "whole");
});

test("what is no range of bytes asks for everything", () => {
  for (
    const header of ["", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=5-4", "items=0-1", "bytes=0-1,x"]
  ) {
    assert.equal(spans(header, 10), "whole", header);
  }
});

test("several ranges keep their order, unless they overlap or touch", () => {
  assert.deepEqual(spans("bytes=6-7, 0-1 ,, -1", 10), [[6, 8], [0, 2], [9, 10]]);
  assert.deepEqual(spans("bytes=5-7,0-5", 10), [[0, 8]]);
  assert.deepEqual(spans("bytes=3-5,0-2,8-9", 10), [[0, 6], [8, 10]]);
  assert.deepEqual(spans("bytes=0-1,20-30", 10), [[0, 2]]);
});

test("more ranges than are served are refused", () => {
  const header = (count: number) => `bytes=${Array.from({ length: count }, (_, i) => `${i * 3}-${i * 3}`).join(",")}`;
  assert.equal(spans(header(MAX_RANGES), 10_000).length, MAX_RANGES);
  assert.equal(spans(header(MAX_RANGES + 1), 10_000), "too-many");
});

const VALIDATORS = { etag: '"abc"', modifiedAt: Date.UTC(2026, 10, 23, 20, 38, 16, 789) };
const DATE = "Mon, 23 Nov 2026 20:38:16 GMT";
const EARLIER = "Mon, 23 Nov 2026 20:38:15 GMT";

test("conditions are held against tag and date, the tag first", () => {
  const status = (headers: Parameters<typeof conditionStatus>[0]) => conditionStatus(headers, VALIDATORS);
  assert.equal(status({}), 200);
  assert.equal(status({ "if-none-match": '"x", W/"abc"' }), 304);
  assert.equal(status({ "if-none-match": "*" }), 304);
  assert.equal(status({ "if-none-match": '"x"', "if-modified-since": DATE }), 200);
  assert.equal(status({ "if-modified-since": DATE }), 304);
  assert.equal(status({ "if-modified-since": EARLIER }), 200);
  assert.equal(status({ "if-modified-since": "no date" }), 200);
  assert.equal(status({ "if-match": '"abc"' }), 200);
  assert.equal(status({ "if-match": 'W/"abc"' }), 412);
  assert.equal(status({ "if-match": '"x"' }), 412);
  assert.equal(status({ "if-unmodified-since": EARLIER }), 412);
  assert.equal(status({ "if-unmodified-since": DATE }), 200);
});

test("a range counts only for a client that has a part of these bytes", () => {
  const counts = (ifRange: string | undefined) => rangeCounts({ "if-range": ifRange }, VALIDATORS);
  assert.ok(counts(undefined));
  assert.ok(counts('"abc"'));
  assert.ok(!counts('W/"abc"'));
  assert.ok(!counts('"x"'));
  assert.ok(counts(DATE));
  assert.ok(!counts(EARLIER));
  assert.ok(!counts("no date"));
});
