import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { openSsl } from "../../src/codec/openssl.ts";
import { isDeno } from "../../src/core/mod.ts";
import { pseudoRandom, sameBytes } from "./memory-shards.ts";

const source = new URL("../../src/codec/openssl.ts", import.meta.url).href;

test("openSsl() is one for all, and none on Node, which is OpenSSL itself", () => {
  assert.equal(openSsl(), openSsl());
  if (!isDeno) assert.equal(openSsl(), undefined);
});

test("calls of different lengths and keys in turn do not disturb each other", () => {
  const system = openSsl();
  if (system === undefined) return;
  const additionalData = pseudoRandom(32, 2);
  for (let round = 0; round < 3; round++) {
    for (const length of [0, 1, 16, 17, 1000, 65_520]) {
      const options = { key: pseudoRandom(32, length), nonce: pseudoRandom(12, round), additionalData };
      const bytes = pseudoRandom(length, 7);
      const sealed = new Uint8Array(length + 16);
      system.seal(bytes, options, sealed);
      assert.equal(system.open(sealed, { ...options, key: pseudoRandom(32, length + 1) }), undefined);
      const digest = new Uint8Array(32);
      system.sha256(additionalData, bytes, digest);
      assert.deepEqual(digest, new Uint8Array(createHash("sha256").update(additionalData).update(bytes).digest()));
      const counter = pseudoRandom(16, round);
      const masked = system.counterMode(bytes, { key: options.key, counter });
      assert.ok(sameBytes(system.counterMode(masked, { key: options.key, counter }), bytes));
      assert.ok(sameBytes(system.open(sealed, options)!, bytes));
    }
  }
});

test("lengths that do not fit are refused before the library reads or writes beyond them", () => {
  const system = openSsl();
  if (system === undefined) return;
  const [bytes, key, nonce] = [pseudoRandom(40, 1), pseudoRandom(32, 2), pseudoRandom(12, 3)];
  const options = { key, nonce, additionalData: bytes };
  const sealed = new Uint8Array(56);
  for (
    const call of [
      () => system.seal(bytes, options, sealed.subarray(1)),
      () => system.seal(bytes, { ...options, key: key.subarray(1) }, sealed),
      () => system.seal(bytes, { ...options, nonce: nonce.subarray(1) }, sealed),
      () => system.open(sealed, { ...options, key: key.subarray(1) }),
      () => system.counterMode(bytes, { key, counter: nonce }),
      () => system.counterMode(bytes, { key: nonce, counter: pseudoRandom(16, 4) }),
      () => system.sha256(key, bytes, new Uint8Array(31)),
    ]
  ) assert.throws(call, { code: "internal", message: /wants \d+ bytes, not \d+/ });
  assert.equal(system.open(sealed.subarray(0, 15), options), undefined);
});

test("where Deno may not load every library there is none, and nobody is asked", () => {
  if (!isDeno) return;
  const script = `import { openSsl } from ${JSON.stringify(source)}; console.log(openSsl() === undefined);`;
  const cwd = fileURLToPath(new URL("../..", import.meta.url));
  for (const flags of [[], ["--allow-ffi=node_modules"]]) {
    const args = ["run", ...flags, "--allow-env", "--allow-read", "--no-check", "--quiet", "--config=deno.json", "-"];
    const run = spawnSync(process.execPath, args, { cwd, input: script, encoding: "utf8" });
    assert.equal(run.stdout.trim(), "true", run.stderr);
  }
});
