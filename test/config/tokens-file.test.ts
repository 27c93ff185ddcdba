import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { readTokenEntries, tokensOf } from "../../src/config/mod.ts";
import { NodeError, tokenDigest } from "../../src/core/mod.ts";
import { test, type TestScope } from "../testing.ts";

const SHA256 = Buffer.from(tokenDigest("the-token-of-this-test")).toString("hex");
const entry = (change: object = {}) => ({ name: "ci", sha256: SHA256, scopes: ["tasks"], ...change });

function file(t: TestScope, content: unknown, mode = 0o600): string {
  const folder = mkdtempSync(join(tmpdir(), "velas-tokens-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "tokens.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  chmodSync(path, mode);
  return path;
}

const invalid = (message: RegExp) => (error: unknown) =>
  error instanceof NodeError && error.code === "config_invalid" && message.test(error.message);

test("a file of tokens gives each its scopes, digest and end", (t) => {
  const path = file(t, {
    tokens: [
      entry(),
      entry({ name: "b", sha256: "AB".repeat(32), scopes: ["read", "files"], expiresAt: "2027-01-01T02:00:00+02:00" }),
    ],
  });
  const [first, second] = tokensOf(readTokenEntries(path));
  assert.equal(first!.name, "ci");
  assert.deepEqual([...first!.scopes], ["tasks"]);
  assert.deepEqual(new Uint8Array(first!.digest), new Uint8Array(tokenDigest("the-token-of-this-test")));
  assert.equal(first!.expiresAt, undefined);
  assert.equal(second!.expiresAt, Date.UTC(2027, 0, 1));
  assert.deepEqual(readTokenEntries(file(t, { tokens: [] })), []);
});

test("a file of tokens with a fault is refused, which names the place and no token", (t) => {
  const refused = (content: unknown, message: RegExp) =>
    assert.throws(() => readTokenEntries(file(t, content)), (error: Error) => {
      assert.doesNotMatch(error.message, /hunter2/);
      return invalid(message)(error);
    });
  refused("{hunter2", /is not JSON/);
  refused([], /at its top/);
  refused({ tokens: [entry({ name: "rest.token" })] }, /tokens\.0\.name/);
  refused({ tokens: [entry({ name: "a b" })] }, /tokens\.0\.name/);
  refused({ tokens: [entry(), entry({ name: "b", sha256: "hunter2" })] }, /tokens\.1\.sha256.*64 hex digits/);
  refused({ tokens: [entry({ token: "hunter2" })] }, /tokens\.0.*"token"/);
  refused({ tokens: [entry({ scopes: [] })] }, /tokens\.0\.scopes/);
  refused({ tokens: [entry({ scopes: ["all"] })] }, /tokens\.0\.scopes\.0.*"read"/);
  refused({ tokens: [entry({ expiresAt: "tomorrow" })] }, /tokens\.0\.expiresAt/);
  refused({ tokens: [entry(), entry({ sha256: "0".repeat(64) })] }, /"ci" twice/);
  refused({ tokens: [entry(), entry({ name: "b", sha256: SHA256.toUpperCase() })] }, /"b" twice/);
  assert.throws(() => readTokenEntries("/no/such/file"), invalid(/cannot be read \(ENOENT\)/));
});

test("a file of tokens that others may write is refused, one that they may read is not", (t) => {
  if (process.platform === "win32") return;
  for (const mode of [0o620, 0o602, 0o666]) {
    assert.throws(() => readTokenEntries(file(t, { tokens: [] }, mode)), invalid(/written by others.*chmod go-w/));
  }
  assert.deepEqual(readTokenEntries(file(t, { tokens: [] }, 0o644)), []);
});
