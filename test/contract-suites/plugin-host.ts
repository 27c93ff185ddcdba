import assert from "node:assert/strict";
import type { PluginCall, PluginEvent, PluginOutcome, ResolvedFunction, TaskLimits } from "../../src/core/mod.ts";
import { ANONYMOUS, NodeError } from "../../src/core/mod.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";

/** What is under test: a host that has the plugin `contract`, as wasm-plugins/testing/contract.json describes it. */
export interface HostUnderTest {
  resolve(plugin: string, fn: string): ResolvedFunction;
  execute(call: PluginCall): Promise<PluginOutcome>;
}

/** A call with sensible limits; `parts` overrides. */
export function pluginCall(fn: string, input: string | Uint8Array, parts: Partial<PluginCall> = {}): PluginCall {
  return {
    plugin: "contract",
    function: fn,
    input: typeof input === "string" ? new TextEncoder().encode(input) : input,
    contentType: "",
    limits: limits(),
    requester: ANONYMOUS,
    signal: new AbortController().signal,
    ...parts,
  };
}

/** Task limits with sensible values. */
export function limits(parts: Partial<TaskLimits> = {}): TaskLimits {
  return { timeoutMs: 20_000, memoryBytes: 64 << 20, outputBytes: 16 << 20, ...parts };
}

/** Matches a NodeError by its code, for `assert.rejects`. */
export function hasCode(code: string, message?: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert(error instanceof NodeError, String(error));
    assert.equal(error.code, code, error.message);
    if (message !== undefined) assert.match(error.message, message);
    return true;
  };
}

export function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

async function* pieces(...parts: string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield await Promise.resolve(new TextEncoder().encode(part));
}

/** What holds for every plugin, wherever it runs. `open` makes a host and has it closed after the test. */
export function pluginHostContract(name: string, open: (t: TestScope) => Promise<HostUnderTest>): void {
  const contract = (title: string, body: (host: HostUnderTest) => Promise<void>): void => {
    test(`${name}: ${title}`, async (t) => body(await open(t)));
  };

  contract("resolves a name, a version and an empty function", (host) => {
    assert.equal(host.resolve("contract", "").function, "echo");
    assert.equal(host.resolve("contract@1.2.3", "fail").plugin, "contract@1.2.3");
    assert.equal(host.resolve("contract", "echo").outputContentType, "application/x-echo");
    assert.equal(host.resolve("contract", "fail").outputContentType, "application/octet-stream");
    return Promise.resolve();
  });

  contract("refuses a plugin or function that is not there", async (host) => {
    assert.throws(() => host.resolve("absent", ""), hasCode("plugin_not_found", /absent/));
    assert.throws(() => host.resolve("contract@9.9.9", ""), hasCode("plugin_not_found"));
    assert.throws(() => host.resolve("contract", "absent"), hasCode("function_not_found", /absent/));
    await assert.rejects(host.execute(pluginCall("absent", "")), hasCode("function_not_found"));
    await assert.rejects(host.execute(pluginCall("", "", { plugin: "absent" })), hasCode("plugin_not_found"));
  });

  contract("answers with output, content type and usage", async (host) => {
    const outcome = await host.execute(pluginCall("echo", "some text"));
    assert.equal(text(outcome.output), "some text");
    assert.equal(outcome.contentType, "application/x-echo");
    assert.equal(outcome.usage.inputBytes, 9);
    assert.equal(outcome.usage.outputBytes, 9);
    assert(outcome.usage.wallMicros > 0);
  });

  for (const size of [0, 1, 7, 8, 9, (64 << 10) + 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1 << 20]) {
    contract(`carries ${size} bytes there and back`, async (host) => {
      const input = Uint8Array.from({ length: size }, (_, i) => (i * 31) ^ (i >> 8));
      const { output, usage } = await host.execute(pluginCall("echo", input));
      assert.deepEqual(Buffer.compare(output, input), 0);
      assert.equal(usage.inputBytes, size);
    });
  }

  contract("keeps the outputs of many calls at once apart", async (host) => {
    const words = Array.from({ length: 200 }, (_, i) => `word ${i} ${"x".repeat(i * 7)}`);
    const outcomes = await Promise.all(words.map((word) => host.execute(pluginCall("echo", word))));
    assert.deepEqual(outcomes.map(({ output }) => text(output)), words);
  });

  contract("takes its input as a stream", async (host) => {
    const { output, usage } = await host.execute({ ...pluginCall("echo", ""), input: pieces("one ", "", "two") });
    assert.equal(text(output), "one two");
    assert.equal(usage.inputBytes, 7);
  });

  contract("fails with the plugin's own words, and goes on", async (host) => {
    await assert.rejects(host.execute(pluginCall("fail", "no such row")), hasCode("plugin_failed", /no such row/));
    await assert.rejects(host.execute(pluginCall("fail", "")), hasCode("plugin_failed"));
    assert.equal(text((await host.execute(pluginCall("echo", "on"))).output), "on");
  });

  contract("delivers log lines and progress in order, before the outcome", async (host) => {
    const events: PluginEvent[] = [];
    const onEvent = (event: PluginEvent): void => void events.push(event);
    const { output } = await host.execute(pluginCall("chatter", "", { onEvent }));
    assert.equal(text(output), "done");
    const seen = events.map((event) => {
      switch (event.type) {
        case "log":
          return `${event.level}: ${event.message}`;
        case "progress":
          return `${event.fraction} ${event.message}`;
        default:
          return event.type;
      }
    });
    assert.deepEqual(seen, [
      "trace: trace",
      "debug: debug",
      "info: info",
      "0.5 half",
      "warn: warn",
      "error: error",
      "1 ",
    ]);
  });

  contract("gives output in pieces as one when it is not streamed", async (host) => {
    const input = "abcdefghij".repeat(250);
    const { output, usage } = await host.execute(pluginCall("pieces", input));
    assert.equal(text(output), input);
    assert.equal(usage.outputBytes, 2500);
  });

  contract("streams output in order", async (host) => {
    const input = "abcdefghij".repeat(250);
    const chunks: Uint8Array[] = [];
    const { output, usage } = await host.execute(pluginCall("pieces", input, {
      streamOutput: true,
      onEvent: (event) => void (event.type === "chunk" && chunks.push(event.bytes)),
    }));
    assert.equal(output.length, 0);
    assert.equal(text(Buffer.concat(chunks)), input);
    assert(chunks.length >= 3);
    assert.equal(usage.outputBytes, 2500);
  });

  contract("streams the output of a function that gives it whole", async (host) => {
    const chunks: Uint8Array[] = [];
    const { output } = await host.execute(pluginCall("echo", "whole", {
      streamOutput: true,
      onEvent: (event) => void (event.type === "chunk" && chunks.push(event.bytes)),
    }));
    assert.equal(output.length, 0);
    assert.equal(text(Buffer.concat(chunks)), "whole");
  });

  contract("holds the output limit to the byte", async (host) => {
    const atMost = { limits: limits({ outputBytes: 1000 }) };
    assert.equal((await host.execute(pluginCall("zeros", "1000", atMost))).output.length, 1000);
    await assert.rejects(host.execute(pluginCall("zeros", "1001", atMost)), hasCode("output_too_large", /1000/));
    await assert.rejects(
      host.execute(pluginCall("pieces", "x".repeat(1001), { ...atMost, streamOutput: true, onEvent: () => {} })),
      hasCode("output_too_large"),
    );
    assert.equal(
      (await host.execute(pluginCall("zeros", "0", { limits: limits({ outputBytes: 0 }) }))).output.length,
      0,
    );
  });

  contract("stops a call whose time is over, and goes on", async (host) => {
    await assert.rejects(
      host.execute(pluginCall("endless", "", { limits: limits({ timeoutMs: 150 }) })),
      hasCode("deadline_exceeded", /150/),
    );
    assert.equal(text((await host.execute(pluginCall("echo", "on"))).output), "on");
  });

  contract("stops a call that is canceled while it runs, and goes on", async (host) => {
    const controller = new AbortController();
    const onEvent = (event: PluginEvent): void => {
      if (event.type === "log" && event.message === "started") controller.abort();
    };
    const call = pluginCall("endless", "", {
      signal: controller.signal,
      onEvent,
      limits: limits({ timeoutMs: 5_000 }),
    });
    await assert.rejects(host.execute(call), hasCode("canceled"));
    assert.equal(text((await host.execute(pluginCall("echo", "on"))).output), "on");
  });

  contract("runs nothing that was canceled before", async (host) => {
    await assert.rejects(
      host.execute(pluginCall("endless", "", { signal: AbortSignal.abort() })),
      hasCode("canceled"),
    );
  });

  contract("is canceled while its input stalls", async (host) => {
    const controller = new AbortController();
    const stalling: AsyncIterable<Uint8Array> = {
      async *[Symbol.asyncIterator]() {
        yield new Uint8Array(1);
        queueMicrotask(() => controller.abort());
        await new Promise(() => {});
      },
    };
    await assert.rejects(
      host.execute({ ...pluginCall("echo", ""), input: stalling, signal: controller.signal }),
      hasCode("canceled"),
    );
  });
}
