import { test } from "node:test";
import assert from "node:assert/strict";
import fc from "fast-check";
import { closest, formatDuration, formatSize, parseAddress, parseDuration, parseSize } from "../../src/config/mod.ts";

test("parseDuration() reads numbers with and without a unit", () => {
  const cases: [string, number | undefined][] = [
    ["0", 0],
    ["250", 250],
    ["250ms", 250],
    ["30s", 30_000],
    ["0.1s", 100],
    ["1.5h", 5_400_000],
    [" 2 m ", 120_000],
    ["2min", 120_000],
    ["1d", 86_400_000],
    ["0.0001s", undefined],
    ["", undefined],
    ["s", undefined],
    ["-1s", undefined],
    ["1 week", undefined],
    ["1e3", undefined],
    ["1MiB", undefined],
    ["constructor", undefined],
    ["1constructor", undefined],
    ["99999999999999999999", undefined],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, text);
});

test("parseSize() reads binary and decimal units and refuses ambiguous ones", () => {
  const cases: [string, number | undefined][] = [
    ["0", 0],
    ["1B", 1],
    ["1KiB", 1024],
    ["1.5 MiB", 1_572_864],
    ["64MiB", 67_108_864],
    ["1kB", 1000],
    ["1GB", 1_000_000_000],
    ["1K", undefined],
    ["1M", undefined],
    ["1mib", undefined],
    ["0.3B", undefined],
  ];
  for (const [text, bytes] of cases) assert.equal(parseSize(text), bytes, text);
});

test("what formatDuration() and formatSize() write reads back as the same value", () => {
  fc.assert(fc.property(fc.nat({ max: 2 ** 40 }), (value) => {
    assert.equal(parseDuration(formatDuration(value)), value);
    assert.equal(parseSize(formatSize(value)), value);
    assert.equal(parseSize(formatSize(value * 1024)), value * 1024);
  }));
  assert.deepEqual([0, 999, 1000, 60_000, 86_400_000, 172_800_000].map(formatDuration), [
    "0ms",
    "999ms",
    "1s",
    "1m",
    "24h",
    "2d",
  ]);
  assert.deepEqual([0, 1023, 1024, 1025, 2 ** 30].map(formatSize), ["0B", "1023B", "1KiB", "1025B", "1GiB"]);
});

test("parseAddress() reads names and IP addresses with a port, and nothing else", () => {
  assert.deepEqual(parseAddress("node:8081"), { host: "node", port: 8081 });
  assert.deepEqual(parseAddress("127.0.0.1:0"), { host: "127.0.0.1", port: 0 });
  assert.deepEqual(parseAddress("[::1]:65535"), { host: "::1", port: 65535 });
  const bad = [
    "",
    ":1",
    "node",
    "node:",
    "node:65536",
    "node:-1",
    "::1:80",
    "[::1]",
    "[nope]:1",
    "a b:1",
    "http://a:1",
    "a@b:1",
  ];
  for (const text of bad) assert.equal(parseAddress(text), undefined, text);
});

test("closest() finds what was likely meant and stays silent otherwise", () => {
  const words = ["install", "enable", "disable", "remove", "list", "show"];
  assert.equal(closest("instal", words), "install");
  assert.equal(closest("lsit", words), "list");
  assert.equal(closest("ENABLE", words), "enable");
  assert.equal(closest("xyzzy", words), undefined);
  assert.equal(closest("", words), undefined);
  assert.equal(closest("x".repeat(100_000), words), undefined);
});
