import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { NodeError } from "../../src/core/mod.ts";
import type { PluginCall, PluginEvent, PluginOutcome } from "../../src/core/mod.ts";
import { packPlugin } from "../../src/plugins/mod.ts";
import { hasCode, limits, pluginCall, text } from "../contract-suites/plugin-host.ts";
import { openHost, wasm } from "./host-fixture.ts";
import { test } from "../testing.ts";

const MIB = 1 << 20;

/** A call of the plugin wasm-plugins/testing/stream.wat. */
const call = (fn: string, input: PluginCall["input"], parts: Partial<PluginCall> = {}): PluginCall => ({
  ...pluginCall(fn, "", { plugin: "stream", ...parts }),
  input,
});

async function* pieces(...sizes: number[]): AsyncGenerator<Uint8Array> {
  let value = 0;
  for (const size of sizes) yield await Promise.resolve(Uint8Array.from({ length: size }, () => value++));
}

const numbers = (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, i) => i);
const count = ({ output }: PluginOutcome): number => Number(new DataView(output.buffer).getBigUint64(0, true));

/** A source whose first bytes come at once, and then nothing. `closed` tells when it is let go. */
function stalling(first = new Uint8Array(1)) {
  let close: () => void;
  const closed = new Promise<void>((resolve) => close = resolve);
  const source: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]() {
      let begun = false;
      return {
        next: () => {
          if (begun) return new Promise<never>(() => {});
          begun = true;
          return Promise.resolve({ done: false, value: first });
        },
        return: () => {
          close();
          return Promise.resolve({ done: true, value: undefined });
        },
      };
    },
  };
  return { source, closed };
}

test("a plugin takes its input part by part, however it was cut", async (t) => {
  const host = await openHost(t, { modules: ["testing/stream"], workers: 1 });
  for (const size of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
    const { output, usage } = await host.execute(call("echo", numbers(size)));
    assert.equal(Buffer.compare(output, numbers(size)), 0, `${size} bytes`);
    assert.deepEqual([usage.inputBytes, usage.outputBytes], [size, size]);
  }
  const cut = await host.execute(call("echo", pieces(0, 1, 70_000, 0, 65_536, 999)));
  assert.equal(Buffer.compare(cut.output, numbers(136_536)), 0);
  assert.equal(text((await host.execute(call("first", Buffer.from("abcdef")))).output), "abc");
  assert.equal(text((await host.execute(call("first", Buffer.from("ab")))).output), "ab");
  assert.equal(count(await host.execute(call("whole", numbers(5000)))), 5000);
  assert.equal(count(await host.execute(call("whole", pieces(20, 30)))), 50);
});

test("a plugin counts the same instructions for the same bytes, however they came", async (t) => {
  const host = await openHost(t, { modules: ["testing/stream"], workers: 1 });
  const ways = [numbers(10_500), pieces(10_500), pieces(1, 9999, 500), pieces(...new Array<number>(105).fill(100))];
  const counts: number[] = [];
  for (const input of ways) {
    const outcome = await host.execute(call("count", input));
    assert.equal(count(outcome), 10_500);
    counts.push(outcome.usage.instructions);
  }
  assert.deepEqual(counts, new Array(4).fill(counts[0]));
  // Asking costs, so a plugin that asks without end is over its budget.
  const few = limits({ instructions: 50_000 });
  await assert.rejects(host.execute(call("count", numbers(10_500), { limits: few })), hasCode("budget_exceeded"));
});

test("100 MiB go through a plugin while little of them is anywhere", async (t) => {
  const host = await openHost(t, { modules: ["testing/stream"], workers: 1 });
  const total = 100 * MIB;
  let [given, taken, most] = [0, 0, 0];
  async function* source(): AsyncGenerator<Uint8Array> {
    const piece = new Uint8Array(256 << 10).fill(7);
    while (given < total) {
      given += piece.length;
      most = Math.max(most, given - taken);
      yield await Promise.resolve(piece);
    }
  }
  const onEvent = async (event: PluginEvent): Promise<void> => {
    if (event.type !== "chunk") return;
    // A reader that is not always ready at once.
    if (taken % (7 * MIB) === 0) await new Promise<void>((resolve) => setImmediate(resolve));
    taken += event.bytes.length;
    assert.equal(event.bytes[0], 7);
  };
  const { usage } = await host.execute(call("echo", source(), {
    streamOutput: true,
    onEvent,
    limits: limits({ outputBytes: 2 * total, timeoutMs: 120_000, memoryBytes: MIB }),
  }));
  // The reader may be busy with the last pieces when the call has ended.
  while (taken < total) await new Promise<void>((resolve) => setImmediate(resolve));
  assert.deepEqual([usage.inputBytes, usage.outputBytes, taken], [total, total, total]);
  assert(most <= 6 * MIB, `${most} bytes were on their way`);
});

test("a plugin waits for a reader that is behind", async (t) => {
  const host = await openHost(t, { modules: ["testing/stream"], workers: 1 });
  let given = 0;
  async function* source(): AsyncGenerator<Uint8Array> {
    for (; given < 64; given++) yield await Promise.resolve(new Uint8Array(MIB));
  }
  const { promise: ready, resolve: go } = Promise.withResolvers<void>();
  const { promise: begun, resolve: began } = Promise.withResolvers<void>();
  let taken = 0;
  const run = host.execute(call("echo", source(), {
    streamOutput: true,
    onEvent: async (event) => {
      if (event.type !== "chunk") return;
      began();
      await ready;
      taken += event.bytes.length;
    },
    limits: limits({ outputBytes: 64 * MIB, memoryBytes: MIB }),
  }));
  await begun;
  // Another function runs to its end meanwhile, on the same thread of the node; the reader still has taken nothing.
  const other = await openHost(t, { modules: ["testing/stream"], workers: 1 });
  await other.execute(call("count", new Uint8Array(MIB)));
  assert(given <= 8, `${given} MiB were read for a reader that takes none`);
  go();
  assert.equal((await run).usage.outputBytes, 64 * MIB);
  assert.equal(taken, 64 * MIB);
});

test("a call ends while its source or its reader stalls: canceled, or at its time", async (t) => {
  const host = await openHost(t, { modules: ["testing/stream"], workers: 1 });
  for (const first of [new Uint8Array(0), new Uint8Array(70_000)]) {
    const { source, closed } = stalling(first);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    await assert.rejects(host.execute(call("echo", source, { signal: controller.signal })), hasCode("canceled"));
    await closed;
  }
  const { source, closed } = stalling(new Uint8Array(70_000));
  const late = host.execute(call("echo", source, { limits: limits({ timeoutMs: 200 }) }));
  await assert.rejects(late, hasCode("deadline_exceeded"));
  await closed;
  const stuck = host.execute(call("echo", new Uint8Array(16 * MIB), {
    streamOutput: true,
    onEvent: () => new Promise<never>(() => {}),
    limits: limits({ timeoutMs: 500 }),
  }));
  await assert.rejects(stuck, hasCode("deadline_exceeded"));
  assert.equal(text((await host.execute(call("first", Buffer.from("on and on")))).output), "on ");
});

test("the error of a source is the call's, and a source that is not read to its end is let go", async (t) => {
  const host = await openHost(t, { modules: ["testing/stream"], workers: 1 });
  const broken = new NodeError("input_too_large", "no more", { data: { limitBytes: 3 } });
  for (const before of [0, 100_000]) {
    const source = async function* () {
      yield await Promise.resolve(new Uint8Array(before));
      throw broken;
    };
    await assert.rejects(host.execute(call("echo", source())), (error) => error === broken);
  }
  const { source, closed } = stalling(Buffer.from("abcdef"));
  assert.equal(text((await host.execute(call("first", source))).output), "abc");
  await closed;
  // What a plugin keeps of it is bounded as all its buffers are.
  const small = limits({ memoryBytes: MIB });
  await assert.rejects(
    host.execute(call("hoard", new Uint8Array(2 * MIB), { limits: small })),
    hasCode("memory_exceeded"),
  );
});

test("silent streams leave a worker to others", async (t) => {
  const host = await openHost(t, { modules: ["testing/stream"], workers: 2 });
  const controller = new AbortController();
  const parts = { signal: controller.signal, limits: limits({ timeoutMs: 60_000 }) };
  const silent = [1, 2, 3, 4].map(() => host.execute(call("echo", stalling(new Uint8Array(70_000)).source, parts)));
  const ends = Promise.all(silent.map((run) => assert.rejects(run, hasCode("canceled"))));
  for (let i = 0; i < 5; i++) assert.equal(count(await host.execute(call("whole", numbers(100)))), 100);
  controller.abort();
  await ends;
  assert.equal(text((await host.execute(call("first", Buffer.from("free")))).output), "fre");
});

test("streamsInput of a manifest is true or false", async (t) => {
  const host = await openHost(t, { workers: 1 });
  const functions = [{ name: "echo", streamsInput: "yes" }];
  const manifest = JSON.stringify({ name: "odd", version: "1.0.0", functions });
  await assert.rejects(
    host.installBytes(packPlugin(wasm("testing/stream"), new TextEncoder().encode(manifest))),
    hasCode("module_invalid", /"yes" as functions\[0\]\.streamsInput; it must be true or false/),
  );
});
