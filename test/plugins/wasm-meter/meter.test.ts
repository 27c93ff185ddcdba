import assert from "node:assert/strict";
import { SECTION, WasmReader, WasmWriter } from "../../../src/plugins/wasm-binary.ts";
import { scanFunction } from "../../../src/plugins/wasm-meter/scan-function.ts";
import { unrollLoops } from "../../../src/plugins/wasm-meter/unroll-loops.ts";
import { outlineModule } from "../../../src/plugins/wasm-module.ts";
import { hasCode } from "../../contract-suites/plugin-host.ts";
import { wat } from "../wat.ts";
import { test } from "../../testing.ts";
import { meter, Metered } from "./run-module.ts";

const BUDGET = 1_000_000_000n;

/** What a call of `run` costs. */
async function cost(text: string, args: readonly unknown[] = [], imports: WebAssembly.Imports = {}): Promise<number> {
  const metered = new Metered(meter(await wat(text)), imports);
  metered.begin(BUDGET);
  metered.call("run", ...args);
  return Number(BUDGET - metered.fuel);
}

test("an instruction costs one, and those that only shape the code nothing", async () => {
  assert.equal(await cost(`(module (func (export "run")))`), 0);
  assert.equal(await cost(`(module (func (export "run") nop (block (loop nop))))`), 0);
  assert.equal(await cost(`(module (func (export "run") (drop (i32.const 1))))`), 2);
  assert.equal(await cost(`(module (func (export "run") (drop (i32.div_u (i32.const 1) (i32.const 1)))))`), 11);
  assert.equal(await cost(`(module (func (export "run") (return)))`), 1);
});

test("only the arm that is taken is charged", async () => {
  const text = `(module (func (export "run") (param i32) (result i64)
    (if (result i64) (local.get 0) (then (i64.const 1)) (else (i64.add (i64.const 1) (i64.const 2))))))`;
  assert.equal(await cost(text, [1]), 3);
  assert.equal(await cost(text, [0]), 5);
});

test("a loop is charged each time round, and only then", async () => {
  const text = `(module (func (export "run") (param i32)
    (loop $next
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if $next (local.get 0)))))`;
  assert.equal(await cost(text, [1]), 6);
  assert.equal(await cost(text, [10]), 60);
});

test("a loop that is unrolled is charged for the turns that it takes, also one in another", async () => {
  const countdown = (inner: string): string =>
    `(module (func (export "run") (param i32) (local i32)
      (block $out (loop $turn
        (br_if $out (i32.eqz (local.get 0)))
        ${inner}
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br $turn)))))`;
  const five = `(local.set 1 (i32.const 5))
    (loop $in (local.set 1 (i32.sub (local.get 1) (i32.const 1))) (br_if $in (local.get 1)))`;
  for (let turns = 0; turns < 10; turns++) {
    assert.equal(await cost(countdown(""), [turns]), 8 * turns + 3);
    assert.equal(await cost(countdown(five), [turns]), 40 * turns + 3);
  }
});

test("a loop that is unrolled pays for both its copies at once, where it turns, and ways out pay for what they took", async () => {
  const bytes = await wat(`(module (func (param i32)
    (loop $turn
      (if (local.get 0) (then
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br $turn))))))`);
  const code = new WasmReader(outlineModule(bytes).sections.find(({ id }) => id === SECTION.code)!.body);
  code.u32();
  const unrolled = unrollLoops(code.slice(code.u32()));
  const context = { types: [{ params: 1, results: 0 }], functionTypes: [0], hostCosts: [] };
  const { sites } = scanFunction(unrolled, context.types[0]!, context);
  const paid = sites.filter(({ kind, value }) => kind === "charge" && value > 0).map(({ value }) => value);
  // Behind the loop is paid what found that it ends.
  assert.deepEqual(paid.toSorted((a, b) => a - b), [2, 7, 14]);
  assert.equal(sites.filter(({ kind }) => kind === "test" || kind === "loop").length, 1);
});

test("a loop stops at most two turns after its budget", async () => {
  const turn = "(global.set $turns (i32.add (global.get $turns) (i32.const 1)))";
  const loops: [code: string, turnCost: number, late: number][] = [
    [`(loop $l ${turn} (br $l))`, 5, 2],
    [`(loop $l ${turn} (br_if $l (i32.const 1)))`, 6, 1],
    [`(loop $l (loop $in (if (i32.const 0) (then (br $in)))) ${turn} (br $l))`, 7, 2],
  ];
  for (const [code, turnCost, late] of loops) {
    const metered = new Metered(meter(
      await wat(`(module (global $turns (export "turns") (mut i32) (i32.const 0)) (func (export "run") ${code}))`),
    ));
    const turns = metered.exports["turns"] as WebAssembly.Global<"i32">;
    let latest = 0;
    for (let budget = 0; budget < 100; budget++) {
      turns.value = 0;
      metered.begin(BigInt(budget));
      assert.throws(() => metered.call("run"), WebAssembly.RuntimeError);
      assert(metered.fuel < 0n);
      latest = Math.max(latest, turns.value - Math.floor(budget / turnCost));
    }
    assert.equal(latest, late, code);
  }
});

test("a call costs itself and what it calls; a call through a table a little more", async () => {
  const text = (call: string): string =>
    `(module (table funcref (elem $f)) (type $t (func))
    (func $f (drop (i32.const 0))) (func (export "run") ${call}))`;
  assert.equal(await cost(text("(call $f)")), 3);
  assert.equal(await cost(text("(call_indirect (type $t) (i32.const 0))")), 1 + 4 + 2);
  assert.equal(await cost(text("(return_call $f)")), 3);
});

test("bulk operations are charged by length, and growing the memory by pages", async () => {
  const text = (code: string): string => `(module (memory 1 3) (table 10 funcref) (func (export "run") ${code}))`;
  const fill = (bytes: number) => text(`(memory.fill (i32.const 0) (i32.const 1) (i32.const ${bytes}))`);
  assert.equal(await cost(fill(0)), 4);
  assert.equal(await cost(fill(1)), 5);
  assert.equal(await cost(fill(8)), 5);
  assert.equal(await cost(fill(9)), 6);
  assert.equal(await cost(text(`(drop (table.grow (ref.null func) (i32.const 7)))`)), 4 + 7);
  assert.equal(await cost(text(`(drop (memory.grow (i32.const 2)))`)), 100_002 + 2_000);
  assert.equal(await cost(text(`(drop (memory.grow (i32.const 3)))`)), 100_002);
});

test("host calls are charged by the table, an allocation also by its length", async () => {
  const imports = {
    "extism:host/env": { alloc: () => 0n, load_u8: () => 0, log_info: () => {} },
  };
  const text = (name: string, type: string, call: string): string =>
    `(module (import "extism:host/env" "${name}" (func $f ${type})) (func (export "run") ${call}))`;
  const one = "(param i64) (result i64)";
  assert.equal(await cost(text("alloc", one, "(drop (call $f (i64.const 0)))"), [], imports), 32);
  assert.equal(await cost(text("alloc", one, "(drop (call $f (i64.const 801)))"), [], imports), 32 + 101);
  assert.equal(
    await cost(text("load_u8", "(param i64) (result i32)", "(drop (call $f (i64.const 0)))"), [], imports),
    12,
  );
  assert.equal(await cost(text("log_info", "(param i64)", "(call $f (i64.const 0))"), [], imports), 201);
});

test("what ends without a budget stops: a loop, a recursion, tail calls without end, and work in bulk", async () => {
  const endless = [
    `(loop $l (br $l))`,
    `(call $self) (call $self)`,
    `(return_call $self)`,
    `(loop $l (call $leaf) (br $l))`,
    `(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br $l))`,
  ];
  for (const code of endless) {
    const metered = new Metered(
      meter(await wat(`(module (memory 1) (func $leaf) (func $self (export "run") ${code}))`)),
    );
    metered.begin(10_000n, 10_000_000);
    assert.throws(() => metered.call("run"), WebAssembly.RuntimeError);
    assert(metered.fuel < 0n, code);
  }
});

test("calls end at the same depth, whatever the budget", async () => {
  const metered = new Metered(meter(
    await wat(`(module
      (global $deepest (export "deepest") (mut i32) (i32.const 0))
      (func $f (export "run") (global.set $deepest (i32.add (global.get $deepest) (i32.const 1))) (call $f)))`),
  ));
  const deepest = metered.exports["deepest"] as WebAssembly.Global;
  for (const budget of [1_000_000n, 1n << 60n]) {
    deepest.value = 0;
    metered.begin(budget, 800);
    assert.throws(() => metered.call("run"), WebAssembly.RuntimeError);
    assert.equal(deepest.value, 100);
    assert(metered.depth < 0 && metered.fuel > 0n);
  }
});

test("memory that was asked for and not given is known", async () => {
  const metered = new Metered(meter(
    await wat(`(module (memory 1 2) (func (export "run") (param i32) (result i32) (memory.grow (local.get 0))))`),
  ));
  metered.begin(BUDGET);
  assert.equal(metered.call("run", 1), 1);
  assert.equal(metered.denied, 0);
  assert.equal(metered.call("run", 5), -1);
  assert.equal(metered.denied, 5);
});

test("exceptions, threads, typed references and further memories are refused by name", async () => {
  const cases: [string, RegExp][] = [
    [`(module (tag $t) (func (throw $t)))`, /exceptions/],
    [`(module (func (try (do) (catch_all))))`, /exceptions/],
    [`(module (memory 1 1) (func (drop (i32.atomic.load (i32.const 0)))))`, /threads/],
    [`(module (memory 1) (memory 1) (func (drop (i32.load 1 (i32.const 0)))))`, /several memories/],
  ];
  for (const [text, message] of cases) {
    const bytes = await wat(text);
    assert.throws(() => meter(bytes), hasCode("module_invalid", message), text);
  }
  for (
    const [code, message] of [[[0xfb, 0], /garbage/], [[0x14, 0], /typed function/], [[0xff], /know: ff/]] as const
  ) {
    const body = [0, ...code, 0x0b];
    const bytes = new WasmWriter().bytes([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
      .section({ id: SECTION.type, body: Uint8Array.of(1, 0x60, 0, 0) })
      .section({ id: SECTION.function, body: Uint8Array.of(1, 0) })
      .section({ id: SECTION.code, body: Uint8Array.of(1, body.length, ...body) })
      .finish();
    assert.throws(() => meter(bytes), hasCode("module_invalid", message));
  }
});

test("a module of 100,000 functions and one of 100,000 nested blocks are metered", () => {
  const module = (functions: number, body: Uint8Array) => {
    const types = new WasmWriter().u32(functions).bytes(new Uint8Array(functions));
    const code = new WasmWriter().u32(functions);
    for (let i = 0; i < functions; i++) code.u32(body.length).bytes(body);
    return new WasmWriter().bytes([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
      .section({ id: SECTION.type, body: Uint8Array.of(1, 0x60, 0, 0) })
      .section({ id: SECTION.function, body: types.finish() })
      .section({ id: SECTION.code, body: code.finish() })
      .finish();
  };
  assert(WebAssembly.validate(meter(module(100_000, Uint8Array.of(0, 0x41, 0, 0x1a, 0x0b)))));
  const depth = 100_000;
  const nested = new WasmWriter().byte(0);
  for (let i = 0; i < depth; i++) nested.bytes([i % 2 === 0 ? 0x02 : 0x03, 0x40]);
  nested.bytes([0x0c]).u32(depth).bytes(new Uint8Array(depth + 1).fill(0x0b));
  assert(WebAssembly.validate(meter(module(1, nested.finish()))));
});
