import assert from "node:assert/strict";
import { type AddressInfo, connect, createServer } from "node:net";
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

test("large calls share the connection there is while a peer takes no further ones", async (t) => {
  const { rpc } = await startNode(t, { dataDir: join(scratch(t), "data") });
  let taken = 0;
  const door = createServer((socket) => {
    if (++taken > 1) return void socket.destroy();
    const inner = connect(Number(rpc.split(":")[1]), "127.0.0.1");
    for (const [from, to] of [[socket, inner], [inner, socket]] as const) {
      from.on("error", () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => door.listen(0, "127.0.0.1", resolve));
  t.after(() => door.close());
  const key = nodeKeyOf(newSecretKey());
  const peers = createPeers({ requester: key.nodeId, key, limits: { backoffMs: 60_000, maxBackoffMs: 60_000 } });
  t.after(() => peers.close());
  const tasks = peers.dial(`127.0.0.1:${(door.address() as AddressInfo).port}`);
  const count = async (sizeBytes: number) => {
    const { output } = await tasks.run(
      {
        id: "",
        plugin: "demo",
        function: "wordcount",
        input: new Uint8Array(sizeBytes).fill(97),
        contentType: "text/plain",
        limits: {},
        priority: 0,
      },
      { requester: key.nodeId, signal: AbortSignal.timeout(CALL_MS), requestId: "both-ways" },
    );
    assert.match(new TextDecoder().decode(output), /"words": ?1/);
  };
  await count(5);
  // Those that were to open another connection may fail; whoever comes while the wait lasts goes over the first one.
  await Promise.allSettled(Array.from({ length: 4 }, () => count(3 * MIB)));
  assert.ok(taken > 1, `${taken}`);
  const before = taken;
  await Promise.all(Array.from({ length: 4 }, () => count(3 * MIB)));
  assert.equal(taken, before);
});
