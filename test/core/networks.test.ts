import assert from "node:assert/strict";
import { OutboundRules, parseNetwork, specialKindOf } from "../../src/core/mod.ts";
import { test } from "../testing.ts";

const refuses = (rules: OutboundRules, address: string) => {
  assert.throws(() => rules.check(address), { code: "permission_denied" }, address);
};

test("addresses that are not public are refused, in both families and every spelling", () => {
  const rules = new OutboundRules();
  const first = ["10.0.0.0", "172.16.0.0", "192.168.0.0", "169.254.0.0", "100.64.0.0", "127.0.0.0", "224.0.0.0"];
  const last = ["10.255.255.255", "172.31.255.255", "192.168.255.255", "169.254.255.255", "100.127.255.255"];
  const metadata = ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "192.0.0.192"];
  const ipv6 = [
    "::",
    "::1",
    "0:0:0:0:0:0:0:1",
    "fe80::1",
    "fe80::1%eth0",
    "fdff::",
    "ff02::1",
    "fec0::1",
    "2001:db8::1",
  ];
  const mapped = ["::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:FFFF:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"];
  const relayed = ["2002:7f00:1::", "2001:0:1234::1", "64:ff9b:1::1"];
  for (const address of [...first, ...last, ...metadata, ...ipv6, ...mapped, ...relayed]) refuses(rules, address);
  for (const address of ["0.0.0.0", "255.255.255.255", "240.0.0.1", "198.18.0.1"]) refuses(rules, address);
});

test("public addresses pass, those beside the special ones too", () => {
  const rules = new OutboundRules();
  const v4 = ["1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.0"];
  for (const address of [...v4, "223.255.255.255", "2606:4700::1111", "::ffff:1.1.1.1"]) rules.check(address);
});

test("the refusal names the host, the address, what it is, and the key that allows it", () => {
  assert.throws(() => new OutboundRules().check("10.0.0.5", "intranet.example"), {
    message: /intranet\.example leads to 10\.0\.0\.5.*private.*node\.allowNetworks/,
    data: { address: "10.0.0.5", host: "intranet.example", key: "node.allowNetworks" },
  });
});

test("allowed networks are reached, and only they", () => {
  const rules = new OutboundRules(["127.0.0.0/8", "10.1.2.3", "fd00:1::/32", "::1"]);
  for (const address of ["127.0.0.1", "::ffff:127.9.9.9", "10.1.2.3", "fd00:1::9", "::1"]) rules.check(address);
  for (const address of ["10.1.2.4", "fd00:2::1", "169.254.169.254", "fe80::1"]) refuses(rules, address);
});

test("literal hosts of URLs are checked however they are written", () => {
  const rules = new OutboundRules();
  for (const host of ["127.1", "2130706433", "0x7f.0.0.1", "017700000001", "[::ffff:7f00:1]", "[::1]", "127.0.0.1."]) {
    assert.throws(() => rules.checkLiteral(new URL(`http://${host}:80/`)), { code: "permission_denied" }, host);
  }
  rules.checkLiteral(new URL("http://example.com/"));
});

test("a name is looked up to the addresses that were checked", async () => {
  const resolve = (rules: OutboundRules, all: boolean) =>
    new Promise((done) => rules.lookup("localhost", { all }, (error, addresses) => done(error ?? addresses)));
  const refused = await resolve(new OutboundRules(), true);
  assert.equal((refused as { code?: string }).code, "permission_denied");
  const open = new OutboundRules(["127.0.0.0/8", "::1"]);
  assert(["127.0.0.1", "::1"].includes(await resolve(open, false) as string));
  assert(Array.isArray(await resolve(open, true)));
});

test("networks are read strictly", () => {
  for (const text of ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/8/1", "10.0.0.0/", "localhost", "1.2.3.4/x"]) {
    assert.equal(parseNetwork(text), undefined, text);
  }
  assert.equal(specialKindOf("nonsense"), "no IP address");
});
