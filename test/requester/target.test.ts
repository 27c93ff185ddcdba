import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseTarget } from "../../src/requester/mod.ts";

test("targets are read as the original wrote them, and as host:port", () => {
  for (
    const [target, read] of [
      ["node:8081", "node:8081"],
      ["dns:///node:8081", "node:8081"],
      ["Node.Example:1", "node.example:1"],
      ["my_node:8081", "my_node:8081"],
      ["127.0.0.1:65535", "127.0.0.1:65535"],
      ["[::1]:8081", "[::1]:8081"],
      ["dns:///[2001:DB8::1]:0443", "[2001:db8::1]:443"],
    ] as const
  ) assert.equal(parseTarget(target), read);
});

test("targets that are no address are refused with the cure", () => {
  const bad = [
    "node",
    "node:",
    ":8081",
    "node:0",
    "node:65536",
    "node:99999999",
    "node:80a",
    "http://node:8081",
    "node:8081/path",
    "user@node:8081",
    "::1:8081",
    "[::1]",
    "[zz]:1",
    "dns://node:8081",
    " node:8081",
    "node:8081\n",
    "-node:1",
    "no de:1",
    "a".repeat(400) + ":1",
  ];
  for (const target of bad) {
    assert.throws(() => parseTarget(target), { code: "invalid_argument", message: /write host:port/ }, target);
  }
});

test("what was read reads the same again", () => {
  fc.assert(fc.property(fc.domain(), fc.integer({ min: 1, max: 65535 }), (host, port) => {
    const read = parseTarget(`dns:///${host}:${port}`);
    assert.equal(parseTarget(read), read);
  }));
});
