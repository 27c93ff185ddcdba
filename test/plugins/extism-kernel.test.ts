import assert from "node:assert/strict";
import createPlugin from "@extism/extism";
import type { CallContext } from "@extism/extism";
import fc from "fast-check";
import { pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost, wasm } from "./host-fixture.ts";
import { wat } from "./wat.ts";
import { test } from "../testing.ts";

// The host side of Extism's ABI is our own (src/plugins/kernel.wat). These compare it with the SDK's.

test("plugins built with Extism's PDK answer as they do in Extism's SDK", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const sdk = await createPlugin({ wasm: [{ data: wasm("demo/demo") }] }, { runInWorker: false });
  t.after(() => sdk.close());
  const inputs = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc.string({ unit: "grapheme" }).map((s) => new TextEncoder().encode(s)),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom("greet", "echo", "wordcount"), inputs, async (fn, input) => {
      const ours = await host.execute(pluginCall(fn, input, { plugin: "demo" }))
        .then(({ output }) => text(output), (error: Error) => `failed: ${error.message}`);
      const theirs = await sdk.call(fn, input)
        .then(
          (output) => output?.text() ?? "",
          (error: Error) => `failed: ${error.message.replace("Plugin-originated error: ", "")}`,
        );
      assert.equal(ours, theirs);
    }),
    { numRuns: 200 },
  );
});

test("variables hold within a call, and are gone in the next", async (t) => {
  // Sets a variable to the input twice over, reads it back and answers it, or the length of what it found before.
  const source = `(module
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "length" (func $length (param i64) (result i64)))
    (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
    (import "extism:host/env" "var_get" (func $get (param i64) (result i64)))
    (import "extism:host/env" "var_set" (func $set (param i64 i64)))
    (import "extism:host/env" "input_offset" (func $input (result i64)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (func $key (result i64) (local $key i64)
      (local.set $key (call $alloc (i64.const 1)))
      (call $store (local.get $key) (i32.const 107))
      (local.get $key))
    (func (export "set_and_get") (local $value i64)
      (call $set (call $key) (call $input))
      (local.set $value (call $get (call $key)))
      (call $output (local.get $value) (call $length (local.get $value))))
    (func (export "set_and_drop") (local $value i64)
      (call $set (call $key) (call $input))
      (call $set (call $key) (i64.const 0))
      (local.set $value (call $get (call $key)))
      (call $output (call $alloc (local.get $value)) (local.get $value)))
    (func (export "get") (local $value i64)
      (local.set $value (call $get (call $key)))
      (call $output (local.get $value) (call $length (local.get $value)))))`;
  const host = await openHost(t, { workers: 1 });
  const { sha256: plugin } = await host.installBytes(await wat(source));
  const call = async (fn: string, input: string) =>
    text((await host.execute(pluginCall(fn, input, { plugin }))).output);
  assert.equal(await call("set_and_get", "value"), "value");
  assert.equal(await call("get", ""), "");
  assert.equal(await call("set_and_drop", "value"), "");
});

test("the SDK overlooks that functions are unbound, so ours receive what the plugin passes", async (t) => {
  // What keepUnbound() in warm-instance.ts relies on; if the SDK changes this, the memory accesses of plugins go wrong or slow.
  const seen: unknown[][] = [];
  const fn = Object.assign((...args: unknown[]) => void seen.push(args), { bind: () => fn });
  const plugin = await createPlugin(
    {
      wasm: [{
        data: await wat(
          `(module (import "own" "f" (func $f (param i32))) (func (export "run") (call $f (i32.const 7))))`,
        ),
      }],
    },
    { functions: { own: { f: fn as unknown as (context: CallContext) => void } } },
  );
  t.after(() => plugin.close());
  await plugin.call("run");
  assert.deepEqual(seen, [[7]]);
});
