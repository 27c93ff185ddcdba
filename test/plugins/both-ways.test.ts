import assert from "node:assert/strict";
import { silentLog } from "../../src/core/mod.ts";
import { connectExternalPlugin, type ExternalPlugin } from "../../src/plugins/external-plugin.ts";
import { hasCode } from "../contract-suites/plugin-host.ts";
import { test, type TestScope } from "../testing.ts";
import { call } from "./external-calls.ts";
import { program } from "./program.ts";

const KIB = 1 << 10;
const MIB = 1 << 20;

async function start(t: TestScope): Promise<ExternalPlugin> {
  const command = program("supervised-program.ts");
  const plugin = connectExternalPlugin({ name: "tested", protocol: "velas", command, log: silentLog });
  t.after(() => plugin.close());
  await plugin.settled();
  return plugin;
}

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 64 * KIB) yield await Promise.resolve(bytes.subarray(at, at + 64 * KIB));
}

// Before, on Node, one call alone did not end when it was large and streamed.
for (const [atOnce, sizeBytes] of [[16, 64 * KIB], [32, 64 * KIB], [32, MIB], [1, 16 * MIB]] as const) {
  for (const fn of ["whole", "stream"]) {
    test(`${atOnce} calls at once of a supervised plugin with ${sizeBytes} bytes in and out do not wait for ever: ${fn}`, async (t) => {
      const plugin = await start(t);
      const bytes = new Uint8Array(sizeBytes).fill(97);
      const limits = { timeoutMs: 60_000, memoryBytes: MIB, outputBytes: sizeBytes };
      for (let round = 0; round < 3; round++) {
        await Promise.all(Array.from({ length: atOnce }, async () => {
          const input = fn === "stream" ? inPieces(bytes) : bytes;
          const { output } = await plugin.execute(call(input, { limits }), fn);
          assert(output.length === sizeBytes && output.every((byte) => byte === 97));
        }));
      }
    });
  }
}

test("answers that come whole before they are read are read, and so are failures", async (t) => {
  const plugin = await start(t);
  for (let i = 0; i < 250; i++) {
    const { output } = await plugin.execute(call(new Uint8Array(100)), "whole");
    assert.equal(output.length, 100);
    await assert.rejects(plugin.execute(call(new Uint8Array(0)), "fail"), hasCode("plugin_failed", /on purpose/));
  }
});
