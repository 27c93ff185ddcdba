import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeError, parseTarget } from "../../src/core/mod.ts";

test("parseTarget() reads host and port, IPv6 in brackets, and gRPC's dns form", () => {
  const cases = [
    ["node:8081", "node", 8081, "node:8081"],
    ["127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"],
    ["NODE.Example.org:65535", "node.example.org", 65535, "node.example.org:65535"],
    ["node_1.local.:80", "node_1.local.", 80, "node_1.local.:80"],
    ["dns:///node:8081", "node", 8081, "node:8081"],
    ["[::1]:8081", "::1", 8081, "[::1]:8081"],
    ["dns:///[FE80::1%eth0]:9", "fe80::1%eth0", 9, "[fe80::1%eth0]:9"],
  ] as const;
  for (const [target, host, port, name] of cases) assert.deepEqual(parseTarget(target), { host, port, name });
});

test("parseTarget() refuses everything else, and says what is missing", () => {
  const cases: readonly [string, RegExp][] = [
    ["", /no port/],
    ["node", /no port/],
    ["[::1]", /no port/],
    ["node:", /no port from 1 to 65535/],
    ["node:0", /"0" is no port/],
    ["node:65536", /"65536"/],
    ["node:80a", /"80a"/],
    ["node:-1", /"-1"/],
    [":8081", /"" is no host/],
    ["::1:8081", /is no host/],
    ["[node]:8081", /"node" is no host/],
    ["[::1:8081", /is no host/],
    ["a b:1", /"a b" is no host/],
    ["user@node:1", /is no host/],
    ["http://node:8081", /without a scheme/],
    ["dns://8.8.8.8/node:1", /without a scheme/],
    ["node:8081/path", /without a scheme or path/],
    [`${"x".repeat(300)}:1`, /…/],
  ];
  for (const [target, message] of cases) {
    assert.throws(() => parseTarget(target), (error) => {
      assert(error instanceof NodeError && error.code === "invalid_argument");
      assert.match(error.message, message);
      return true;
    });
  }
});
