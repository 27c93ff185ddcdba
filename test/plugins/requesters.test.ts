import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ANONYMOUS, type RequesterId } from "../../src/core/mod.ts";
import { packPlugin } from "../../src/plugins/pack-plugin.ts";
import { RequesterNumbers } from "../../src/plugins/requester-numbers.ts";
import { pluginCall } from "../contract-suites/plugin-host.ts";
import { test } from "../testing.ts";
import { openHost, scratchFolder } from "./host-fixture.ts";
import { wat } from "./wat.ts";

/**
 * A plugin that keeps the first eight bytes of its input in a global, in its memory, in a table's place and in a variable of the host,
 * and answers with what it kept there in the call before.
 */
const KEEPER = `(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "input_load_u64" (func $inputLoad (param i64) (result i64)))
  (import "extism:host/env" "load_u64" (func $load (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (import "extism:host/env" "output_set" (func $outputSet (param i64 i64)))
  (import "extism:host/env" "var_set" (func $varSet (param i64 i64)))
  (import "extism:host/env" "var_get" (func $varGet (param i64) (result i64)))
  (memory (export "memory") 1)
  (global $kept (mut i64) (i64.const 0))
  (func (export "keep")
    (local $block i64) (local $name i64) (local $var i64) (local $secret i64)
    (local.set $secret (call $inputLoad (i64.const 0)))
    (local.set $block (call $alloc (i64.const 24)))
    (call $store (local.get $block) (global.get $kept))
    (call $store (i64.add (local.get $block) (i64.const 8)) (i64.load (i32.const 4096)))
    (local.set $name (call $alloc (i64.const 8)))
    (call $store (local.get $name) (i64.const 0x6161616161616161))
    (local.set $var (call $varGet (local.get $name)))
    (if (i64.ne (local.get $var) (i64.const 0))
      (then (call $store (i64.add (local.get $block) (i64.const 16)) (call $load (local.get $var))))
      (else (call $store (i64.add (local.get $block) (i64.const 16)) (i64.const 0))))
    (global.set $kept (local.get $secret))
    (i64.store (i32.const 4096) (local.get $secret))
    (local.set $var (call $alloc (i64.const 8)))
    (call $store (local.get $var) (local.get $secret))
    (call $varSet (local.get $name) (local.get $var))
    (call $outputSet (local.get $block) (i64.const 24))))`;

const requester = (digit: string): RequesterId => `0x${digit.repeat(40)}`;

async function openKeeper(t: Parameters<typeof openHost>[0], { fresh = false } = {}) {
  const folder = await scratchFolder(t);
  const manifest = { name: "keeper", version: "1.0.0", functions: [{ name: "keep" }], fresh };
  await writeFile(join(folder, "keeper.wasm"), packPlugin(await wat(KEEPER), Buffer.from(JSON.stringify(manifest))));
  const host = await openHost(t, { folder, workers: 1 });
  return async (by: RequesterId, secret: string): Promise<string> => {
    const { output } = await host.execute(pluginCall("keep", secret, { plugin: "keeper", requester: by }));
    return new TextDecoder().decode(output).replaceAll("\0", "");
  };
}

test("a plugin cannot give one requester what another gave it", async (t) => {
  const keep = await openKeeper(t);
  const [alice, bob] = [requester("a"), requester("b")];
  assert.equal(await keep(alice, "secret-1"), "");
  assert.equal(await keep(bob, "secret-2"), "");
  assert.equal(await keep(ANONYMOUS, "secret-3"), "");
  // What is kept for the requester itself shows that the plugin does try.
  assert.match(await keep(alice, "secret-4"), /^(?:secret-1){2,3}$/);
  assert.match(await keep(bob, "secret-5"), /^(?:secret-2){2,3}$/);
  assert.match(await keep(ANONYMOUS, "secret-6"), /^(?:secret-3){2,3}$/);
});

test("a plugin that wants fresh instances keeps nothing, not even for who called it before", async (t) => {
  const keep = await openKeeper(t, { fresh: true });
  for (let i = 0; i < 5; i++) assert.equal(await keep(requester("a"), `secret-${i}`), "");
  const kept = await Promise.all(
    Array.from({ length: 20 }, (_, i) => keep(requester("a"), `secret${i % 10}${i % 10}`)),
  );
  assert.deepEqual([...new Set(kept)], [""]);
});

test("calls of many requesters that run mixed and at once meet nothing of each other", async (t) => {
  const keep = await openKeeper(t);
  const calls = Array.from({ length: 400 }, async (_, i) => {
    const name = (i % 7).toString(16);
    const kept = await keep(requester(name), `of-the-${name}`);
    assert.match(kept, new RegExp(`^(?:of-the-${name})*$`));
  });
  await Promise.all(calls);
});

test("a requester that was forgotten gets a number that nobody had", () => {
  const numbers = new RequesterNumbers(2);
  const seen = ["1", "2", "3", "1", "2"].map((digit) => numbers.numberOf(requester(digit)));
  assert.equal(new Set(seen).size, 5);
  assert.equal(numbers.numberOf(requester("2")), seen[4]);
});
