import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { defaultConfig } from "../../src/config/mod.ts";
import { ownCertificate, ownNames } from "../../src/node/own-certificate.ts";
import { selfSigned } from "../../src/node/self-signed.ts";
import { test, type TestScope } from "../testing.ts";

const { privateKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const NODE_ID = "0x52908400098527886E0F7030069857D2E4169EE7";
const DAY = 86_400_000;

function made(names: readonly string[], { from = Date.now() - DAY, to = Date.now() + DAY } = {}): X509Certificate {
  return new X509Certificate(selfSigned({ key, commonName: NODE_ID, names, notBefore: from, notAfter: to }));
}

function folderOf(t: TestScope): string {
  const folder = mkdtempSync(join(tmpdir(), "velas-own-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("a self-signed certificate is signed by its key, for its names and time, and is no authority", () => {
  const certificate = made(["node.example", "127.0.0.1", "2001:db8::1"], {
    from: Date.UTC(2026, 0, 2, 3, 4, 5),
    to: Date.UTC(2051, 0, 2),
  });
  assert.ok(certificate.checkPrivateKey(key));
  assert.ok(certificate.verify(certificate.publicKey));
  assert.equal(certificate.ca, false);
  assert.equal(certificate.subject, `CN=${NODE_ID}`);
  assert.equal(certificate.issuer, certificate.subject);
  assert.equal(Date.parse(certificate.validFrom), Date.UTC(2026, 0, 2, 3, 4, 5));
  assert.equal(Date.parse(certificate.validTo), Date.UTC(2051, 0, 2));
  assert.match(
    certificate.subjectAltName!,
    /^DNS:node\.example, IP Address:127\.0\.0\.1, IP Address:2001:DB8:(?:0:0:0:0:0|):1$/i,
  );
});

test("OpenSSL takes it for what it is, with hundreds of names too", (t) => {
  const file = join(folderOf(t), "own.crt");
  const names = Array.from({ length: 300 }, (_, at) => `node-${at}.example`);
  writeFileSync(file, made(names).toString());
  const text = execFileSync("openssl", ["x509", "-in", file, "-noout", "-text"], { encoding: "utf8" });
  assert.match(text, /Version: 3/);
  assert.match(text, /Public-Key: \(256 bit\)/);
  assert.match(text, /CA:FALSE/);
  assert.match(text, /Key Usage: critical\s+Digital Signature/);
  assert.match(text, /TLS Web Server Authentication/);
  assert.match(text, /DNS:node-299\.example/);
  execFileSync("openssl", ["verify", "-CAfile", file, "-purpose", "sslserver", "-verify_hostname", names[7]!, file]);
});

test("a name that can be in no certificate is refused by name", () => {
  for (const name of ["", "a b", "-x.example", "x..example", "*.example", "x".repeat(64), "a/b"]) {
    assert.throws(
      () => made([name]),
      { code: "config_invalid", message: /is neither a DNS name nor an IP address/ },
      name,
    );
  }
});

test("a node keeps its own certificate, and makes another for other names, or when it soon expires, with the same key", (t) => {
  const dataDir = folderOf(t);
  const own = (names: readonly string[]) => ownCertificate({ dataDir, nodeId: NODE_ID, names });
  const first = own(["localhost"]);
  assert.deepEqual(own(["localhost"]), first);
  const file = join(dataDir, "tls", "own.crt");
  assert.equal(statSync(join(dataDir, "tls", "own.key")).mode & 0o777, 0o600);

  const second = own(["localhost", "node.example", "10.0.0.1"]);
  assert.notDeepEqual(second.cert, first.cert);
  assert.deepEqual(second.key, first.key);
  assert.deepEqual(own(["localhost"]), second, "it is for that name, too");

  const soon = selfSigned({
    key: createPrivateKey(Buffer.from(second.key)),
    commonName: NODE_ID,
    names: ["localhost"],
    notBefore: 0,
    notAfter: Date.now() + DAY,
  });
  writeFileSync(file, soon);
  const renewed = own(["localhost"]);
  assert.notEqual(renewed.cert.toString(), soon);
  assert.equal(new X509Certificate(readFileSync(file)).toString(), new X509Certificate(renewed.cert).toString());

  writeFileSync(file, "no certificate");
  assert.throws(() => own(["localhost"]), {
    code: "config_invalid",
    message: /own\.crt: .*Remove it to have it made anew/,
  });
});

test("the certificate is for the names that are configured, the addresses listened on, and this machine", () => {
  const config = defaultConfig("/home/x");
  const names = ownNames({
    ...config,
    node: { ...config.node, hostNames: ["nöde.example"] },
    rpc: { ...config.rpc, listen: ["0.0.0.0:1", "[::]:1", "192.0.2.7:1", "127.0.0.1:2"] },
  });
  assert.deepEqual(names, ["xn--nde-sna.example", "192.0.2.7", "localhost", "127.0.0.1", "::1"]);
});
