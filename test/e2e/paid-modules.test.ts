/** Modules of requesters on providers that want to be paid. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isTaskReceiptSigned, sha256Hex, type TaskReceipt } from "../../src/core/mod.ts";
import { wasm } from "../plugins/host-fixture.ts";
import { test } from "../testing.ts";
import { get, run, scratch } from "./harness.ts";
import { channelOf, equalBooks, startPaidSwarm } from "./paid-swarm.ts";

/** The demo plugin with another description, so with a hash that no node has installed. */
const MODULE = Buffer.concat([wasm("demo/demo"), Buffer.from("\0\x04\x03own", "latin1")]);

interface Ran {
  readonly output: string;
  readonly usage: { readonly instructions: number };
  readonly receipt: TaskReceipt;
}

test("a module of one's own is paid by its metered instructions, and the receipt names its hash", async (t) => {
  const { requester, providers } = await startPaidSwarm(t, {
    // One wei for an instruction; the price of the time, which bounds it, is far above.
    prices: { megaInstructions: "1000000", cpuSecond: "1000000000000", minimum: "1" },
    provider: { plugins: { acceptModules: true } },
  });
  const provider = providers[0]!;
  const file = join(scratch(t), "own.wasm");
  writeFileSync(file, MODULE);
  const sha256 = sha256Hex(readFileSync(file));

  let sum = 0n;
  for (const [id, at] of [["m1", ["--target", provider.rpc]], ["m2", ["--any"]]] as const) {
    const args = ["--wasm", file, "--function", "greet", "hello", "--id", id, "--json", "--url", requester.rest];
    const { code, stdout, stderr } = await run(["task", "run", ...args, ...at]);
    assert.equal(code, 0, stderr);
    const { output, usage, receipt } = JSON.parse(stdout) as Ran;
    assert.equal(output, "world");
    assert.ok(usage.instructions > 100, String(usage.instructions));
    assert.ok(isTaskReceiptSigned(receipt));
    assert.equal(receipt.provider, provider.nodeId);
    assert.equal(receipt.pluginSha256, sha256);
    assert.equal(receipt.terms!.charge, String(usage.instructions));
    sum += BigInt(usage.instructions);
  }
  const [earned] = await equalBooks(requester, [provider]);
  assert.deepEqual([earned!.charged, earned!.items], [String(sum), 2]);
  assert.equal((await channelOf(requester)).charged, String(sum));

  // Its upload costs nothing, and what fails costs nothing.
  const absent = ["--wasm", file, "--function", "absent", "--target", provider.rpc, "--url", requester.rest];
  assert.equal((await run(["task", "run", ...absent])).code, 4);
  const { modules } = await get<{ modules: { sha256: string; running: number }[] }>(`${provider.rest}/v1/modules`);
  assert.deepEqual(modules.map(({ sha256, running }) => [sha256, running]), [[sha256, 0]]);
  assert.equal((await equalBooks(requester, [provider]))[0]!.charged, String(sum));
});
