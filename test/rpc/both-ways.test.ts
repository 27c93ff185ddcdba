import assert from "node:assert/strict";
import { join } from "node:path";
import { newSecretKey, nodeKeyOf } from "../../src/core/mod.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { scratch, startNode } from "../e2e/harness.ts";
import { test } from "../testing.ts";

const MIB = 1 << 20;
const CALL_MS = 120_000;

for (const [atOnce, sizeBytes] of [[16, MIB], [8, 8 * MIB]] as const) {
  test(`${atOnce} calls at once with inputs and outputs of ${sizeBytes} bytes do not wait for each other for ever`, async (t) => {
    const { rpc } = await startNode(t, { dataDir: join(scratch(t), "data") });
    const key = nodeKeyOf(newSecretKey());
    const peers = createPeers({ requester: key.nodeId, key });
    t.after(() => peers.close());
    const tasks = peers.dial(rpc);
    const input = new Uint8Array(sizeBytes).fill(97);
    const limits = { timeoutMs: 60_000, memoryBytes: 256 * MIB, outputBytes: 16 * MIB, instructions: 1e10 };
    await Promise.all(Array.from({ length: atOnce }, async () => {
      for (let round = 0; round < 2; round++) {
        const { output } = await tasks.run(
          { id: "", plugin: "demo", function: "echo", input, contentType: "text/plain", limits, priority: 0 },
          { requester: key.nodeId, signal: AbortSignal.timeout(CALL_MS), requestId: "both-ways" },
        );
        assert.equal(output.length, sizeBytes);
      }
    }));
  });
}
