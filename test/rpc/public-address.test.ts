import assert from "node:assert/strict";
import { createServer as createHttp2Server } from "node:http2";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { confine, isConfined, NOBODY, NodeError, OutboundRules, OWNER } from "../../src/core/mod.ts";
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

test("a name that leads elsewhere at the next connection is checked again, and a redirect is not followed", async (t) => {
  let connections = 0;
  const inner = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => inner.listen(0, "127.0.0.1", resolve));
  t.after(() => new Promise((resolve) => inner.close(resolve)));
  const { port } = inner.address() as AddressInfo;
  // It listens on the same port where the rules let connections lead, sends callers on, and ends each connection.
  const outer = createHttp2Server((_, response) => {
    response.writeHead(307, { location: `http://127.0.0.1:${port}/` }).end();
    response.stream.session?.close();
  });
  await new Promise<void>((resolve) => outer.listen(port, "127.0.0.3", resolve));
  t.after(() => new Promise((resolve) => outer.close(resolve)));
  const asked: string[] = [];
  const outbound = new OutboundRules(["127.0.0.3"], (name, done) => {
    asked.push(name);
    done(null, [{ address: asked.length === 1 ? "127.0.0.3" : "127.0.0.1", family: 4 }]);
  });
  const peers = createPeers({
    rules: { outbound, applyTo: () => false, applyToCaller: () => isConfined() },
    limits: { backoffMs: 1, maxBackoffMs: 1 },
  });
  t.after(() => peers.close());
  const signal = AbortSignal.timeout(20_000);
  const target = `rebinding.example:${port}`;
  const ask = () => confine(NOBODY, () => peers.info(target, signal));
  await assert.rejects(ask(), { code: /^(?:target_misbehaved|unimplemented)$/ });
  let refusal: unknown;
  // The first connection may still be closing.
  do refusal = await ask().catch((error) => error); while (asked.length < 2);
  assert.ok(refusal instanceof NodeError);
  assert.equal(refusal.code, "target_unreachable");
  assert.match(refusal.message, /rebinding\.example leads to 127\.0\.0\.1, which is not a public address/);
  assert.deepEqual([connections, new Set(asked)], [0, new Set(["rebinding.example"])]);
  // Whoever may everything is not asked where the name leads.
  await assert.rejects(confine(OWNER, () => peers.info(`127.0.0.1:${port}`, signal)));
  assert.notEqual(connections, 0);
});
