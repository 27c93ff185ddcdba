import { test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type ErrorCode, isDeno, NodeError, recoverSigner } from "../../src/core/mod.ts";
import { loadNodeKey, loadOrCreateNodeKey, NODE_KEY_FILE } from "../../src/storage/node-key.ts";

const CHEAP = { n: 1 << 10, r: 8, p: 1 };
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

async function inTempDir(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "velas-key-"));
  try {
    await body(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

const failsWith = (code: ErrorCode, words: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof NodeError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, words);
  return true;
};

test("loadOrCreateNodeKey() makes a private key file once and opens the same key ever after", () =>
  inTempDir(async (dir) => {
    const dataDir = join(dir, "new", "data");
    const first = await loadOrCreateNodeKey({ dataDir });
    assert.equal(first.created, true);
    assert.equal(first.encrypted, false);
    assert.equal((await stat(first.path)).mode & 0o777, 0o600);
    assert.equal((await stat(dataDir)).mode & 0o777, 0o700);
    assert.deepEqual(await readdir(dataDir), [NODE_KEY_FILE], "no temporary file stays");
    const written = await readFile(first.path, "utf8");

    const second = await loadOrCreateNodeKey({ dataDir });
    assert.equal(second.created, false);
    assert.equal(second.key.nodeId, first.key.nodeId);
    assert.equal(recoverSigner(utf8("x"), second.key.sign(utf8("x"))), first.key.nodeId);
    assert.equal(await readFile(first.path, "utf8"), written);
  }));

test("loadNodeKey() makes nothing", () =>
  inTempDir(async (dir) => {
    assert.equal(await loadNodeKey({ dataDir: join(dir, "absent") }), undefined);
    assert.deepEqual(await readdir(dir), []);
  }));

test("a key made with a passphrase is sealed by it and opens with no other", () =>
  inTempDir(async (dir) => {
    const options = { dataDir: dir, passphrase: "correct horse", scryptCost: CHEAP };
    const made = await loadOrCreateNodeKey(options);
    assert.equal(made.encrypted, true);
    const text = await readFile(made.path, "utf8");
    assert.equal(JSON.parse(text).secretKey, undefined);

    const opened = await loadOrCreateNodeKey({ dataDir: dir, passphrase: "correct horse" });
    assert.equal(opened.created, false);
    assert.equal(opened.encrypted, true);
    assert.equal(opened.key.nodeId, made.key.nodeId);

    const load = (passphrase?: string) => loadOrCreateNodeKey({ dataDir: dir, passphrase });
    await assert.rejects(load("correct horsf"), failsWith("permission_denied", /does not open/));
    await assert.rejects(load(""), failsWith("permission_denied", /does not open/));
    await assert.rejects(load(), failsWith("config_invalid", /is encrypted.*VELAS_SPHERE_NODE_KEY_PASSPHRASE/));
    assert.equal(await readFile(made.path, "utf8"), text, "no failure writes to the file");
  }));

test("a passphrase given for a plain key file is refused rather than ignored", () =>
  inTempDir(async (dir) => {
    await loadOrCreateNodeKey({ dataDir: dir });
    await assert.rejects(
      loadOrCreateNodeKey({ dataDir: dir, passphrase: "p" }),
      failsWith("config_invalid", /not encrypted, but a passphrase is given/),
    );
  }));

test("every changed part of an encrypted key file is noticed", () =>
  inTempDir(async (dir) => {
    const made = await loadOrCreateNodeKey({ dataDir: dir, passphrase: "p", scryptCost: CHEAP });
    const file = JSON.parse(await readFile(made.path, "utf8"));
    const flip = (hex: string): string => (hex[0] === "0" ? "1" : "0") + hex.slice(1);
    const address = file.address.replace(/.$/, (digit: string) => digit === "0" ? "1" : "0");
    const changes: Record<string, unknown>[] = [{ address }];
    for (const name of ["salt", "nonce", "ciphertext", "tag"]) {
      changes.push({ crypto: { [name]: flip(file.crypto[name]) } });
    }
    changes.push({ crypto: { n: CHEAP.n * 2 } });
    for (const change of changes) {
      const changed = { ...file, ...change, crypto: { ...file.crypto, ...(change["crypto"] ?? {}) } };
      await writeFile(made.path, JSON.stringify(changed));
      await assert.rejects(
        loadNodeKey({ dataDir: dir, passphrase: "p" }),
        failsWith("permission_denied", /wrong, or the file was changed/),
        JSON.stringify(change),
      );
    }
  }));

test("a damaged key file is reported with its fault and left as it is", () =>
  inTempDir(async (dir) => {
    const path = join(dir, NODE_KEY_FILE);
    const address = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    const secretKey = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const seal = { kdf: "scrypt", cipher: "aes-256-gcm", salt: "00".repeat(32), nonce: "00".repeat(12) };
    const sealed = { ...seal, ciphertext: "00".repeat(32), tag: "00".repeat(16) };
    const crypto = (cost: object): string => JSON.stringify({ version: 1, address, crypto: { ...sealed, ...cost } });
    const damages: [string, RegExp][] = [
      ["", /it is empty/],
      ["{", /it is not JSON/],
      ["null", /not a JSON object/],
      ["7", /not a JSON object/],
      ["{}", /its version is undefined/],
      [JSON.stringify({ version: 2, address, secretKey }), /its version is 2, and this software knows 1/],
      [JSON.stringify({ version: 1, secretKey }), /names no address/],
      [JSON.stringify({ version: 1, address }), /secretKey is not 64 hex digits/],
      [JSON.stringify({ version: 1, address, secretKey: secretKey.slice(1) }), /secretKey is not 64 hex digits/],
      [JSON.stringify({ version: 1, address, secretKey: secretKey + "00" }), /secretKey is not 64 hex digits/],
      [JSON.stringify({ version: 1, address, secretKey: "00".repeat(32) }), /no secp256k1 key/],
      [JSON.stringify({ version: 1, address: "0x1", secretKey }), /it names 0x1, but its key belongs to 0xf39F/],
      [JSON.stringify({ version: 1, address, crypto: null }), /crypto part is incomplete/],
      [JSON.stringify({ version: 1, address, crypto: seal }), /crypto part is incomplete/],
      [crypto({ n: 1 << 10, r: 8 }), /scrypt parameters/],
      [crypto({ n: 1000, r: 8, p: 1 }), /scrypt parameters/],
      [crypto({ n: 1, r: 8, p: 1 }), /scrypt parameters/],
      [crypto({ n: 2 ** 30, r: 8, p: 1 }), /scrypt parameters/],
      [crypto({ n: 1 << 10, r: 8, p: 65 }), /scrypt parameters/],
      [crypto({ n: "1024", r: 8, p: 1 }), /scrypt parameters/],
      [" ".repeat((1 << 16) + 1), /it has 65537 bytes/],
    ];
    for (const [text, words] of damages) {
      await writeFile(path, text, { mode: 0o600 });
      await assert.rejects(
        loadOrCreateNodeKey({ dataDir: dir, ...(text.includes("crypto") ? { passphrase: "p" } : {}) }),
        failsWith("storage_failed", words),
      );
      assert.equal(await readFile(path, "utf8"), text);
    }
  }));

test("a key file that others may read is refused with the cure", () =>
  inTempDir(async (dir) => {
    const { path } = await loadOrCreateNodeKey({ dataDir: dir });
    for (const mode of [0o644, 0o640, 0o604, 0o660]) {
      await chmod(path, mode);
      await assert.rejects(
        loadOrCreateNodeKey({ dataDir: dir }),
        failsWith("storage_failed", new RegExp(`mode ${mode.toString(8)}\\): run chmod 600`)),
      );
    }
    await chmod(path, 0o400);
    assert.equal((await loadOrCreateNodeKey({ dataDir: dir })).created, false);
  }));

test("a data directory that cannot be one is reported", () =>
  inTempDir(async (dir) => {
    await writeFile(join(dir, "file"), "");
    await assert.rejects(
      loadOrCreateNodeKey({ dataDir: join(dir, "file") }),
      failsWith("storage_failed", /node-key\.json \(ENOTDIR\): choose another directory/),
    );
  }));

test("of many creators in this process one wins and all have its key", () =>
  inTempDir(async (dir) => {
    const loaded = await Promise.all(Array.from({ length: 16 }, () => loadOrCreateNodeKey({ dataDir: dir })));
    assert.equal(loaded.filter((each) => each.created).length, 1);
    assert.equal(new Set(loaded.map((each) => each.key.nodeId)).size, 1);
    assert.deepEqual(await readdir(dir), [NODE_KEY_FILE]);
  }));

test("of two creating processes one wins and both have its key", () =>
  inTempDir(async (dir) => {
    const module = new URL("../../src/storage/node-key.ts", import.meta.url).href;
    const script = `const { loadOrCreateNodeKey } = await import(${JSON.stringify(module)});
      const { key, created } = await loadOrCreateNodeKey({ dataDir: ${JSON.stringify(dir)} });
      console.log(key.nodeId + " " + created);`;
    const args = isDeno ? ["eval", "--no-check", script] : ["--input-type=module", "-e", script];
    const root = new URL("../..", import.meta.url);
    const outputs = await Promise.all(Array.from({ length: 2 }, async () => {
      const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
      await once(child, "close");
      return output.trim().split(" ");
    }));
    assert.equal(outputs[0]![0], outputs[1]![0]);
    assert.deepEqual(outputs.map(([, created]) => created).sort(), ["false", "true"]);
  }));
