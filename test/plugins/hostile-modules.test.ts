import assert from "node:assert/strict";
import { NodeError } from "../../src/core/mod.ts";
import type { Plugins } from "../../src/plugins/mod.ts";
import { SECTION, splitSections, WasmWriter } from "../../src/plugins/wasm-binary.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { test } from "../testing.ts";
import { openHost, wasm } from "./host-fixture.ts";
import { wat } from "./wat.ts";

const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const NO_ARGUMENTS = Uint8Array.of(1, 0x60, 0, 0); // one type: takes and gives nothing

const GROW = [0x41, 0, 0x40, 0, 0x1a];

/** A vector of so many equal items. */
function vector(count: number, item: readonly number[]): Uint8Array<ArrayBuffer> {
  const items = new Uint8Array(count * item.length);
  for (let i = 0; i < items.length; i++) items[i] = item[i % item.length]!;
  return new WasmWriter(items.length + 8).u32(count).bytes(items).finish();
}

/** A module of so many functions with this body, the first exported as `run`, and a memory. */
function functions(count: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const code = new WasmWriter(count * (body.length + 4) + 8).u32(count);
  for (let i = 0; i < count; i++) code.u32(body.length).bytes(body);
  return new WasmWriter().bytes(HEADER)
    .section({ id: SECTION.type, body: NO_ARGUMENTS })
    .section({ id: SECTION.function, body: vector(count, [0]) })
    .section({ id: SECTION.memory, body: Uint8Array.of(1, 0, 1) })
    .section({ id: SECTION.export, body: new WasmWriter().u32(1).name("run").bytes([0, 0]).finish() })
    .section({ id: SECTION.code, body: code.finish() })
    .finish();
}

/** So many blocks within one another, every other one a loop, and a branch out of all. */
function nested(depth: number): Uint8Array<ArrayBuffer> {
  const body = new WasmWriter(depth * 3 + 16).byte(0);
  for (let i = 0; i < depth; i++) body.bytes([i % 2 === 0 ? 0x02 : 0x03, 0x40]);
  return body.bytes([0x0c]).u32(depth).bytes(new Uint8Array(depth + 1).fill(0x0b)).finish();
}

/** The same code so many times over. */
function repeated(count: number, code: readonly number[]): Uint8Array<ArrayBuffer> {
  const body = new WasmWriter(count * code.length + 2).byte(0);
  for (let i = 0; i < count; i++) body.bytes(code);
  return body.byte(0x0b).finish();
}

function section(id: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  return new WasmWriter(body.length + 32).bytes(HEADER).section({ id, body }).finish();
}

async function livesOn(host: Plugins): Promise<void> {
  assert.equal(text((await host.execute(pluginCall("greet", "hello", { plugin: "demo" }))).output), "world");
}

test("a module that ends behind any of its sections, or within one, is refused or runs, and never stops the node", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const whole = wasm("testing/contract");
  let end = HEADER.length;
  const ends = [end];
  for (const { body } of splitSections(whole)) {
    ends.push(end += 1 + new WasmWriter().u32(body.length).length + body.length);
  }
  assert.equal(end, whole.length);
  for (const at of ends.flatMap((e) => [e - 1, e, e + 1]).filter((e) => e < whole.length)) {
    try {
      // What is cut behind a section may be whole, such as before a custom section.
      await host.installBytes(whole.slice(0, at));
    } catch (error) {
      assert(error instanceof NodeError && error.code === "module_invalid", `cut at ${at}: ${error}`);
    }
  }
  await livesOn(host);
});

test("a module with too many of anything is refused before it fills the memory, and the error has both numbers", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const cases: [Uint8Array<ArrayBuffer>, RegExp][] = [
    [section(SECTION.type, vector(5_000_000, [0x60, 0, 0])), /5000000 types, and this node reads at most 50000/],
    [
      section(SECTION.type, new WasmWriter().u32(1).byte(0x60).bytes(vector(5_000_000, [0x7f])).finish()),
      /parameters in one type/,
    ],
    [section(SECTION.import, vector(5_000_000, [0, 0, 0, 0])), /5000000 imports, and this node reads at most 10000/],
    [section(SECTION.function, vector(20_000_000, [0])), /20000000 functions, and this node reads at most 200000/],
    [section(SECTION.export, vector(5_000_000, [0, 0, 0])), /5000000 exports, and this node reads at most 50000/],
    // Numbers that lie about what follows.
    [section(SECTION.type, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f)), /4294967295 types/],
    [section(SECTION.function, Uint8Array.of(0xff, 0xff, 0x03)), /ends in the middle/],
    [
      new WasmWriter(1 << 22).bytes(HEADER).bytes(repeated(1_000_000, [0, 1, 0]).subarray(1, -1)).finish(),
      /1000 sections.*strip/,
    ],
    [
      functions(1, repeated(1_000_000, [0x03, 0x40, 0x0b])),
      /function 0 has 3000002 bytes of code, and this node meters at most 2097152.*split/,
    ],
    // Code that grows the memory becomes seven times its size when it is metered.
    [functions(1, repeated(400_000, GROW)), /too large once it is metered.*split/],
    [
      functions(15, repeated(400_000, GROW)),
      /become more than 134217728 when they are metered.*smaller/,
    ],
  ];
  for (const [bytes, message] of cases) {
    await assert.rejects(host.installBytes(bytes), hasCode("module_invalid", message), String(message));
  }
  await livesOn(host);
});

test("a module over plugins.maxModuleBytes is refused, the largest is looked at", async (t) => {
  const host = await openHost(t, { workers: 1, maxModuleBytes: 100_000 });
  await assert.rejects(
    host.installBytes(new Uint8Array(100_001)),
    hasCode("input_too_large", /100001 bytes.*100000 \(plugins\.maxModuleBytes\)/),
  );
  await assert.rejects(host.installBytes(new Uint8Array(100_000)), hasCode("module_invalid"));
});

test("the node does other things while it prepares a large module", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const module = functions(20_000, repeated(20, [0x41, 0, 0x04, 0x40, 0x0b]));
  let turns = 0;
  const count = (): void => void (turns++, setImmediate(() => ended || count()));
  let ended = false;
  count();
  const before = turns;
  await host.installBytes(module).finally(() => ended = true);
  // Compiling waits, and metering lets others have a turn every few milliseconds.
  assert(turns - before > 3, `${turns - before} turns`);
});

test("modules of 100,000 nested blocks and of 100,000 functions are installed and run", async (t) => {
  const host = await openHost(t, { workers: 1 });
  for (const module of [functions(1, nested(100_000)), functions(100_000, Uint8Array.of(0, 0x0b))]) {
    const { sha256 } = await host.installBytes(module);
    const call = pluginCall("run", "", { plugin: sha256, limits: limits({ timeoutMs: 60_000 }) });
    assert.equal((await host.execute(call)).output.length, 0);
    await host.remove(sha256);
  }
  await livesOn(host);
});

test("a function imported twice with two types is refused, naming both types", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const module = await wat(`(module
    (import "extism:host/env" "length" (func (param i64) (result i64)))
    (import "extism:host/env" "length" (func (param i32) (result i32)))
    (func (export "run")))`);
  await assert.rejects(
    host.installBytes(module),
    hasCode("module_invalid", /env\.length with signature i:i, not I:I\./),
  );
  const asGlobal = await wat(`(module (import "extism:host/env" "length" (global i64)) (func (export "run")))`);
  await assert.rejects(host.installBytes(asGlobal), hasCode("module_invalid", /global extism:host\/env\.length/));
});

const WITHOUT_END: readonly (readonly [what: string, text: string, code: "budget_exceeded" | "memory_exceeded"])[] = [
  ["a start function that loops", `(func $s (loop $l (br $l))) (start $s)`, "budget_exceeded"],
  [
    "a start function that calls itself",
    `(func $s (loop $l (call $deep (i32.const 100)) (br $l)))
    (func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))))) (start $s)`,
    "budget_exceeded",
  ],
  ["an _initialize that loops", `(func (export "_initialize") (loop $l (br $l)))`, "budget_exceeded"],
  [
    "memory that grows in a loop",
    `(memory 1) (func $s
    (loop $l (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable)) (br $l))) (start $s)`,
    "memory_exceeded",
  ],
  [
    "memory that grows by nothing in a loop",
    `(memory 1) (func $s (loop $l (drop (memory.grow (i32.const 0))) (br $l))) (start $s)`,
    "budget_exceeded",
  ],
  [
    "a table that grows in a loop",
    `(table 1 funcref) (func $s
    (loop $l (drop (table.grow 0 (ref.null func) (i32.const 1))) (br $l))) (start $s)`,
    "budget_exceeded",
  ],
  [
    "allocations in a loop",
    `(func $s (loop $l (drop (call $alloc (i64.const 1000))) (br $l))) (start $s)`,
    "memory_exceeded",
  ],
  [
    "allocations that are given back, in a loop",
    `(func $s (loop $l (call $free (call $alloc (i64.const 1000))) (br $l))) (start $s)`,
    "budget_exceeded",
  ],
  [
    "log lines in a loop",
    `(func $s (local $line i64) (local.set $line (call $alloc (i64.const 100)))
    (loop $l (call $log (local.get $line)) (br $l))) (start $s)`,
    "budget_exceeded",
  ],
];

for (const [what, code, ends] of WITHOUT_END) {
  test(`${what} ends with ${ends} and its limit, and the worker lives`, async (t) => {
    const restarts: unknown[] = [];
    const nothing = { add() {}, set() {}, observe() {} };
    const metrics = {
      counter: (name: string) => name.includes("restarts") ? { add: () => void restarts.push(name) } : nothing,
      gauge: () => nothing,
      histogram: () => nothing,
    };
    const host = await openHost(t, { workers: 1, metrics });
    const { sha256 } = await host.installBytes(
      await wat(`(module
        (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
        (import "extism:host/env" "free" (func $free (param i64)))
        (import "extism:host/env" "log_info" (func $log (param i64)))
        ${code} (func (export "run")))`),
    );
    const events: unknown[] = [];
    const call = pluginCall("run", "", {
      plugin: sha256,
      onEvent: (event) => void events.push(event),
      limits: limits({ timeoutMs: 120_000, instructions: 200_000_000 }),
    });
    await assert.rejects(host.execute(call), hasCode(ends, ends === "budget_exceeded" ? /200000000/ : /\d/));
    assert(events.length <= 1_001, `${events.length} events`);
    await livesOn(host);
    assert.deepEqual(restarts, []);
  });
}
