import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { OutboundRules } from "../../src/core/mod.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { test } from "../testing.ts";

test("a target that a stranger named is not connected to on this machine, by address or by name", async (t) => {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => server.close(resolve)));
  const { port } = server.address() as AddressInfo;
  const peers = createPeers({
    rules: { outbound: new OutboundRules(["127.0.0.3"]), applyTo: (target) => !target.startsWith("127.0.0.2") },
  });
  t.after(() => peers.close());
  const signal = AbortSignal.timeout(20_000);
  for (const host of ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"]) {
    await assert.rejects(peers.info(`${host}:${port}`, signal), {
      code: "target_unreachable",
      message: /not a public address .*node\.allowNetworks, or take .* in with "peers add"/,
    });
  }
  assert.equal(connections, 0);
  for (const host of ["127.0.0.2", "127.0.0.3"]) {
    await assert.rejects(peers.info(`${host}:${port}`, signal), {
      code: "target_unreachable",
      message: /ECONNREFUSED/,
    });
  }
});
