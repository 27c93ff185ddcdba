import assert from "node:assert/strict";
import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { newSecretKey, nodeKeyOf, RateLimiter, systemClock } from "../../src/core/mod.ts";
import { TaskService } from "../../src/gen/velas/sphere/v1/task_pb.ts";
import { Authenticator, createRpcServer } from "../../src/rpc/mod.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { caller, failing, spec } from "./client-harness.ts";
import { fakeNode, FakeTasks } from "./fake-tasks.ts";
import { test } from "../testing.ts";
import type { TestScope } from "../testing.ts";
import { COMMON } from "./client-nodes.ts";

/** A server whose callers have a few calls each; the rate gives no more while the test runs. */
async function serve(t: TestScope, burst: number) {
  const key = nodeKeyOf(newSecretKey());
  const server = createRpcServer({
    ...COMMON,
    tasks: new FakeTasks(),
    node: { describe: () => ({ ...fakeNode.describe(), nodeId: key.nodeId }), sign: (message) => key.sign(message) },
    authenticator: new Authenticator({ self: key.nodeId, chainId: 0, clock: systemClock }),
    limiter: new RateLimiter({ perSecond: 0.001, burst, setting: "rpc.callsPerSecond" }),
  });
  t.after(() => server.close({ graceMs: 0 }));
  return (await server.listen({ host: "127.0.0.1", port: 0 })).port;
}

test("calls beyond the rate are refused as overloaded, with a time to wait, over every protocol", async (t) => {
  for (
    const transport of [
      createGrpcTransport,
      (options: { baseUrl: string }) => createConnectTransport({ ...options, httpVersion: "1.1" }),
    ]
  ) {
    const port = await serve(t, 1);
    const client = createClient(TaskService, transport({ baseUrl: `http://127.0.0.1:${port}` }));
    const run = () => client.run({ task: { input: new Uint8Array() } });
    await run();
    await assert.rejects(run(), { code: Code.ResourceExhausted, message: /this address.*rpc\.callsPerSecond/ });
  }
});

test("who signs is counted by its key, whatever address it comes from", async (t) => {
  // Each asks once, unsigned, who the node is.
  const target = `127.0.0.1:${await serve(t, 2)}`;
  const [one, other] = [nodeKeyOf(newSecretKey()), nodeKeyOf(newSecretKey())].map((key) => {
    const peers = createPeers({ requester: key.nodeId, key, signTasks: true });
    t.after(() => peers.close());
    return () => peers.dial(target).run(spec("hello"), caller());
  });
  await one!();
  await one!();
  await assert.rejects(one!(), failing("overloaded", /this requester/, (error) => assert(error.retryAfterMs! > 1000)));
  await other!();
});
