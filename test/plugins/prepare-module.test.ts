import assert from "node:assert/strict";
import fc from "fast-check";
import { NodeError } from "../../src/core/mod.ts";
import { MANIFEST_SECTION } from "../../src/plugins/plugin-manifest.ts";
import { prepareModule } from "../../src/plugins/prepare-module.ts";
import { joinSections, SECTION, splitSections, WasmWriter } from "../../src/plugins/wasm-binary.ts";
import { hasCode } from "../contract-suites/plugin-host.ts";
import { wasm } from "./host-fixture.ts";
import { wat } from "./wat.ts";
import { test } from "../testing.ts";

const invalid = (message: RegExp) => hasCode("module_invalid", message);
const prepare = async (text: string) => await prepareModule(await wat(text), "file");

/** A module with one function `run` and this manifest. */
async function withManifest(manifest: string | Uint8Array): Promise<Uint8Array> {
  const content = typeof manifest === "string" ? new TextEncoder().encode(manifest) : manifest;
  const body = new WasmWriter().name(MANIFEST_SECTION).bytes(content).finish();
  return new WasmWriter()
    .bytes(await wat(`(module (func (export "run")) (func (export "with_argument") (param i32)))`))
    .section({ id: SECTION.custom, body })
    .finish();
}

function manifest(parts: Record<string, unknown> = {}): string {
  return JSON.stringify({ name: "named", version: "1.0.0", functions: [{ name: "run" }], ...parts });
}

test("prepareModule() reads the demo plugin's manifest and memory", async () => {
  const prepared = await prepareModule(wasm("demo/demo"), "file");
  assert.equal(prepared.manifest.name, "demo");
  assert.deepEqual(prepared.manifest.functions.map(({ name }) => name), ["greet", "echo", "wordcount", "primes"]);
  assert.equal(prepared.manifest.functions[2]!.outputContentType, "application/json");
  assert(prepared.memory!.min > 0);
  assert.equal(prepared.memory!.max, 65_536);
});

test("prepareModule() names a module without a manifest after its file", async () => {
  const { manifest, memory } = await prepareModule(
    await wat(`(module
      (func (export "b")) (func (export "a") (result i32) (i32.const 0))
      (func (export "has_argument") (param i32)) (func (export "_initialize")) (func (export "__wasm_call_ctors")))`),
    "ünser plugin!.v2",
  );
  assert.deepEqual(manifest.functions.map(({ name }) => name), ["b", "a"]);
  assert.equal(manifest.name, "nser-plugin-.v2");
  assert.equal(manifest.version, "0.0.0");
  assert.equal(memory, undefined);
});

test("prepareModule() leaves the plugin no memory, start or custom section of its own", async () => {
  const { module, memory } = await prepare(`(module
    (memory (export "memory") 2 5) (func $s) (start $s) (func (export "_initialize")) (func (export "_start"))
    (func (export "run")))`);
  assert.deepEqual(WebAssembly.Module.imports(module).map(({ module, name }) => `${module}.${name}`), [
    "velas:memory.memory",
  ]);
  assert.deepEqual(WebAssembly.Module.exports(module).map(({ name }) => name), [
    "memory",
    "velas:_initialize",
    "velas:_start",
    "run",
    "velas:fuel",
    "velas:depth",
    "velas:denied",
    "velas:start",
  ]);
  assert.deepEqual(memory, { min: 2, max: 5 });
});

test("prepareModule() drops hints for branches, which lie elsewhere once the module is metered", async () => {
  const name = "metadata.code.branch_hint";
  const bytes = await wat(`(module (func (export "run") (loop (br_if 0 (i32.const 0)))))`);
  // Of function 0 one: the `br_if` at byte 5 is likely to branch.
  const hints = { id: SECTION.custom, body: new WasmWriter().name(name).bytes([1, 0, 1, 5, 1, 1]).finish() };
  const hinted = joinSections(
    splitSections(bytes).flatMap((part) => part.id === SECTION.code ? [hints, part] : [part]),
  );
  const sections = (module: WebAssembly.Module) => WebAssembly.Module.customSections(module, name).length;
  assert.equal(sections(new WebAssembly.Module(hinted)), 1);
  assert.equal(sections((await prepareModule(hinted, "file")).module), 0);
});

test("prepareModule() refuses what is no WebAssembly", async () => {
  for (const bytes of [[], [0], [0, 0x61, 0x73], [...new TextEncoder().encode("#!/bin/sh\nexit 0\n")]]) {
    await assert.rejects(prepareModule(Uint8Array.from(bytes), "file"), invalid(/not a WebAssembly module/));
  }
  const header = [0, 0x61, 0x73, 0x6d];
  await assert.rejects(prepareModule(Uint8Array.from(header), "file"), invalid(/not a WebAssembly module/));
  await assert.rejects(prepareModule(Uint8Array.from([...header, 13, 0, 1, 0]), "file"), invalid(/component/));
  await assert.rejects(prepareModule(Uint8Array.from([...header, 1, 0, 0, 0]), "file"), invalid(/nothing to call/));
});

test("prepareModule() refuses a module at every length that cuts it", async () => {
  const whole = wasm("testing/misbehaving");
  for (let length = 0; length < whole.length; length++) {
    await assert.rejects(prepareModule(whole.subarray(0, length), "file"), hasCode("module_invalid"));
  }
});

test("prepareModule() fails with module_invalid only, whatever the bytes", async () => {
  const whole = wasm("testing/contract");
  const changed = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }).map(
    (changes) => {
      const bytes = whole.slice();
      for (const [at, value] of changes) bytes[at] = value;
      return bytes;
    },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(changed, fc.uint8Array().map((tail) => Uint8Array.from([...whole.subarray(0, 8), ...tail]))),
      async (bytes) => {
        try {
          await prepareModule(bytes, "file");
        } catch (error) {
          assert(error instanceof NodeError && error.code === "module_invalid", String(error));
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("prepareModule() refuses a module that an engine would not validate", async () => {
  const bytes = new WasmWriter()
    .bytes([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
    .bytes([1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 0x61, 0, 0])
    .bytes([10, 5, 1, 3, 0, 0x6a, 0x0b]) // an addition on an empty stack
    .finish();
  await assert.rejects(prepareModule(bytes, "file"), invalid(/not valid WebAssembly/));
});

test("prepareModule() names every import that it does not have", async () => {
  await assert.rejects(
    prepare(`(module
      (import "env" "abort" (func (param i32 i32 i32 i32)))
      (import "extism:host/env" "alloc" (func (param i64) (result i64)))
      (import "extism:host/user" "read_disk" (func))
      (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview2" "fd_write" (func))
      (func (export "run")))`),
    invalid(/not have: env\.abort, extism:host\/user\.read_disk, wasi_snapshot_preview2\.fd_write\. A plugin may/),
  );
  await assert.rejects(
    prepare(
      `(module ${Array.from({ length: 12 }, (_, i) => `(import "x" "f${i}" (func))`).join("")} (func (export "run")))`,
    ),
    invalid(/x\.f9 and 2 more/),
  );
});

test("prepareModule() refuses host functions with another signature, and imports that are no functions", async () => {
  await assert.rejects(
    prepare(`(module (import "extism:host/env" "alloc" (func (param i32) (result i32))) (func (export "run")))`),
    invalid(/extism:host\/env\.alloc with signature i:i, not I:I/),
  );
  await assert.rejects(
    prepare(`(module (import "extism:host/env" "alloc" (memory 1)) (func (export "run")))`),
    invalid(/memory extism:host\/env\.alloc/),
  );
  for (const item of ["(memory 1)", "(table 1 funcref)", "(global i32)"]) {
    await assert.rejects(prepare(`(module (import "env" "x" ${item}) (func (export "run")))`), invalid(/env\.x/));
  }
});

test("prepareModule() keeps the host's own functions out of reach", async () => {
  for (const name of ["host:begin", "host:block", "host:memory"]) {
    await assert.rejects(
      prepare(`(module (import "extism:host/env" "${name}" (func)) (func (export "run")))`),
      invalid(/does not have/),
    );
  }
  await assert.rejects(
    prepare(`(module (func (export "velas:start")) (func (export "run")))`),
    invalid(/belong to the host/),
  );
});

test("prepareModule() refuses memories that cannot be bounded", async () => {
  await assert.rejects(prepare(`(module (memory 1 2 shared) (func (export "run")))`), invalid(/shared memory/));
  await assert.rejects(prepare(`(module (memory i64 1) (func (export "run")))`), invalid(/64-bit/));
  await assert.rejects(prepare(`(module (memory 1) (memory 1) (func (export "run")))`), invalid(/2 memories/));
  await assert.rejects(
    prepare(`(module ${"(table 1 funcref)".repeat(17)} (func (export "run")))`),
    invalid(/17 tables/),
  );
});

test("prepareModule() refuses garbage-collected types", async () => {
  const bytes = new WasmWriter()
    .bytes([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
    .bytes([1, 4, 1, 0x5e, 0x78, 1]) // an array of bytes
    .finish();
  await assert.rejects(prepareModule(bytes, "file"), invalid(/0x5e/));
});

test("prepareModule() refuses manifests that are wrong, naming what", async () => {
  const cases: readonly (readonly [string | Uint8Array, RegExp])[] = [
    ["", /not JSON/],
    [Uint8Array.of(0xff), /not JSON in UTF-8/],
    ["[]", /must be an object/],
    [manifest({ name: "a/b" }), /"a\/b" as name/],
    [manifest({ name: undefined }), /nothing as name/],
    [manifest({ version: "1.0" }), /"1\.0" as version/],
    [manifest({ functions: [] }), /1 to 1000 functions/],
    [manifest({ functions: [{ name: "run" }, { name: "run" }] }), /twice/],
    [manifest({ functions: [{ name: "absent" }] }), /"absent"/],
    [manifest({ functions: [{ name: "with_argument" }] }), /"with_argument"/],
    [manifest({ functions: [{ name: "run", outputContentType: "a\nb" }] }), /functions\[0\]\.outputContentType/],
    [manifest({ description: "x".repeat(4097) }), /description/],
    [" ".repeat(65_537), /65537 bytes/],
  ];
  for (const [content, message] of cases) {
    await assert.rejects(prepareModule(await withManifest(content), "file"), invalid(message));
  }
  assert.equal((await prepareModule(await withManifest(manifest()), "file")).manifest.name, "named");
});
