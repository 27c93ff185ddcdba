import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { goString, readGoStrings } from "../../src/rest/go-json.ts";
import { findJsonFault } from "../../src/rest/json-position.ts";

const FIELDS = ["id", "input"] as const;

test("readGoStrings() takes the last of all spellings of a key", () => {
  assert.deepEqual(readGoStrings('{"id":"a","ID":"b","id":"c"}', FIELDS), { id: "c", input: "" });
  assert.deepEqual(readGoStrings('{"id":"a","iD":"b"}', FIELDS), { id: "b", input: "" });
  assert.deepEqual(readGoStrings('{"\\u0049d":"escaped"}', FIELDS), { id: "escaped", input: "" });
});

test("readGoStrings() keeps a field that null follows", () => {
  assert.deepEqual(readGoStrings('{"id":"a","id":null}', FIELDS), { id: "a", input: "" });
});

test("readGoStrings() is not confused by what stands in strings and nested values", () => {
  const text = '{ "x" : "\\"}{,:\\\\" , "y":[{"id":"no"},"]"], "input" :"\\u00e9\\\\", "z": -1.5e3 }';
  assert.deepEqual(readGoStrings(text, FIELDS), { id: "", input: "é\\" });
});

test("readGoStrings() replaces lone surrogates as Go does", () => {
  assert.equal(readGoStrings('{"id":"\\ud800"}', FIELDS).id, "\ufffd");
});

test("readGoStrings() agrees with JSON.parse on objects without duplicates", () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.string(), fc.nat(3), (rest, id, space) => {
    const others = Object.fromEntries(Object.entries(rest).filter(([name]) => !/^(id|input)$/i.test(name)));
    const text = JSON.stringify({ ...others, id }, null, space);
    assert.equal(readGoStrings(text, FIELDS).id, id.toWellFormed());
  }));
});

test("goString() is JSON of the same string and holds no character that Go escapes", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (value) => {
    const json = goString(value);
    assert.equal(JSON.parse(json), value.toWellFormed());
    assert.doesNotMatch(json, /[<>&\u2028\u2029]/);
  }));
  assert.equal(goString("\\b\b"), '"\\\\b\\u0008"');
});

test("findJsonFault() finds a fault exactly where JSON.parse fails", () => {
  const nearlyJson = fc.tuple(fc.json(), fc.nat(), fc.string({ maxLength: 2 })).map(([json, place, noise]) => {
    const at = place % (json.length + 1);
    return json.slice(0, at) + noise + json.slice(at + noise.length);
  });
  fc.assert(
    fc.property(fc.oneof(nearlyJson, fc.string(), fc.json()), (text) => {
      let parses = true;
      try {
        JSON.parse(text);
      } catch {
        parses = false;
      }
      assert.equal(findJsonFault(text) === undefined, parses, text);
    }),
    { numRuns: 2000 },
  );
});

test("findJsonFault() names line, column and what belongs there", () => {
  const cases: [text: string, line: number, column: number, expected: RegExp][] = [
    ["", 1, 1, /a value/],
    ['{\n  "a": 1\n  "b": 2\n}', 3, 3, /"," or "}"/],
    ['{"a" 1}', 1, 6, /":"/],
    ["{a:1}", 1, 2, /a name/],
    ["[1,]", 1, 4, /a value/],
    ["[1 2]", 1, 4, /"," or "]"/],
    ['"a\nb"', 1, 3, /escaped/],
    ['"\\x"', 1, 2, /escape sequence/],
    ['"abc', 1, 5, /closing/],
    ["01", 1, 2, /end of the text/],
    ["tru", 1, 1, /a value/],
    ["{} x", 1, 4, /end of the text/],
  ];
  for (const [text, line, column, expected] of cases) {
    const fault = findJsonFault(text);
    assert.deepEqual([fault?.line, fault?.column], [line, column], text);
    assert.match(fault!.expected, expected, text);
  }
});

test("findJsonFault() bears nesting that would overflow a call stack", () => {
  const deep = "[".repeat(200_000);
  assert.equal(findJsonFault(deep)?.offset, 200_000);
  assert.equal(findJsonFault(deep + "]".repeat(200_000)), undefined);
});
