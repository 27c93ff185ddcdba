import { fakeNode } from "./fake-tasks.ts";
import { noMetrics, silentLog, systemClock } from "../../src/core/mod.ts";
import { createPeers } from "../../src/rpc/client/mod.ts";
import { createRpcServer, DEFAULT_RPC_LIMITS, HealthState } from "../../src/rpc/mod.ts";
import { taskServiceContract } from "../contract-suites/task-service.ts";
import { FRONTS } from "./harness.ts";

// The whole way: the client's transport, a socket, the server's fast path and Connect behind it, the provider.
taskServiceContract("a remote task service", async (tasks) => {
  const server = createRpcServer({
    tasks,
    node: fakeNode,
    health: new HealthState(),
    log: silentLog,
    metrics: noMetrics,
    clock: systemClock,
    limits: DEFAULT_RPC_LIMITS,
    frontThreads: FRONTS,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const peers = createPeers({});
  return {
    service: peers.dial(`127.0.0.1:${port}`),
    async close() {
      await peers.close();
      await server.close({ graceMs: 0 });
    },
  };
});
