import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import process from "node:process";
import type { PluginEvent, RequesterId } from "../../src/core/mod.ts";
import { isDeno } from "../../src/core/mod.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost, wasm } from "./host-fixture.ts";
import { wat } from "./wat.ts";
import { test } from "../testing.ts";

test("calls pass by one that loops, and it is stopped at its limit", async (t) => {
  const host = await openHost(t, { modules: ["testing/contract"], workers: 2 });
  let hogEnded = false;
  const hog = host.execute(pluginCall("endless", "", { limits: limits({ timeoutMs: 8_000 }) }))
    .finally(() => hogEnded = true);
  const stopped = assert.rejects(hog, hasCode("deadline_exceeded"));
  // More than fit behind it, so that some would wait there if nothing moved them.
  const words = Array.from({ length: 100 }, (_, i) => `word ${i}`);
  const outcomes = await Promise.all(words.map((word) => host.execute(pluginCall("echo", word))));
  assert.equal(hogEnded, false);
  assert.deepEqual(outcomes.map(({ output }) => text(output)), words);
  await stopped;
});

test("calls wait while every worker loops, and then run", async (t) => {
  const host = await openHost(t, { modules: ["testing/contract"], workers: 2 });
  const hogs = [300, 400, 500].map((timeoutMs) =>
    assert.rejects(
      host.execute(pluginCall("endless", "", { limits: limits({ timeoutMs }) })),
      hasCode("deadline_exceeded"),
    )
  );
  const outcomes = await Promise.all(
    Array.from({ length: 50 }, (_, i) => host.execute(pluginCall("echo", "x".repeat(i * 10_000)))),
  );
  assert.deepEqual(outcomes.map(({ output }) => output.length), Array.from({ length: 50 }, (_, i) => i * 10_000));
  await Promise.all(hogs);
});

test("every call runs exactly once while others loop, trap and are canceled", async (t) => {
  const host = await openHost(t, { modules: ["testing/contract", "testing/misbehaving"], workers: 2 });
  const good = Array.from({ length: 300 }, async () => {
    let starts = 0;
    const onEvent = (event: PluginEvent): void => void (event.type === "log" && event.level === "trace" && starts++);
    const { output } = await host.execute(pluginCall("chatter", "", { onEvent }));
    assert.equal(text(output), "done");
    assert.equal(starts, 1);
  });
  const bad = Array.from({ length: 20 }, (_, i) => {
    const controller = new AbortController();
    const onEvent = (): void => controller.abort();
    if (i % 4 === 0) {
      const call = pluginCall("endless", "", {
        signal: controller.signal,
        onEvent,
        limits: limits({ timeoutMs: 400 }),
      });
      // On a busy machine its time may be over before its first word arrives here.
      return assert.rejects(host.execute(call), { code: /^(canceled|deadline_exceeded)$/ });
    }
    if (i % 4 === 1) {
      const call = pluginCall("endless", "", { limits: limits({ timeoutMs: 30 }) });
      return assert.rejects(host.execute(call), hasCode("deadline_exceeded"));
    }
    return assert.rejects(host.execute(pluginCall("trap", "", { plugin: "misbehaving" })), hasCode("plugin_trapped"));
  });
  await Promise.all([...good, ...bad]);
});

test("calls that take a while are shared out and all end", async (t) => {
  const host = await openHost(t, { modules: ["testing/misbehaving"], workers: 2 });
  const lengths = Array.from({ length: 60 }, (_, i) => i % 7);
  await Promise.all(lengths.map((n) => host.execute(pluginCall("work", "x".repeat(n), { plugin: "misbehaving" }))));
});

test("small calls go by long ones of another requester, who has filled the pool with them", async (t) => {
  const host = await openHost(t, { workers: 2 });
  const by = (digit: string): RequesterId => `0x${digit.repeat(40)}`;
  const controller = new AbortController();
  let ended = 0;
  const long = Array.from({ length: 60 }, async () => {
    const call = pluginCall("primes", "10000000", { plugin: "demo", requester: by("a"), signal: controller.signal });
    await host.execute({ ...call, limits: limits({ timeoutMs: 120_000, memoryBytes: 256 << 20 }) }).catch((error) => {
      if (!controller.signal.aborted) throw error;
    });
    ended++;
  });
  for (let i = 0; i < 40; i++) {
    const call = pluginCall("greet", `caller ${i}`, { plugin: "demo", requester: by("b") });
    assert.equal(text((await host.execute(call)).output), `hello, caller ${i}`);
  }
  assert(ended < 30, `${ended} of 60 long calls ended before 40 small ones`);
  controller.abort();
  await Promise.all(long);
});

test("queued calls can be canceled", async (t) => {
  const host = await openHost(t, { modules: ["testing/contract"], workers: 1 });
  const controller = new AbortController();
  const hog = host.execute(pluginCall("endless", "", {
    limits: limits({ timeoutMs: 700 }),
    onEvent: () => controller.abort(),
  }));
  const queued = Array.from({ length: 40 }, (_, i) =>
    assert.rejects(
      host.execute(pluginCall("echo", "x".repeat(i * 20_000), { signal: controller.signal })),
      hasCode("canceled"),
    ));
  await Promise.all([assert.rejects(hog, hasCode("deadline_exceeded")), ...queued]);
});

test("20,000 calls of one plugin leave memory and descriptors as they were", async (t) => {
  const host = await openHost(t, { modules: ["testing/wasi", "testing/misbehaving"], workers: 2 });
  const calls = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += 100) {
      await Promise.all(
        Array.from({ length: 100 }, () => host.execute(pluginCall("echo", "hello", { plugin: "demo" }))),
      );
    }
  };
  const descriptors = (): number => existsSync("/proc/self/fd") ? readdirSync("/proc/self/fd").length : 0;
  const trap = () => assert.rejects(host.execute(pluginCall("trap", "", { plugin: "misbehaving" })));
  const exit = () => assert.rejects(host.execute(pluginCall("exit", "", { plugin: "wasi" })));
  await calls(4_000);
  for (let i = 0; i < 20; i++) await Promise.all([trap(), exit()]);
  const before = { rss: process.memoryUsage.rss(), descriptors: descriptors() };
  await calls(20_000);
  for (let i = 0; i < 200; i++) await Promise.all([trap(), exit()]);
  assert(descriptors() <= before.descriptors + 4, `${before.descriptors} descriptors grew to ${descriptors()}`);
  const grown = process.memoryUsage.rss() - before.rss;
  assert(grown < 100 << 20, `resident memory grew by ${grown} bytes`);
});

test("a module whose start function loops is stopped at the limit", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const { sha256 } = await host.installBytes(
    await wat(`(module (func $s (loop $l (br $l))) (start $s) (func (export "run")))`),
  );
  const call = pluginCall("run", "", { plugin: sha256, limits: limits({ timeoutMs: 100 }) });
  await assert.rejects(host.execute(call), hasCode("deadline_exceeded"));
  assert.equal(text((await host.execute(pluginCall("", "hello", { plugin: "" }))).output), "world");
});

test("a program is started once, and its exit with 0 is no failure", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const { sha256 } = await host.installBytes(
    await wat(`(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (global $starts (mut i64) (i64.const 0))
      (func (export "_start") (global.set $starts (i64.add (global.get $starts) (i64.const 1))) (call $exit (i32.const 0)))
      (func (export "starts") (call $output (call $alloc (global.get $starts)) (global.get $starts))))`),
  );
  for (let i = 0; i < 3; i++) {
    assert.equal((await host.execute(pluginCall("starts", "", { plugin: sha256 }))).output.length, 1);
  }
});

test("a plugin cannot catch a refusal of the host: modules with exceptions are refused", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const module = await wat(`(module
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (func (export "catch") (try (do (drop (call $alloc (i64.const -1)))) (catch_all))))`);
  await assert.rejects(host.installBytes(module), hasCode("module_invalid", /exceptions/));
});

test("close() ends what runs and what waits", async (t) => {
  const host = await openHost(t, { modules: ["testing/contract"], workers: 1 });
  let started = Promise.withResolvers<void>();
  const onEvent = (): void => started.resolve();
  const calls = [
    host.execute(pluginCall("endless", "", { onEvent, limits: limits({ timeoutMs: isDeno ? 1_000 : 60_000 }) })),
    ...Array.from({ length: 30 }, () => host.execute(pluginCall("echo", "later"))),
  ].map((call) => assert.rejects(call, hasCode("shutting_down")));
  await started.promise;
  await host.close();
  await Promise.all(calls);
  started = Promise.withResolvers<void>();
  await assert.rejects(host.execute(pluginCall("echo", "x")), hasCode("shutting_down"));
});

test("what one call left in the host's buffers is not there for the next", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const { sha256 } = await host.installBytes(
    await wat(`(module
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "free" (func $free (param i64)))
      (import "extism:host/env" "output_set" (func $output (param i64 i64)))
      (func (export "dump") (call $output (call $alloc (i64.const 5000)) (i64.const 5000)))
      (func (export "reuse") (local $a i64)
        (call $free (call $alloc (i64.const 5000)))
        (call $output (call $alloc (i64.const 5000)) (i64.const 5000))))`),
  );
  const secret = new Uint8Array(4000).fill(0x5a);
  for (const fn of ["dump", "reuse"]) {
    await host.execute(pluginCall(fn, secret, { plugin: sha256 }));
    const { output } = await host.execute(pluginCall(fn, "", { plugin: sha256 }));
    assert(output.every((byte) => byte === 0));
  }
});

test("the demo plugin answers as it says", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const demo = async (fn: string, input: string) =>
    text((await host.execute(pluginCall(fn, input, { plugin: "demo" }))).output);
  assert.equal(await demo("greet", "hello"), "world");
  assert.equal(await demo("", "Ada"), "hello, Ada");
  assert.equal(await demo("greet", ""), "hello, ");
  assert.equal(await demo("wordcount", "one two\nthree\n"), `{"lines":2,"words":3,"bytes":14}`);
  assert.equal(await demo("wordcount", ""), `{"lines":0,"words":0,"bytes":0}`);
  const notText = host.execute(pluginCall("wordcount", Uint8Array.of(0xff), { plugin: "demo" }));
  await assert.rejects(notText, hasCode("plugin_failed", /utf-8/i));
  assert.equal(wasm("demo/demo").length, host.get("demo").sizeBytes);
});
