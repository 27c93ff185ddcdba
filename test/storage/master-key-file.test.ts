import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ErrorCode, NodeError, silentLog } from "../../src/core/mod.ts";
import { loadOrCreateMasterKey, MASTER_KEY_FILE } from "../../src/storage/master-key-file.ts";
import { test, type TestScope } from "../testing.ts";

const CHEAP = { n: 1 << 10, r: 8, p: 1 };

async function fixture(t: TestScope) {
  const dataDir = await mkdtemp(join(tmpdir(), "velas-key-"));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  const path = join(dataDir, MASTER_KEY_FILE);
  const load = (passphrase?: string) =>
    loadOrCreateMasterKey({ dataDir, passphrase, log: silentLog, scryptCost: CHEAP });
  return { dataDir, path, load, text: () => readFile(path, "utf8") };
}

const failsWith = (code: ErrorCode, words: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof NodeError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, words);
  return true;
};

test("a master key is drawn once, private, and the same ever after", async (t) => {
  const { dataDir, path, load, text } = await fixture(t);
  const key = await load();
  assert.match(await text(), /^[0-9a-f]{64}\n$/);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(dataDir), [MASTER_KEY_FILE]);
  assert.deepEqual(await load(), key);
  const both = await fixture(t);
  const [one, other] = await Promise.all([both.load(), both.load()]);
  assert.deepEqual(one, other);
});

test("with a passphrase a new key is encrypted, and opens with no other and not without", async (t) => {
  const { load, text } = await fixture(t);
  const key = await load("correct horse");
  assert.equal((await text()).includes(Buffer.from(key).toString("hex")), false);
  assert.deepEqual(await load("correct horse"), key);
  await assert.rejects(load("battery staple"), failsWith("permission_denied", /wrong/));
  await assert.rejects(load(), failsWith("config_invalid", /VELAS_SPHERE_NODE_KEY_PASSPHRASE/));
});

test("a plain key that lies there is encrypted as soon as there is a passphrase", async (t) => {
  const { dataDir, load, text } = await fixture(t);
  const key = await load();
  assert.deepEqual(await load("correct horse"), key);
  assert.match(await text(), /"aes-256-gcm"/);
  assert.deepEqual(await load("correct horse"), key);
  assert.deepEqual(await readdir(dataDir), [MASTER_KEY_FILE]);
});

test("a damaged or readable file is refused and left as it is", async (t) => {
  const { path, load, text } = await fixture(t);
  await load("correct horse");
  const whole = await text();
  const bad = [
    ["", /64 hex digits/],
    ["00".repeat(33), /64 hex digits/],
    ["zz".repeat(32), /64 hex digits/],
    ["{", /not JSON/],
    ['{"version":2}', /version is 2/],
    [whole.replace(/"tag": "[0-9a-f]+"/, '"tag": "00"'), /incomplete/],
    [whole.replace('"n": 1024', '"n": 1073741824'), /out of range/],
    ["x".repeat(100_000), /100000 bytes/],
  ] as const;
  for (const [content, words] of bad) {
    await writeFile(path, content);
    await assert.rejects(load("correct horse"), failsWith("storage_failed", words));
    assert.equal(await text(), content);
  }
  await writeFile(path, whole.replace(/"nonce": "../, '"nonce": "00'));
  await assert.rejects(load("correct horse"), failsWith("permission_denied", /was changed/));
  await chmod(path, 0o644);
  await assert.rejects(load("correct horse"), failsWith("storage_failed", /chmod 600/));
});
