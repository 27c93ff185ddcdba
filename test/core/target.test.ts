import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NodeError, parseTarget, targetName } from "../../src/core/mod.ts";

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
  for (const [target, host, port, name] of cases) {
    assert.deepEqual(parseTarget(target), { host, port, tls: false, authority: name, name });
  }
});

test("parseTarget() reads targets with TLS, which have a name of their own", () => {
  const cases = [
    ["https://Node.example:8081", "node.example", "https://node.example:8081"],
    ["HTTPS://node.example:8081/", "node.example", "https://node.example:8081"],
    ["https://[2001:DB8::1]:08081", "2001:db8::1", "https://[2001:db8::1]:8081"],
  ] as const;
  for (const [target, host, name] of cases) {
    assert.deepEqual(parseTarget(target), { host, port: 8081, tls: true, authority: name.slice(8), name });
  }
});

test("what was read reads the same again", () => {
  const scheme = fc.constantFrom("", "dns:///", "https://");
  fc.assert(fc.property(scheme, fc.domain(), fc.integer({ min: 1, max: 65535 }), (scheme, host, port) => {
    const read = targetName(`${scheme}${host}:${port}`);
    assert.equal(targetName(read), read);
  }));
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
    ["http://node:8081", /without a path/],
    ["dns://8.8.8.8/node:1", /without a path/],
    ["node:8081/path", /without a path/],
    ["https://node:8081/path", /without a path/],
    ["https://node:8081//", /without a path/],
    ["https://node", /no port/],
    ["https://dns:///node:8081", /without a path/],
    ["https://user@node:1", /is no host/],
    [" node:8081", /is no host/],
    ["node:8081\n", /is no port/],
    ["-node:1", /is no host/],
    ["[zz]:1", /is no host/],
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
